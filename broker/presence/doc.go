// Package presence finds out when users come and go: when a user gets the first socket in a namespace
// or a room, and loses the last one, on all nodes together. It knows nothing about sockets; the
// broker says what happens at its node, asks other nodes, and publishes what a [Tracker] finds out.
//
//	place.go    a user in a namespace or a room, and what can be announced
//	tracker.go  what a tracker is told, and its state
//	record.go   what is not settled yet about a user in a place
//	ask.go      asking the other nodes, and what follows
//	judge.go    who announces
//	answer.go   what other nodes are told
//	handoff.go  nodes that end, are lost, or hand sessions over
//	clock.go    the clock that orders what nodes do
//
// # Who announces
//
// No node is responsible for a user. When a user comes to a node or leaves it, the node asks all
// others what they know. A user who is at a node, with nothing to find out, is present there, and
// everybody who asks learns it: then nobody announces that the user has come or left.
//
// Two nodes may ask at the same time. Each question carries the time of what it is about, and of
// two users who come the earlier one is announced, of two who leave the later one. The node with the
// later arrival asks again until the other one has announced. Nodes with the same time compare their
// ids. Times come from a clock that never shows less than another node's
// time that it has seen. So if a node doesn't know of another one's question yet, its own is later.
//
// A node whose user has left and who learns that the user has come to another one drops its
// question: nobody announces anything. It remembers for [keepFor] that it has passed the user on,
// for a third node that asks. In the same way it remembers that it has announced that a user has
// left, for nodes whose question about leaving is earlier.
//
// A user whose connection was lost is awaited for the window before anybody is asked. A node that
// ends hands the users that it awaits over to another one, and tells it who has left a short while ago:
// nodes that ask need to know what was announced. When a node is lost, the successors that
// keep its deposit (package lastwill) ask about its users. Who finds out for a node that is gone may
// be late: another node may have announced meanwhile that the user has left. So to a node where the
// user comes it doesn't say that the user was there until now, but what it knows: when the user left a
// node that has drained, or that this isn't known. The other node compares that with the announcements.
//
// # What can go wrong
//
// A node that doesn't answer may have the user. That a user has left is announced only once all
// nodes have answered or are gone. That a user has come is announced after [joinPatience] all the
// same. A node that is cut off from the others and taken for lost may still have sockets of a user
// who is said to have left; when it is back, it announces that the user has come. If messages are
// lost together with the node that was about to announce something, or if several nodes end while it is
// found out about a lost one, an announcement may be missing or come twice. The next one about the same
// user and place is right again.
//
// Announcements of different nodes may overtake each other on their way to backends. Their times
// tell the order.
//
// # Memory and calls
//
// What is settled takes no memory: the index of rooms knows it. There are at most [maxRecords]
// unsettled users. A question is part of a call to all nodes with up to [maxQuestions]; there are at
// most [maxCalls] calls at a time and one in [gatherFor].
//
// # Locks
//
// Tracker.announcing is taken before the locks of the index and of sessions, and Tracker.mu last.
// The index may call a tracker while it is locked, except Answer.
package presence
