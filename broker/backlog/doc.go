// Package backlog keeps the events that were sent to a client and that the client has not
// confirmed yet, so that they can be sent again over its next connection.
//
// An [Event] is shared by all clients that get it. A [Backlog] is what one client lacks, in the
// order in which the client gets it. A [Budget] bounds what all backlogs of a node keep together.
//
//	event.go    an event, and the memory of all of them
//	backlog.go  the events of one client
package backlog
