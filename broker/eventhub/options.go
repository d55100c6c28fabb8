package eventhub

import "time"

// Options configures a [Hub]. A field that is zero or below means its default.
type Options struct {
	// AckTimeout is how long a client waits for its ack; 10 s.
	AckTimeout time.Duration
	// DecisionTimeout is how long a connecting client waits for all
	// decisions; 5 s.
	DecisionTimeout time.Duration
	// MaxCredits is how many events a member may be owed at once; 100,000.
	MaxCredits int
	// MaxQueuedEvents and MaxQueuedBytes bound what waits for one member: 50,000
	// events, which is a second of the fastest stream, and 16 MiB, of which each
	// event takes its arguments, its attachments and 256 bytes.
	MaxQueuedEvents, MaxQueuedBytes int
	// MaxSubscriptions is how many there may be at once; 1000. MaxRemotes is how
	// many of other nodes may be represented beside them; 10,000.
	MaxSubscriptions, MaxRemotes int
	// Observer is told what happens; nil means that nobody is.
	Observer Observer
}

// Observer is told what happens, for metrics. Its methods are called from many
// goroutines: they must be quick and must not call back into the hub. Reasons
// are always Reason constants.
type Observer interface {
	// SubscriptionOpened is called once for each subscription.
	SubscriptionOpened()
	// SubscriptionClosed is called once for each of them when it ends.
	SubscriptionClosed(reason string)
	// EventsDelivered is called when n events have been handed to a member.
	EventsDelivered(kind Kind, redelivered bool, n int)
	// EventLost is called when an event will not be handed to a group that
	// wanted it.
	EventLost(kind Kind, reason string)
	// QuestionEnded is called once for each question, of a client that wants an
	// ack or to a group that decides. The reason is empty if a backend
	// answered, whatever the answer, and says why it didn't otherwise.
	QuestionEnded(kind Kind, reason string)
}

func (o Options) withDefaults() Options {
	setDefault(&o.AckTimeout, 10*time.Second)
	setDefault(&o.DecisionTimeout, 5*time.Second)
	setDefault(&o.MaxCredits, 100_000)
	setDefault(&o.MaxQueuedEvents, 50_000)
	setDefault(&o.MaxQueuedBytes, 16<<20)
	setDefault(&o.MaxSubscriptions, 1000)
	setDefault(&o.MaxRemotes, 10_000)
	if o.Observer == nil {
		o.Observer = noObserver{}
	}
	return o
}

func setDefault[T ~int | ~int64](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

type noObserver struct{}

func (noObserver) SubscriptionOpened()             {}
func (noObserver) SubscriptionClosed(string)       {}
func (noObserver) EventsDelivered(Kind, bool, int) {}
func (noObserver) EventLost(Kind, string)          {}
func (noObserver) QuestionEnded(Kind, string)      {}
