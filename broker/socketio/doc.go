// Package socketio reads and writes Socket.IO packets (protocol revision 5) without decoding
// their arguments.
//
// The library (github.com/zishang520/socket.io), whose packet types this package uses, has a
// parser that decodes arguments into Go values and encodes them again. That changes numbers above
// 2^53 and the order of keys, and costs more than the rest of a relayed message. Here the
// arguments stay the text that the sender wrote: [Payload] holds it, and [AppendEvent] writes it
// out byte for byte. The package looks into it only for the event's name, for validity, and for
// the placeholders of attachments. The tests compare it with the library's parser.
//
// # Files
//
//   - packet.go, decoder.go: what clients send. encode.go: what the server sends.
//   - payload.go, placeholders.go: arguments and attachments.
//   - msgpack.go: an answer for clients that use another parser.
package socketio
