package sala

import (
	"slices"
	"time"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// Target says who gets an event, and how, or which sockets a call acts on: every socket in one of the
// rooms, of one of the users or with one of the ids, minus the excluded ones. A socket that matches
// several times is taken once.
//
// Its methods return a changed copy, so a Target can be kept and used concurrently. It begins at
// [Client.To], [Client.ToUsers], [Client.ToSockets] or [Client.Namespace].
type Target struct {
	client    *Client
	namespace string

	rooms, users, sockets                   []string
	exceptRooms, exceptUsers, exceptSockets []string

	volatile       bool
	skipHistory    bool
	conflateKey    string
	idempotencyKey string
	noRetry        bool

	ackTimeout time.Duration
	minAcks    int
}

// To returns the sockets in any of the rooms, in the namespace "/".
func (c *Client) To(rooms ...string) Target { return Target{client: c}.To(rooms...) }

// ToUsers returns the sockets of any of the users, in the namespace "/".
func (c *Client) ToUsers(users ...string) Target { return Target{client: c}.ToUsers(users...) }

// ToSockets returns the sockets with these ids, in the namespace "/".
func (c *Client) ToSockets(ids ...string) Target { return Target{client: c}.ToSockets(ids...) }

// Namespace returns a target in a namespace, without any socket yet: continue with [Target.To], or
// with [Target.Broadcast] for all.
func (c *Client) Namespace(name string) Target { return Target{client: c, namespace: name} }

// To adds the sockets in any of the rooms.
func (t Target) To(rooms ...string) Target {
	t.rooms = slices.Concat(t.rooms, rooms)
	return t
}

// ToUsers adds the sockets of any of the users.
func (t Target) ToUsers(users ...string) Target {
	t.users = slices.Concat(t.users, users)
	return t
}

// ToSockets adds the sockets with these ids.
func (t Target) ToSockets(ids ...string) Target {
	t.sockets = slices.Concat(t.sockets, ids)
	return t
}

// Except excludes the sockets in any of the rooms.
func (t Target) Except(rooms ...string) Target {
	t.exceptRooms = slices.Concat(t.exceptRooms, rooms)
	return t
}

// ExceptUsers excludes the sockets of the users.
func (t Target) ExceptUsers(users ...string) Target {
	t.exceptUsers = slices.Concat(t.exceptUsers, users)
	return t
}

// ExceptSockets excludes the sockets with these ids.
func (t Target) ExceptSockets(ids ...string) Target {
	t.exceptSockets = slices.Concat(t.exceptSockets, ids)
	return t
}

// Volatile drops the event for sockets that can't take it right now, instead of queuing it.
func (t Target) Volatile() Target {
	t.volatile = true
	return t
}

// SkipHistory keeps the event out of the history of its rooms.
func (t Target) SkipHistory() Target {
	t.skipHistory = true
	return t
}

// ConflateKey is for values where only the newest matters: the event replaces an older one with the
// same key and rooms that still waits in the queue of a slow client. Only for events to rooms.
func (t Target) ConflateKey(key string) Target {
	t.conflateKey = key
	return t
}

// IdempotencyKey names the event, so that the broker sends it once, however often the call is
// repeated, also by another program. Without it, [Target.Emit] and [Target.Broadcast] use a random
// key: their own repeats are safe, and a repeat by the caller is another event.
func (t Target) IdempotencyKey(key string) Target {
	t.idempotencyKey = key
	return t
}

// NoRetry makes one attempt only. The event then has no key unless [Target.IdempotencyKey] gives it
// one, which is cheaper in a cluster: the broker needn't remember it.
func (t Target) NoRetry() Target {
	t.noRetry = true
	return t
}

// selector returns the sockets of the target for calls that act on them.
func (t Target) selector() *salav1.Selector {
	return &salav1.Selector{
		Namespace:     t.namespace,
		Rooms:         t.rooms,
		Users:         t.users,
		Sockets:       t.sockets,
		ExceptRooms:   t.exceptRooms,
		ExceptUsers:   t.exceptUsers,
		ExceptSockets: t.exceptSockets,
	}
}
