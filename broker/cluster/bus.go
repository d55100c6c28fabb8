package cluster

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrUnavailable is returned while the bus is disconnected. Nothing was
	// sent; it may work again later.
	ErrUnavailable = errors.New("cluster: the bus is disconnected; try again later")
	// ErrOverloaded is returned when more is outstanding than a node keeps.
	// Nothing was sent.
	ErrOverloaded = errors.New("cluster: too much is waiting to be sent; try again later")
	// ErrTooLarge is returned for a payload above [Options.MaxEnvelopeBytes].
	ErrTooLarge = errors.New("cluster: the message is larger than nodes accept")
)

// State says whether a bus, and so the cluster, can be reached.
type State uint8

// The states there are.
const (
	// Disconnected: nothing can be sent and nothing arrives.
	Disconnected State = iota
	// Connected: connected, and subscribed to all that is wanted.
	Connected
)

// String returns the state as a word, for logs.
func (s State) String() string {
	if s == Connected {
		return "connected"
	}
	return "disconnected"
}

// Message is what a bus carries.
type Message struct {
	// Channel is where it is published: any text without control characters,
	// braces or line ends.
	Channel string
	// Payload is what is published. It must not be changed any more.
	Payload []byte
}

// Receipt says what became of a message that was published.
type Receipt struct {
	// Receivers is how many subscribers of the channel got it, the publisher
	// included if it is one; -1 if it failed. Whoever hears it by a pattern is
	// counted only where nobody asked for peers.
	Receivers int
	// Absent are those of the peers asked for that did not get it, whether or not
	// they want the channel: they are not present.
	Absent []string
}

// Bus carries messages between nodes. All methods but Run may be called
// concurrently, also before Run and after it; none but Run, Publish and those
// of the tables waits for the network.
//
// A bus connects, and connects again, by itself, and then subscribes to
// everything that is wanted. What is published while a node is disconnected
// never reaches it.
type Bus interface {
	// Run connects and serves until ctx ends. It calls receiver from one
	// goroutine at a time. It is called once and returns when everything that it
	// started has ended.
	Run(ctx context.Context, receiver Receiver) error

	// Identify makes this bus known by a channel of its own, which it hears like
	// any other. It subscribes to it after everything else that is wanted when it
	// connects. So whoever finds a subscriber there knows that this bus hears all
	// that it wants. It is called once, before Run.
	Identify(channel string)

	// Publish sends the messages in order, in one go, and says what became of each.
	// Peers are channels that other buses are known by; with them, receipts name
	// those that are absent. The error is the first one, [ErrUnavailable] at once
	// while disconnected.
	Publish(ctx context.Context, batch []Message, peers []string) ([]Receipt, error)

	// Lane returns which lane a channel is in, from 0 to [Partitions]-1. Messages
	// in one lane keep their order. Those of different lanes don't, and needn't wait for
	// each other: one may be stuck where a server is.
	Lane(channel string) int

	// Subscribe asks for what is published to channel. The channel that it
	// returns is closed as soon as nothing published from then on is missed; it
	// stays open while the bus is disconnected and never closes if Unsubscribe
	// comes first. Subscribing again does nothing.
	Subscribe(channel string) (effective <-chan struct{})

	// Unsubscribe is the end of Subscribe. Messages that are on their way still
	// arrive.
	Unsubscribe(channel string)

	// State returns whether the bus is connected.
	State() State

	// Health returns why the bus is disconnected, or which part of it doesn't
	// work; nil if all of it does.
	Health() error

	// Put sets an entry of a table until ttl has passed.
	Put(ctx context.Context, table, key string, value []byte, ttl time.Duration) error

	// Remove takes an entry away; one that isn't there is no error.
	Remove(ctx context.Context, table, key string) error

	// Entries returns the entries of a table.
	Entries(ctx context.Context, table string) (map[string][]byte, error)
}

// Receiver is told what arrives. Its methods are called one at a time and must
// not block.
type Receiver interface {
	// Received hands over a message, which the receiver may keep. Those of one
	// channel come in the order in which they were published.
	Received(m Message)
	// StateChanged says that the bus has connected or disconnected. What
	// arrived before comes before.
	StateChanged(s State)
	// Lost says that n messages were dropped because the receiver didn't keep up.
	Lost(n int)
}
