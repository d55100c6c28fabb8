package cluster

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrUnavailable is returned while the bus is disconnected. A later attempt may succeed.
	ErrUnavailable = errors.New("cluster: the bus is disconnected; try again later")
	// ErrOverloaded is returned when too much is outstanding. Nothing was sent.
	ErrOverloaded = errors.New("cluster: too much is waiting to be sent; try again later")
	// ErrTooLarge is returned for a payload above [Options.MaxEnvelopeBytes].
	ErrTooLarge = errors.New("cluster: the message is larger than nodes accept")
)

// State is whether a bus, and so the cluster, can be reached.
type State uint8

// States of a bus.
const (
	// Disconnected means that nothing can be sent and nothing arrives.
	Disconnected State = iota
	// Connected means connected, and subscribed to all wanted channels.
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
	// Channel is what the message is published on: any text without control characters and braces.
	Channel string
	// Payload is the content. It must not be modified once it is published.
	Payload []byte
}

// Receipt says what became of a published message.
type Receipt struct {
	// Receivers is how many subscribers of the channel got the message, including the publisher if
	// it is one; -1 if it failed. Subscribers by pattern are counted only if Publish was called
	// without peers.
	Receivers int
	// Absent are those of the peers given to Publish that aren't connected. They get nothing,
	// whether or not they are subscribed to the channel.
	Absent []string
}

// Bus carries messages between nodes. All methods except Run may be called concurrently, also
// before and after Run. Only Run, Publish and the methods of tables and values wait for the network.
//
// A bus connects and reconnects by itself, and then subscribes to all wanted channels. A
// message that is published while a node is disconnected never reaches it.
type Bus interface {
	// Run connects and serves until ctx ends. It calls receiver's methods one at a time. It must be
	// called once, and returns when everything that it started has ended.
	Run(ctx context.Context, receiver Receiver) error

	// Identify gives this bus a channel of its own, by which other buses recognise it as a peer,
	// and subscribes to it. When the bus connects, it subscribes to this channel last. So if the
	// channel has a subscriber, the bus receives all channels that it wants. Identify must be
	// called once, before Run.
	Identify(channel string)

	// Publish sends the messages in order in one pipeline, and returns a receipt for each. peers
	// are the identifying channels of other buses; with them, receipts name those that are absent.
	// The error is the first one; while disconnected, [ErrUnavailable] at once.
	Publish(ctx context.Context, batch []Message, peers []string) ([]Receipt, error)

	// Lane returns the lane of a channel, from 0 to [Partitions]-1. Messages in one lane keep their
	// order. Lanes may live on different servers: they don't keep order among each other, and one
	// may be stuck while others aren't.
	Lane(channel string) int

	// Subscribe asks for what is published on channel. The returned channel is closed as soon as
	// everything that is published from then on arrives. It stays open while the bus is
	// disconnected, and never closes if Unsubscribe comes first. Subscribing again returns the
	// current one.
	Subscribe(channel string) (effective <-chan struct{})

	// Unsubscribe ends a subscription. Messages on their way still arrive.
	Unsubscribe(channel string)

	// State returns whether the bus is connected.
	State() State

	// Health returns why the bus is disconnected or which part of it doesn't work, or nil if
	// everything works.
	Health() error

	// Put sets an entry of a table until ttl has passed. While disconnected, it returns
	// [ErrUnavailable], as do Remove and Entries.
	Put(ctx context.Context, table, key string, value []byte, ttl time.Duration) error

	// Remove removes an entry. It is no error if there is none.
	Remove(ctx context.Context, table, key string) error

	// Entries returns the entries of a table.
	Entries(ctx context.Context, table string) (map[string][]byte, error)

	// SetNew sets a value until ttl has passed, unless there is one by that name. It returns the
	// value that was there; nil if there was none and it has set its own. That is one step: of
	// several buses that call it at once, exactly one gets nil. After an error, the value may be
	// set all the same. Values are no entries of tables: they can't be listed, and live on
	// different servers of a Redis Cluster. While disconnected, the error is [ErrUnavailable], as
	// that of Set.
	SetNew(ctx context.Context, name string, value []byte, ttl time.Duration) (existing []byte, err error)

	// Set sets a value until ttl has passed, whether or not there is one by that name.
	Set(ctx context.Context, name string, value []byte, ttl time.Duration) error
}

// Receiver gets what arrives on a bus. Its methods are called one at a time and must not block.
type Receiver interface {
	// Received is called with each message, which the receiver may keep. Messages on one channel
	// come in the order in which they were published.
	Received(m Message)
	// StateChanged is called when the bus has connected or disconnected, after Received for
	// everything that arrived before.
	StateChanged(s State)
	// Lost is called when n messages were dropped because the receiver didn't keep up.
	Lost(n int)
}
