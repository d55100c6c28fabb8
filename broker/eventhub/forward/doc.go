// Package forward lets backends hear of the clients of all nodes, whichever node
// they have subscribed at. Each node tells the others of its subscriptions; they
// represent them in their own hubs, and what those hand to such a member is
// forwarded:
//
//	client ──► hub ──► Remote ──► forward ═══ batch ══► feed ──► Source ──► Subscription ──► backend
//	  ack  ◄── hub ◄── Remote ◄── forward ◄═ feedback ═ feed ◄── Source ◄── Reply, Decide ◄────┘
//
// So it is the hub of the client's node that decides which member of a group gets an
// event, gives it to a mate if that member is lost, and answers the client, once.
// What is forwarded goes to exactly the subscription that was chosen: a node
// never passes on what it got.
//
// # Who has subscribed
//
// A roster lists the ids of all subscriptions of a node, and describes those that
// are new. It is sent when they change, to each node that joins, and every few
// seconds with the ids alone; whoever misses one asks. So a roster that is lost
// heals, and a node that is lost takes its subscriptions with it.
//
// # Nothing lost on the way, nothing twice
//
// The events for one subscription are numbered. The receiver takes them in order
// and ignores what it has, and says up to which number they have come and been
// handed to the backend; what doesn't arrive is sent again. At most a window of
// them is on its way; the rest waits in the member's queue in the hub, which is
// bounded as any member's. If it is full the subscription is cut, on its own
// node too.
//
// When a subscription ends, its node says how many events the backend was handed, so
// that exactly the others go to mates. When a node is lost nobody can say: what
// was on its way to it goes to mates marked Redelivered. Answers are sent once; if
// one is lost on the way, the client is told at its deadline that there is none.
//
// # Locks and goroutines
//
// Peers.mu comes before the hub's locks, answers.mu is held alone or last. There is
// one goroutine, that of Run, for all nodes.
package forward
