// Package forward carries events between the hubs of a cluster's nodes, so that a backend gets the
// events of all clients, whichever node it subscribes at. Each node tells the others of its
// subscriptions. The others represent them in their hubs, and forward what the hub hands to such a
// representative:
//
//	client ──► hub ──► Remote ──► outbound ══ batch ══► inbound ──► Source ──► Subscription ──► backend
//	  ack  ◄── hub ◄── Remote ◄── outbound ◄ feedback ═ inbound ◄── Source ◄── Reply, Decide ◄────┘
//
// So the hub of the client's node decides which member of a group gets an event, hands it to another
// member if that one is lost, and answers the client once. An event is forwarded to exactly the
// subscription that the hub chose; a node never passes on what it received.
//
// # Subscriptions
//
// A node's subscription list has the ids of all its subscriptions and describes new ones. It is sent
// when it changes, to each node that joins, and every few seconds; a node that has represented what
// it describes says so, and one that lacks a description asks for it. So a lost list heals, and a
// lost node takes its subscriptions with it. [Forwarder.AwaitSubscribed] waits for what the nodes
// say, so that a backend learns when it misses nothing any more.
//
// # Nothing lost, nothing twice
//
// The cluster's messages are delivered at most once. So the events for one subscription are
// numbered. The receiver takes them in order and ignores those that it has. It reports up to which
// number they have arrived and were handed to the backend, and what hasn't arrived is sent again. At
// most a window of events is in flight. The others wait in the member's queue in the hub, which has
// the limits of every member's queue; a subscription whose queue there is full ends at its own node
// too.
//
// When a subscription ends, its node reports how many events the backend was handed, so that exactly
// the others go to other members. When a node is lost nobody can report that: what was in flight
// goes to other members marked Redelivered. Answers are sent once; if one is lost, the client gets
// an error at its deadline.
//
// # Sockets that move
//
// When another node takes a socket over, [Forwarder.HandOver] and [Forwarder.TakeOver] let it choose
// the same members. [Forwarder.Flush] waits for the reports that the events of the socket have
// arrived, so that the other node's events come after them. It asks for these reports, since a
// backend without credits causes none.
//
// # Locks and goroutines
//
// Forwarder.mu is taken before the hub's locks, notices.mu alone or last. There is one goroutine,
// that of Run, for all nodes.
package forward
