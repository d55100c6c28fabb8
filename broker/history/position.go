// Package history is what a room remembers.
package history

// Position is a place in the history of a room: just after one message.
type Position struct {
	// Epoch names the history that the offset belongs to. It changes whenever messages
	// are forgotten before their time.
	Epoch string
	// Offset is that of the message. The first message of an epoch has 1; 0 is before it.
	Offset uint64
}
