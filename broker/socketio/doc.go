// Package socketio reads and writes Socket.IO packets (protocol revision 5)
// without taking their arguments apart.
//
// The library's own parser (github.com/zishang520/socket.io, whose packet types
// are used here) decodes arguments into Go values and encodes them again, which
// changes numbers above 2^53 and the order of keys, and costs more than all the
// rest of a relayed message. Here the arguments stay the text that the sender
// wrote: [Payload] holds it, the broker looks into it only where a rule says
// so, and [AppendEvent] writes it out again byte for byte. In the tests the
// library's parser is the judge of what this one reads and writes.
package socketio
