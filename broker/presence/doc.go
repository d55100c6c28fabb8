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
// A node whose user has left, and which doesn't announce that, remembers for [keepFor] when the user was
// there last, and which node has the user now. It remembers in the same way that it has announced that
// a user has left. So whoever asks learns what was last: that the user was there, or that its leave was
// announced. That a user was there counts only once all nodes have answered, since the one that hasn't
// may have announced a leave after that. A node that is lost before it has said anything about a user who
// was passed on to it doesn't take the user along: the node that has passed the user on asks again.
//
// Answers come from different moments, and the user may have gone meanwhile from a node that hadn't
// answered yet to one that had. Then the first one says that the user was there after the question, and
// the node asks again. So that a user has left is announced only if there was a moment at which it was
// at no node.
//
// A user whose connection was lost is awaited for the window before anybody is asked. A node that
// ends hands the users that it awaits over to another one, and tells it who has left a short while ago:
// nodes that ask need to know what was announced. When a node is lost, the successors that keep its
// deposit (package lastwill) ask about its users. A user who has come is in the deposit as soon as the
// node knows that others were told before that the user is there: they may rely on it by then. A node
// that has failed to take over the last session of a user asks, too, because others may have relied on
// it. A node that finds out for another one doesn't say that the user was there until now, but what it
// knows: when the user was there last, or that this isn't known. To a node where the user comes
// meanwhile, it says that it isn't sure, and that node asks again.
//
// # What can go wrong
//
// A node that doesn't answer may have the user. That a user has left is announced only once all
// nodes have answered or are gone. That a user has come is announced after [joinPatience] all the
// same. A node that is cut off from the others and taken for lost may still have sockets of a user
// who is said to have left; when it is back, it announces that the user has come.
//
// As long as no node is lost and no message, each first and last socket is announced once. Otherwise
// an announcement may come twice, or be missing together with the one that would have undone it: what a
// lost node has announced, and who was at it in its last moments, is known only as far as others have
// learned of it. They learn it in milliseconds. If messages are lost then, they learn it once messages
// arrive again: who was there about a second later, and what was announced two seconds later. If a node
// is lost while another one ends that knows about the user, or while others find out about a node that
// was lost before, what was announced last may be wrong. The next announcement about the same user and
// place is right again.
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
