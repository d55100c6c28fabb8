// Package eventhub is the hub between what happens to clients and the backends
// that want to hear of it. It knows nothing of sockets' transports or of gRPC:
// the broker publishes, a [Subscription] is what the API puts on a stream.
//
//	Publish, Ask, Decide ──► filter ──► group ──► member's queue ──► Take ──► backend
//	answer ◄── question ◄────────────── Reply, Decide ◄───────────────────────┘
//
// # Groups
//
// Subscriptions with the same group name share the events: each event goes to
// one member of every group that wants it. A subscription without a group name
// is a group of its own. Filters belong to the member, and an event goes to a
// member whose filter lets it through; mates should have the same ones.
//
// A socket is pinned to the member that gets its first event and stays there
// while that member lives, so that mates who come later don't overtake what is
// on its way. Which member gets a socket, or a room for RoomOpened and
// RoomClosed, is decided by rendezvous hashing in one place, group.choose.
//
// # Several nodes
//
// A subscription of another node is represented by a [Remote]: a member like any
// other, which is chosen only for what no member of this node wants. What it takes
// is brought to that node, where a [Source] offers it to the one subscription that
// it stands for; the package forward does that. So this hub alone decides about the
// events of its node's clients, also when a member elsewhere is lost. RoomOpened and
// RoomClosed are of this node's members of the room.
//
// # Order
//
// What is published of one socket, by one goroutine after the other, is handed
// to its member in that order. If the member is lost, what follows it on a mate
// is in order too: first what waited for an answer, again and marked, then
// what was never handed out, then what is new. Between the two members no order
// holds, and none between different sockets, or a socket and a room, unless the
// group has one member.
//
// # How often an event is handed out
//
// Once, as long as its member lives. An event that needs no answer isn't handed
// out again once [Subscription.Take] has returned it, whatever became of its
// member: at most once. (If its member is of another node, and that node is lost
// before it could say so, it is handed out again too, marked Redelivered.) An event that needs an answer and has none when its member is
// lost is handed to a mate, once more, marked Redelivered; if that is lost too,
// the question fails. What was never handed out moves on to mates as often as need
// be, and is counted as lost when there is no mate or none with room.
//
// # Flow control
//
// A member is handed one event for each credit that it has granted. What is beyond
// that waits in its queue, which is bounded by events and by bytes. A member whose queue is
// full is cut with [ReasonSlowSubscriber]; its mates take over what fits into half of
// their queues, so that one slow member doesn't drag the others down.
//
// # Answers
//
// A question of [Hub.Ask] is answered exactly once: by the first reply of any
// group, by its deadline, or by an error as soon as no group can answer any more.
// An event whose question is over is still handed out, without NeedsAck. Groups
// that observe are never asked and don't count: if nobody else wants the event, it
// has no handler.
//
// # Locks and goroutines
//
// Hub.mu comes before group.mu; deadlines.mu and Bell.mu are held alone or last. Nothing is called
// under them: no observer, no answer. A hub has one goroutine, for the deadlines.
package eventhub
