// Package redisemitter decodes what the official Socket.IO emitters publish on Redis
// (@socket.io/redis-emitter 5), so that publishers for Socket.IO servers with the Redis adapter
// also work with Sala.
//
// An emitter publishes packets in MessagePack on "socket.io#<namespace>#" or, for a single room, on
// "socket.io#<namespace>#<room>#". It publishes requests to join, leave or disconnect in JSON on
// "socket.io-request#<namespace>#". [Patterns] returns what to subscribe to, and [Decode] turns a
// message into a [Command]. Decode trusts nothing: its results are within the limits of stock
// clients, arguments are one valid JSON array, and everything else is an error. The emitter itself
// encodes integers of 2⁶⁴ and more as other numbers.
//
// The Redis manager of python-socketio, used with write_only=True, publishes on [PythonChannel] for
// all namespaces. Its messages are pickles or JSON. Only plain data is read from a pickle: one that
// would import or call something is refused.
//
//	command.go    commands, and which decoder reads a message
//	packet.go     packets of the emitter
//	request.go    requests of the emitter
//	transcode.go  MessagePack to JSON
//	python.go     messages of python-socketio
//	pickle.go     pickles, and pickles to JSON
//	json.go       writing JSON
package redisemitter
