package eventhub

import (
	"cmp"
	"time"
)

// Options configures a [Hub]. A field that is zero or negative gets its default.
type Options struct {
	// AckTimeout is how long a client waits for its ack; 10 s.
	AckTimeout time.Duration
	// DecisionTimeout is how long a connecting client waits for all decisions; 5 s.
	DecisionTimeout time.Duration
	// MaxCredits is how many unused credits a member may have; 100,000.
	MaxCredits int
	// MaxQueuedEvents and MaxQueuedBytes bound what waits for one member: 50,000 events, a second
	// of the fastest stream, and 16 MiB. Each event counts its arguments, its attachments and 256
	// bytes.
	MaxQueuedEvents, MaxQueuedBytes int
	// MaxOwnerBytes bounds what waits for all members of one owner at this node together; 128 MiB.
	// The first 64 KiB of each member don't count.
	MaxOwnerBytes int64
	// MaxSubscriptions is how many subscriptions there may be; 1000. MaxRemotes is how many
	// subscriptions of other nodes may be represented in addition; 10,000.
	MaxSubscriptions, MaxRemotes int
	// Observer gets what happens; nil for none.
	Observer Observer
}

// Observer gets what happens in a hub, for metrics. Its methods are called concurrently. They must
// be quick and must not call back into the hub. Reasons are always Reason constants.
type Observer interface {
	// SubscriptionOpened is called once for each subscription.
	SubscriptionOpened()
	// SubscriptionClosed is called once for each of them when it ends.
	SubscriptionClosed(reason string)
	// EventsDelivered is called when n events were handed to a member.
	EventsDelivered(kind Kind, redelivered bool, n int)
	// EventLost is called when an event won't be handed to a group that wanted it.
	EventLost(kind Kind, reason string)
	// QuestionEnded is called once for each ack that a client waits for and for each decision that
	// a group is asked for, with how long it took. The reason is empty if a backend answered,
	// whatever the answer.
	QuestionEnded(kind Kind, reason string, took time.Duration)
}

func (o Options) withDefaults() Options {
	o.AckTimeout = cmp.Or(o.AckTimeout, 10*time.Second)
	o.DecisionTimeout = cmp.Or(o.DecisionTimeout, 5*time.Second)
	o.MaxCredits = cmp.Or(o.MaxCredits, 100_000)
	o.MaxQueuedEvents = cmp.Or(o.MaxQueuedEvents, 50_000)
	o.MaxQueuedBytes = cmp.Or(o.MaxQueuedBytes, 16<<20)
	o.MaxOwnerBytes = cmp.Or(o.MaxOwnerBytes, 128<<20)
	o.MaxSubscriptions = cmp.Or(o.MaxSubscriptions, 1000)
	o.MaxRemotes = cmp.Or(o.MaxRemotes, 10_000)
	if o.Observer == nil {
		o.Observer = noObserver{}
	}
	return o
}

type noObserver struct{}

func (noObserver) SubscriptionOpened()                       {}
func (noObserver) SubscriptionClosed(string)                 {}
func (noObserver) EventsDelivered(Kind, bool, int)           {}
func (noObserver) EventLost(Kind, string)                    {}
func (noObserver) QuestionEnded(Kind, string, time.Duration) {}
