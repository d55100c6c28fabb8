// Package explain turns what the nodes know of a user and a room into answers for people: why a
// message does or doesn't reach the user.
package explain

import (
	"time"

	"github.com/salabroker/sala/broker/outcome"
)

// Facts are what the nodes know of a user and, unless Room is empty, a room of a namespace.
type Facts struct {
	Namespace, User, Room string
	Now                   time.Time
	// Sockets are the user's, ordered by id. More is how many others there are.
	Sockets []Socket
	More    int
	// Members is how many sockets are in the room.
	Members int
	// JoinEvent is the event with which clients join rooms; empty if they can't.
	JoinEvent string
	History   History
	// Problems are the user's last ones, newest first.
	Problems []outcome.Event
	// Drops are what was dropped last of what was sent to the user, newest first.
	Drops []outcome.Event
	// Messages are those that backends sent last to the user, the room or everyone, newest
	// first.
	Messages []outcome.Event
	// Partial says that nodes didn't answer; Missing are those that are known.
	Partial bool
	Missing []string
}

// Socket is one of the user's sockets.
type Socket struct {
	ID, Node, Address, Transport string
	ConnectTime, TokenExpires    time.Time
	Away                         bool
	InRoom                       bool
	Rooms                        int
	MayJoin, MayPublish          bool
	QueuedBytes                  int
	Blocked                      bool // the client takes nothing at the moment
	Session                      bool
	Unconfirmed                  int
	Incomplete                   bool
}

// History is what is known of the history of the room.
type History struct {
	// Kept says that a rule gives the room a history.
	Kept bool
	// Unavailable says that it can't be read at the moment.
	Unavailable bool
	// Empty says that it has no message. Otherwise Last is when the last one was sent and
	// LastEvent its name.
	Empty     bool
	Last      time.Time
	LastEvent string
}

// Kind is what a check looks at.
type Kind uint8

// The checks. Their numbers are those of the API.
const (
	KindConnected Kind = iota + 1
	KindInRoom
	KindMayJoin
	KindMayPublish
	KindQueue
	KindSession
	KindHistory
	KindMessages
	KindRefusals
	KindNodes
	KindDrops
)

// Result is the result of a check.
type Result uint8

// The results. The zero Result means that there was nothing to look at.
const (
	OK Result = iota + 1
	Problem
	Note
)

// Check is one question and its answer.
type Check struct {
	Kind   Kind
	Result Result
	// Answer and Advice are for people; Advice is empty if there is nothing to do.
	Answer, Advice string
}

// Check answers all questions. Those about a room are left out if there is none.
func (f *Facts) Check() []Check {
	checks := []Check{f.connected()}
	if f.Room != "" {
		checks = append(checks, f.inRoom(), f.mayJoin(), f.mayPublish())
	}
	checks = append(checks, f.queue(), f.session())
	if f.Room != "" {
		checks = append(checks, f.history())
	}
	return append(checks, f.messages(), f.drops(), f.refusals(), f.nodes())
}
