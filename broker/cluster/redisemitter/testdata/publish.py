# Publishes with python-socketio's Redis manager on the Redis of a port.
import sys

import socketio

manager = socketio.RedisManager(f'redis://127.0.0.1:{sys.argv[1]}/0', write_only=True)
manager.emit('to everyone', None)
manager.emit('to a room', {'text': 'ü 🙂', 'n': [1, -1, 70000, 2**53, -2**70, 0.1, None, True]}, room='lobby')
manager.emit('several', ('a', 2, ['b']), room=7, namespace='/chat')
manager.emit('a list', ['a', 'b'], skip_sid='SOCKET')
manager.emit('skips', 'x', skip_sid=['ONE', 'TWO'])
manager.emit('binary', (b'\x00\x01\xff', {'in': [b'']}))
manager.disconnect('SOCKET', namespace='/chat')
manager.close_room('lobby')
