// Does with the official emitter what decode_test.go expects, in this order.
//
//   node publish.mjs PORT      publishes it to a Redis
//   node publish.mjs           prints it: "channel base64" a line, for fixtures.txt
import { Emitter } from '@socket.io/redis-emitter';
import { createClient } from 'redis';

const port = process.argv[2];
const client = port ? createClient({ url: `redis://127.0.0.1:${port}` }) : undefined;
const pending = [];
const redis = {
  publish(channel, message) {
    if (client) pending.push(client.publish(channel, message));
    else console.log(`${encodeURIComponent(channel)} ${Buffer.from(message).toString('base64')}`);
  },
};
await client?.connect();

const io = new Emitter(redis);
io.emit('to everyone');
io.to('room1').emit('to a room', 1, 'two', [3], { four: 4 });
io.to(['room1', 'room#2']).to('raum ü').except('room3').except(['room4']).emit('to rooms', null);
io.except('room3').emit('all but');
io.of('/chat').to('room1').volatile.emit('volatile', true, false);
io.of('chat').compress(false).emit('compressed');
io.emit('numbers', 0, -1, 127, 128, -33, 65536, -65536, 4294967296, 9007199254740991, -9007199254740991, 1.5, -0.1, 1.25e-300, 5e-324);
io.emit('strings', '', 'ü 🙂', 'quote " backslash \\ newline \n nul \u0000 del \u007f <&>', 'x'.repeat(300), 'ends with half a \ud83d');
io.emit('nothing', null, undefined, NaN, Infinity, { gone: undefined, here: null });
io.emit('dates', new Date(0), new Date('2024-02-29T12:34:56.789Z'), new Date('1969-12-31T23:59:59.999Z'), new Date('2500-01-01T00:00:00Z'));
io.emit('order', { z: 1, a: 2, 10: 3, 'ü"': 4 }, [[], {}, [[[]]]]);
io.to('room1').emit('binary', Buffer.from([0, 1, 255]), { in: [new Uint8Array([4, 5]), Buffer.alloc(300, 7)], text: 'x' }, Buffer.alloc(0));
io.socketsJoin('room1');
io.of('/chat').in('room1').except('room2').socketsJoin(['room3', 'room4']);
io.in(['room1', 'room2']).socketsLeave('room3');
io.in('room1').disconnectSockets();
io.disconnectSockets(true);
io.serverSideEmit('hello', 1, { two: 2 });
io.to(7).emit(42, 'x');
io.to([-7, 7.5, 2 ** 53]).except(1e12).emit(1.5);
io.in(7).except(9).socketsJoin([8, 'eight']);

await Promise.all(pending);
await client?.close();
