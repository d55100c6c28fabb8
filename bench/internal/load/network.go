package load

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

const (
	// badFor is how long a link is bad, longer than it takes the others to give a server up, and brieflyBadFor shorter.
	badFor        = 7 * time.Second
	brieflyBadFor = time.Second
	// slowDelay and slowRate are those of a slow link.
	slowDelay = 60 * time.Millisecond
	slowRate  = 200 << 10
)

// badLinks are what becomes of the links between servers and Redis.
var badLinks = []struct {
	name string
	condition
	d time.Duration
}{
	{"cut", condition{cut: true}, brieflyBadFor},
	{"cut for long", condition{cut: true}, badFor},
	{"nothing reaches Redis", condition{toRedisLost: true}, badFor},
	{"nothing comes from Redis", condition{toNodeLost: true}, badFor},
	{"late", condition{delay: slowDelay}, brieflyBadFor},
	{"slow", condition{rate: slowRate}, brieflyBadFor},
}

// givenUpAfter is when the others may take a server for lost that they don't hear: after 4 s without a heartbeat, the last of
// which may be a second old.
const givenUpAfter = 3 * time.Second

// outages are when servers may have been taken for lost by those that others can't know to be alive.
type outages struct{ all []outage }

type outage struct {
	node     int
	from, to time.Time
}

// excuse reports whether a message was taken by another server while a client's own had been given up. What that one
// takes itself is not excused: it knows that it is alone.
func (o *outages) excuse(e emission, s *span) bool {
	return e.node != s.node && slices.ContainsFunc(o.all, func(out outage) bool {
		return out.node == s.node && e.answered.After(out.from) && e.begun.Before(out.to)
	})
}

// during is [trouble.during] for servers of which others may not hear in that time.
func (o *outages) during(ctx context.Context, t *trouble, nodes []int, d time.Duration, spoil, mend func()) error {
	begin := time.Now()
	err := t.during(ctx, d, spoil, mend)
	if d > givenUpAfter {
		for _, node := range nodes {
			o.all = append(o.all, outage{node: node, from: begin.Add(givenUpAfter), to: time.Now()})
		}
	}
	return err
}

// ownOnly owes a message to the clients of the server that takes it, and to all others if the answer is complete.
func ownOnly(e emission, s *span) bool { return e.node == s.node }

// runNetwork has the network between servers and Redis fail in all ways, in turn for one server and for all.
func runNetwork(ctx context.Context, j *job.Job) (job.Figures, error) {
	ls, o := &links{}, &outages{}
	v := verdict{owed: ownOnly, excused: o.excuse}
	return runTroubleOn(ctx, j, ls, v, func(t *trouble, ctx context.Context) error {
		for round := range j.Rounds {
			nodes := []int{round / 2 % len(*ls)}
			if round%2 == 1 {
				nodes = []int{0, 1, 2}
			}
			for _, bad := range badLinks {
				err := o.during(ctx, t, nodes, bad.d, func() { ls.set(nodes, bad.condition) }, func() { ls.set(nodes, condition{}) })
				if err != nil {
					return fmt.Errorf("%s, at servers %v: %w", bad.name, nodes, err)
				}
				t.figures[job.Kills]++
			}
		}
		t.figures[job.Gone] = float64(t.witnesses.gone())
		return nil
	})
}

func (ls *links) set(nodes []int, c condition) {
	for _, node := range nodes {
		(*ls)[node].set(c)
	}
}

// during breaks something, mends it after a time, and waits until everyone hears everyone.
func (t *trouble) during(ctx context.Context, d time.Duration, spoil, mend func()) error {
	spoil()
	err := pause(ctx, d)
	mend()
	if err != nil {
		return err
	}
	took, err := t.whole(ctx)
	t.most(job.Resumed, took.Seconds())
	return err
}
