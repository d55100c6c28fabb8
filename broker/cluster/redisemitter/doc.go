// Package redisemitter reads what the official Socket.IO emitters publish to Redis
// (@socket.io/redis-emitter 5), so that publishers which were written for Socket.IO
// servers with the Redis adapter can stay as they are.
//
// An emitter publishes packets in MessagePack on "socket.io#<namespace>#" and, if they
// are for one room, on "socket.io#<namespace>#<room>#"; and requests in JSON, to join,
// leave or disconnect, on "socket.io-request#<namespace>#". [Patterns] are what to subscribe
// to, and [Decode] makes a [Command] of a message. It trusts nothing: what it
// returns is within the limits that stock clients can take, arguments are
// one valid JSON array, and what is anything else is an error. Whole numbers of 2⁶⁴
// and more the emitter itself encodes as others.
//
// The Redis manager of python-socketio, used with write_only=True, publishes on
// [PythonChannel], for all namespaces. A message is a pickle, or JSON. Of a pickle only
// plain data is read: one that would import or call something is refused.
package redisemitter
