// Package recording connects what is sent to rooms with what the rooms remember.
//
// A message to a room with history is recorded there, and it is sent. Neither waits for the other
// at the node where it is sent, so a reader of the history may find a message that it still gets
// live, or miss one that is about to be recorded. This package has what it takes that a client which
// joins with history gets each message exactly once:
//
//	recorder.go  starts records, and ends them in an order that each sender can rely on
//	record.go    a message on its way into the histories of its rooms
//	grace.go     waits until everything that had begun before is over
//	catchup.go   holds back what a client gets live while its join reads the history,
//	             and leaves out what the history had
//	answer.go    what a client that joins gets of the history
package recording
