package clusters

import (
	"context"
	"slices"
	"time"

	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/observe"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// verdict compares what nodes accepted with what each client received. It knows nothing else of the
// nodes.
type verdict struct {
	messages []message // in the order in which they were sent
	clients  *clusterClients
	// owed says whether an accepted message is owed to a client that was connected throughout, even
	// if not all nodes counted it.
	owed func(message, *connection) bool
	// excused says that a client need not be counted, since its node was taken for dead and had no
	// way to say otherwise; nil for never.
	excused func(message, *connection) bool
	// grace is how long before the end of a connection an accepted message may be lost with it.
	grace time.Duration

	due      []int // by message: how many clients were connected for it
	missing  int
	untold   int
	disorder int
	examples observe.Examples // of what went wrong
}

// ownNode owes a message to the clients of the node that accepted it.
func ownNode(m message, c *connection) bool { return m.node == c.node }

// addTo adds the figures.
func (v *verdict) addTo(f results.Figures) {
	v.due = make([]int, len(v.messages))
	accepted := make(map[uint64]bool, len(v.messages))
	for _, m := range v.messages {
		accepted[m.number] = m.accepted
	}
	for i, client := range v.clients.list {
		for _, c := range client.connections {
			v.checkOrder(i, c, accepted)
			v.checkMissing(i, c)
		}
	}
	for _, figure := range []string{scenario.Accepted, figureComplete, figureShort} {
		f[figure] = 0
	}
	for i, m := range v.messages {
		if m.accepted {
			f[scenario.Accepted]++
		}
		if !m.complete {
			continue
		}
		f[figureComplete]++
		if int(m.matched) < v.due[i] {
			f[figureShort]++
			v.examples.Add("message %d matched %d clients, but %d were connected", m.number, m.matched, v.due[i])
		}
	}
	f[scenario.Clients] = float64(len(v.clients.list))
	f[scenario.Received] = float64(v.clients.received())
	f[scenario.Missing], f[figureUntold], f[scenario.Disorder] = float64(v.missing), float64(v.untold), float64(v.disorder)
}

// checkOrder checks that no message came twice over a connection, and that each publisher's
// messages came in order. The order does not apply to messages without an answer, since the
// publisher did not wait for one before the next message.
func (v *verdict) checkOrder(client int, c *connection, accepted map[uint64]bool) {
	last := make(map[int]uint64) // by publisher
	seen := make(map[uint64]bool, len(c.received))
	for _, number := range c.received {
		from := publisherOf(number)
		if seen[number] || accepted[number] && number < last[from] {
			v.disorder++
			v.examples.Add("client %d received message %d twice, or after %d", client, number, last[from])
		}
		seen[number] = true
		if accepted[number] {
			last[from] = max(last[from], number)
		}
	}
}

// checkMissing looks for messages that a connection lacks.
func (v *verdict) checkMissing(client int, c *connection) {
	received := make(map[uint64]struct{}, len(c.received))
	for _, number := range c.received {
		received[number] = struct{}{}
	}
	first, _ := slices.BinarySearchFunc(v.messages, c.from, func(m message, t time.Time) int { return m.sent.Compare(t) })
	for i := first; i < len(v.messages); i++ {
		m := v.messages[i]
		if !c.to.IsZero() && m.sent.After(c.to) {
			return
		}
		if !c.to.IsZero() && m.answered.Add(v.grace).After(c.to) {
			continue
		}
		if v.excused != nil && v.excused(m, c) {
			continue
		}
		v.due[i]++
		if _, ok := received[m.number]; ok || !m.accepted {
			continue
		}
		switch {
		case v.owed(m, c):
			v.missing++
		case m.complete:
			v.untold++
		default:
			continue
		}
		v.examples.Add("client %d at node %d lacks message %d, which node %d answered at %s after %v (complete: %v), connected from %s to %s",
			client, c.node+1, m.number, m.node+1, clock(m.answered), m.answered.Sub(m.sent), m.complete, clock(c.from), clock(c.to))
	}
}

// clock formats a time as the nodes' logs do; "now" for the zero time of a connection that hasn't ended.
func clock(t time.Time) string {
	if t.IsZero() {
		return "now"
	}
	return t.UTC().Format("15:04:05.000")
}

// givenUpAfter is when other nodes may take a node for dead: after 4 s without a heartbeat, the
// last of which may be a second old.
const givenUpAfter = 3 * time.Second

// outages records when nodes may have been taken for dead.
type outages struct{ all []outage }

type outage struct {
	node     int
	from, to time.Time
}

// add records that other nodes may not have heard from nodes since begin.
func (o *outages) add(begin time.Time, nodes ...int) {
	for _, node := range nodes {
		o.all = append(o.all, outage{node: node, from: begin.Add(givenUpAfter), to: time.Now()})
	}
}

// excuse excuses a client for a message that another node accepted while the client's own node may
// have been taken for dead. It does not excuse what the client's own node accepted, since that node
// knows that it is alone.
func (o *outages) excuse(m message, c *connection) bool {
	return m.node != c.node && slices.ContainsFunc(o.all, func(out outage) bool {
		return out.node == c.node && m.answered.After(out.from) && m.sent.Before(out.to)
	})
}

// during is [chaosRun.breakFor] for a fault in which others may not hear from nodes.
func (o *outages) during(ctx context.Context, r *chaosRun, nodes []int, d time.Duration, breakIt, repair func() error) error {
	begin := time.Now()
	err := r.breakFor(ctx, d, breakIt, repair)
	if d > givenUpAfter {
		o.add(begin, nodes...)
	}
	return err
}
