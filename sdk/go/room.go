package sala

// Position is a place in the history of a room: just after one message. Two positions of a room can
// be compared only if their epochs are equal.
type Position struct {
	// Epoch changes whenever messages are forgotten before their time. Opaque.
	Epoch string
	// Offset is the number of the message. Messages count from 1 in each epoch.
	Offset uint64
}
