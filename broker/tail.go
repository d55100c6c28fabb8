package broker

import (
	"context"
	"fmt"
	"slices"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/outcome"
)

// Bounds of a [Tail].
const (
	maxTailFilter = 100    // values of each filter
	tailCredits   = 10_000 // events of the hub that are on their way to it
	tailBatch     = 128
)

// TailOptions says what a [Tail] shows.
type TailOptions struct {
	// Filter selects the events. A filter has at most 100 values.
	Filter outcome.Filter
	// Owner is whom the tail counts against, such as the name of an API key.
	Owner string
}

// Tail shows what happens at all nodes, and what became of it, until Close. Only one goroutine
// at a time may call Take; the other methods may be called concurrently.
type Tail struct {
	b       *Broker
	watcher *outcome.Watcher
	sub     *eventhub.Subscription // to what clients do; nil if that isn't wanted
}

// Tail opens a tail. When it returns, other nodes report to it, except those that
// [Tail.Missing] names. It may be called concurrently. The error is a *[Error].
func (b *Broker) Tail(ctx context.Context, o TailOptions) (*Tail, error) {
	if err := b.validateTail(&o.Filter); err != nil {
		return nil, err
	}
	w, err := b.outcomes.Watch(o.Owner, o.Filter)
	if err != nil {
		return nil, &Error{
			Code: CodeResourceExhausted, Reason: eventhub.ReasonTooManySubscriptions,
			Message: fmt.Sprintf("this node has as many streams of events as it may, which is %d, and %d of one API key; end one first",
				outcome.MaxWatchers, outcome.MaxWatchersOfOwner),
		}
	}
	t := &Tail{b: b, watcher: w}
	if kinds := observedKinds(o.Filter); len(kinds) > 0 {
		t.sub, err = b.events.Subscribe(eventhub.SubscribeOptions{
			Filter: eventhub.Filter{Kinds: kinds, Namespaces: o.Filter.Namespaces}, Observe: true, Credits: tailCredits,
		})
		if err != nil {
			b.outcomes.Unwatch(w)
			return nil, eventsError(err)
		}
		go t.observe()
	}
	if b.watching != nil {
		limited, cancel := context.WithTimeout(ctx, waitAtMost(ctx, callTimeout))
		defer cancel()
		b.watching.Tell(limited)
		if t.sub != nil {
			b.AwaitSubscribed(limited) // a node that doesn't answer is missing in Tell, too
		}
	}
	return t, nil
}

// shareOutcomes lets those who watch at any node of the cluster see what happens at all.
func (b *Broker) shareOutcomes() {
	b.watching = outcome.NewExchange(outcome.ExchangeOptions{
		Recorder: b.outcomes,
		Ask: func(ctx context.Context, m *wire.WatchOutcomes) outcome.Coverage {
			_, partial := callAll[wire.Count](ctx, b, &wire.Op{Op: &wire.Op_WatchOutcomes{WatchOutcomes: m}})
			return outcome.Coverage(partial)
		},
		Send: func(to cluster.NodeID, batch *wire.OutcomeBatch) error {
			op := &wire.Op{Op: &wire.Op_Outcomes{Outcomes: batch}}
			return b.tell(destination{route: cluster.Route{Nodes: []cluster.NodeID{to}}}, op)
		},
	})
}

func (b *Broker) validateTail(f *outcome.Filter) error {
	var v violations
	for field, names := range map[string]*[]string{"namespaces": &f.Namespaces, "users": &f.Users, "rooms": &f.Rooms, "events": &f.Names} {
		if len(*names) > maxTailFilter {
			v.add(field, "there are %d; at most %d are allowed", len(*names), maxTailFilter)
			*names = nil
		}
	}
	for i, name := range f.Namespaces {
		if !slices.Contains(b.namespaceNames, name) {
			v.add(fmt.Sprintf("namespaces[%d]", i), "%q is not one of this broker's namespaces: %v", name, b.namespaceNames)
		}
	}
	validateNames(&v, "users", f.Users, validateUser)
	validateNames(&v, "rooms", f.Rooms, validateRoom)
	validateNames(&v, "events", f.Names, func(v *violations, field, name string) {
		validateName(v, field, "an event's name", name)
	})
	named := func(k outcome.Kind) bool { return k == outcome.Message || k == outcome.Answer || k == outcome.Emit }
	if len(f.Kinds) > 0 && len(f.Names) > 0 && !slices.ContainsFunc(f.Kinds, named) {
		v.add("events", "events selects messages, answers and emits, but kinds includes none of them; add MESSAGE to kinds or leave events empty")
	}
	return v.err()
}

// observedKinds returns the kinds that a filter selects and that the hub tells observers of.
// Messages aren't among them, because they come with their outcome.
func observedKinds(f outcome.Filter) (kinds []eventhub.Kind) {
	if f.Problems {
		return nil
	}
	for _, k := range eventhub.Kinds() {
		if k != eventhub.Message && (len(f.Kinds) == 0 || slices.Contains(f.Kinds, outcome.Kind(k))) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// observe passes what clients do on to the watcher, until the subscription ends. It never
// waits for whoever reads the tail, so that the subscription isn't a slow one.
func (t *Tail) observe() {
	defer t.b.outcomes.Unwatch(t.watcher)
	batch := make([]eventhub.Delivery, tailBatch)
	for {
		n, ended := t.sub.Take(batch)
		for i := range batch[:n] {
			e := outcome.FromClient(&batch[i])
			t.watcher.Offer(&e)
		}
		clear(batch[:n])
		switch {
		case n > 0:
			_ = t.sub.Credit(n) // fails only once it has ended
		case ended != nil:
			return
		default:
			select {
			case <-t.sub.Ready():
			case <-t.sub.Done():
			}
		}
	}
}

// Take returns what has happened since the last call, oldest first, and how many events are
// missing because nobody took them in time.
func (t *Tail) Take() (events []outcome.Event, missed uint64) { return t.watcher.Take() }

// Ready returns a channel that receives a value when there may be events again.
func (t *Tail) Ready() <-chan struct{} { return t.watcher.Ready() }

// Done returns a channel that is closed when the tail has ended, because it was closed or the
// node shuts down.
func (t *Tail) Done() <-chan struct{} { return t.watcher.Done() }

// Missing says which nodes don't report to the tail at the moment.
func (t *Tail) Missing() PartialResult {
	if t.b.watching == nil {
		return PartialResult{}
	}
	return PartialResult(t.b.watching.Coverage())
}

// Close ends the tail. It may be called again.
func (t *Tail) Close() {
	t.b.outcomes.Unwatch(t.watcher)
	if t.b.watching != nil {
		t.b.watching.Changed()
	}
	if t.sub != nil {
		t.sub.Close()
	}
}
