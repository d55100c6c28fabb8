// Package eventhub hands the events of clients to the backends that subscribe to them. It knows
// nothing of transports or gRPC: the broker publishes, and the API puts a [Subscription] on a
// stream.
//
//	Publish, Ask, Decide ──► filter ──► group ──► member's queue ──► Take ──► backend
//	answer ◄── question ◄────────────── Reply, Decide ◄───────────────────────┘
//
// Read hub.go first, then group.go (which member gets an event, and what happens when one ends),
// subscription.go, question.go (an event that needs an answer) and decide.go. For several nodes
// read transport.go, remote.go, source.go and pins.go.
//
// # Groups
//
// Subscriptions with the same group name share the events: each event goes to one member of every
// group that wants it. A subscription without a group name is a group of its own. Filters belong to
// the member, and an event goes to a member whose filter matches; all members of a group should
// have the same filter.
//
// A socket is pinned to the member that gets its first event, until that member ends. So a member
// that comes later doesn't overtake events that are on their way. Rendezvous hashing chooses the
// member of a socket, of a room for RoomOpened and RoomClosed, or of a user for UserOnline and its
// like, in one place: group.choose. Users aren't pinned.
//
// # Several nodes
//
// A [Remote] represents a subscription of another node. It is a member like any other, but gets
// only events that no member of this node wants. A [Transport], which package forward implements,
// carries its events to the other node, where a [Source] offers them to that one subscription. So
// the hub of a client's node alone decides about the client's events, also when a member at another
// node is lost. RoomOpened and RoomClosed are about the room's members at this node.
//
// # Sockets that move
//
// When another node takes a socket over, the socket's members stay the same, as far as that node
// knows them; [Hub.Pins] and [Hub.Pin] see to that. The node that hands over publishes no more events
// of the socket, and then calls in this order
//
//	forward.Forwarder.HandOver // the pins, for the other node
//	Hub.Forget
//	forward.Forwarder.Flush    // without locks, before it lets the other node go on
//
// The node that takes over calls forward.Forwarder.TakeOver before it publishes the first event.
// Likewise it calls lastwill.Registry.TakenOver, after the first node has called HandedOver, for the
// case that one of the nodes is lost.
//
// A member gets the events that the first node has published before those of the second one, if
// Flush reports that they have arrived: the first node's are in the member's queue then, wherever
// the member is. If Flush gives up, because the member is thousands of events behind or out of reach,
// events may overtake each other. They may as well if the member ends and leaves events of both
// nodes: each node chooses among the other members on its own.
//
// # Order
//
// The events of one socket are handed to its member in the order in which they were published. If
// the member ends, the next one gets the socket's events in order too: first those that waited for
// an answer, marked Redelivered, then those that were queued, then new ones. There is no order
// across members, nor between different sockets or a socket and a room, unless the group has one
// member.
//
// # How often an event is handed out
//
// Once, as long as its member lives. If the member ends:
//   - An event that needs no answer isn't handed out again once [Subscription.Take] has returned it.
//     Exception: its member is at another node, and that node is lost before it could confirm the
//     delivery. Then it is handed out again, marked Redelivered.
//   - An event that waits for an answer goes to another member once more, marked Redelivered. If
//     that member ends too, the question fails.
//   - An event that was never handed out goes to other members as often as necessary. It is counted
//     as lost when no member is left or none has room.
//
// # Flow control
//
// A member is handed one event for each credit that it grants. Other events wait in its queue,
// which is bounded by events and by bytes. A member whose queue is full ends with
// [ReasonSlowSubscriber]. The other members take over as much as fits into half of their queues, so
// one slow member doesn't end the others.
//
// # Answers
//
// A question of [Hub.Ask] ends exactly once: by the first reply of any group, by its deadline, or by
// an error as soon as no group can answer any more. An event whose question has ended is still
// handed out, without NeedsAck. Groups that observe aren't asked: an event that no other group wants
// has no handler.
//
// # Locks and goroutines
//
// Hub.mu is taken before group.mu; deadlines.mu is taken alone or last. No observer and no reply is
// called under them, only the first two methods of Transport. A hub has one goroutine, for
// deadlines.
package eventhub
