package adminui

import (
	"context"
	"encoding/json"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/room"
)

// Keys knows the API keys. Its methods are called concurrently. They count and record failures,
// and their errors say no more than that somebody can't sign in.
type Keys interface {
	// SignIn returns the account of the key with the name, for somebody at the address.
	SignIn(ctx context.Context, name, key, address string) (Account, error)
	// Resume returns the account of the key with the name, unless its secret is another one than
	// that with which proof was made by [Account.Proof] from the digest. An empty name is that of
	// no key.
	Resume(ctx context.Context, name string, digest, proof []byte, address string) (Account, error)
}

// Account is somebody who has signed in with an API key. Its methods are called concurrently.
type Account interface {
	// Name returns the name of the key.
	Name() string
	// Proof returns what only the holder of the same key can compute from a digest.
	Proof(digest []byte) []byte
	// Ended is closed when the key is revoked or has other scopes.
	Ended() <-chan struct{}
	// Sees reports whether the key may read the sockets of a namespace, and SeesEvents whether it
	// may read the events of its clients.
	Sees(namespace string) bool
	SeesEvents(namespace string) bool
	// Acts reports whether the key may change any sockets, and Emits whether it may send to any.
	Acts() bool
	Emits() bool
	// Do carries out an action, within the limits of the key. The error says why that failed.
	Do(ctx context.Context, a Action) error
}

// ActionKind says what an [Action] does.
type ActionKind uint8

// The kinds of actions.
const (
	Emit ActionKind = iota
	Join
	Leave
	Disconnect
)

// Action is what an admin wants to have done to sockets.
type Action struct {
	Kind   ActionKind
	Target room.Target
	// Room is the room of a Join or Leave.
	Room string
	// Event and Args, a JSON array, are what an Emit sends.
	Event string
	Args  json.RawMessage
}

// Node is what a [Server] needs of its broker. Its methods are called concurrently, and return
// soon after ctx has ended.
type Node interface {
	// ID returns the node's id.
	ID() string
	// Namespaces returns the namespaces of the broker.
	Namespaces() []string
	// Stats asks all nodes how they are doing. Those that don't answer are left out.
	Stats(ctx context.Context) []*wire.AdminStats
	// Sockets lists up to limit sockets of all nodes, with their rooms. more says that there are
	// others; partial says that nodes haven't answered.
	Sockets(ctx context.Context, limit int) (sockets []eventhub.Socket, more, partial bool)
	// Observe subscribes to what clients of all nodes do, without taking part in it.
	Observe() (Observation, error)
	// FindSession asks the node whose id begins the id of a session; nil if it isn't another node, or
	// doesn't answer. The node gets the digest alone.
	FindSession(ctx context.Context, id string, digest []byte) *wire.AdminSession
}

// Observation delivers events. One goroutine uses it. Its methods are those of
// [eventhub.Subscription].
type Observation interface {
	Take(into []eventhub.Delivery) (n int, err error)
	Ready() <-chan struct{}
	Credit(n int) error
	Close()
}
