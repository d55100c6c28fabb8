package load

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

const (
	// wipeEvery is every how many rounds all backends are killed, so that none is left to take over.
	wipeEvery = 4
	// absence is how long there is none then.
	absence = 100 * time.Millisecond
)

// backendKills is a KillBackends job that runs.
type backendKills struct {
	job     *job.Job
	events  *events // of the clients
	tally   *tally
	members []*member // that ever were
	living  []*member
	gaps    []gap // when there were none
	kills   int
}

// runKillBackends has clients send events, each with an ack, to a group of backends that are killed as kill -9 does, one after the
// other and now and then all, and replaced. It judges by what came over the clients' wires and what the backends noted.
func runKillBackends(ctx context.Context, j *job.Job) (job.Figures, error) {
	k := &backendKills{job: j, tally: newTally(j.Clients, j.Batch, j.Batches*j.Batch)}
	k.events = &events{job: j, conns: make([]int, j.Clients), hear: k.tally.hear}
	ctx, fail := context.WithCancelCause(ctx) // the backends end with it
	defer fail(nil)
	defer func() {
		for _, m := range k.living {
			m.kill()
		}
	}()
	if err := k.replenish(ctx); err != nil {
		return nil, err
	}
	if err := k.events.connect(ctx); err != nil {
		return nil, err
	}
	took, err := k.happen(ctx, fail)
	counts, _, poolErr := k.events.pool.snapshot()
	k.events.pool.close() // then the tally is ours
	if err := errors.Join(err, poolErr); err != nil {
		return nil, err
	}
	for _, m := range k.living {
		if err := m.alive(); err != nil {
			return nil, err
		}
		m.kill() // then its notes are complete
	}
	f := job.Figures{job.Clients: float64(j.Clients), job.Kills: float64(k.kills), job.Gone: float64(counts.gone)}
	f[job.Rate] = float64(len(k.tally.questions)) / took.Seconds()
	f[job.Behind] = max(0, 100*(1-f[job.Rate]*j.Every.Seconds()/float64(j.Batch)))
	v := answerVerdict{tally: k.tally, gaps: k.gaps, members: k.members}
	v.judge(f)
	for _, example := range v.examples {
		slog.Warn("backends that are killed: " + example)
	}
	if f[job.Redelivered] == 0 {
		return f, errors.New("no event was redelivered: the kills have tried out nothing")
	}
	return f, nil
}

// happen sends all events and kills backends meanwhile, and then leaves everything alone for late answers. It returns how long
// sending took, and calls fail with what goes wrong meanwhile.
func (k *backendKills) happen(ctx context.Context, fail context.CancelCauseFunc) (took time.Duration, err error) {
	begin := time.Now()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if err := k.send(ctx); err != nil {
			fail(err)
		}
		took = time.Since(begin)
	}()
	every := time.Duration(k.job.Batches) * k.job.Every / time.Duration(k.job.Rounds+1)
	for round := 1; round <= k.job.Rounds && err == nil; round++ {
		if err = pause(ctx, time.Until(begin.Add(time.Duration(round)*every))); err == nil {
			err = k.kill(ctx, round%wipeEvery == 0)
		}
	}
	if err != nil {
		fail(err)
	}
	<-sent
	return took, pause(ctx, k.job.Settle)
}

// send has the clients, in turn, send all events at their pace: a batch each, so that several of a socket are in flight at a time and
// their order can be lost.
func (k *backendKills) send(ctx context.Context) error {
	next, number := time.Now(), uint64(0)
	for range k.job.Batches {
		for range k.job.Batch {
			number++
			k.tally.ask(number, time.Now())
			if err := k.events.emit(k.tally.sender(number), number); err != nil {
				return err
			}
		}
		next = next.Add(k.job.Every)
		if err := pause(ctx, time.Until(next)); err != nil {
			return err
		}
	}
	return nil
}

// kill kills all backends, or the one that was handed the most, and replaces them.
func (k *backendKills) kill(ctx context.Context, all bool) error {
	slices.SortFunc(k.living, func(a, b *member) int { return int(b.count.Load() - a.count.Load()) })
	doomed := k.living[:1]
	if all {
		doomed = k.living
	}
	begin := time.Now()
	for _, m := range doomed {
		if err := m.alive(); err != nil {
			return err
		}
		m.killed = begin
	}
	for _, m := range doomed {
		m.kill()
	}
	k.kills += len(doomed)
	k.living = slices.Clone(k.living[len(doomed):])
	if all {
		if err := pause(ctx, absence); err != nil {
			return err
		}
		first, err := k.start(ctx)
		if err != nil {
			return err
		}
		k.gaps = append(k.gaps, gap{from: begin, to: first})
	}
	return k.replenish(ctx)
}

// replenish starts backends until there are enough.
func (k *backendKills) replenish(ctx context.Context) error {
	for len(k.living) < k.job.Backends {
		if _, err := k.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// start starts a backend and returns when it had certainly subscribed.
func (k *backendKills) start(ctx context.Context) (time.Time, error) {
	m, err := startMember(ctx, *k.job)
	if err != nil {
		return time.Time{}, err
	}
	k.members, k.living = append(k.members, m), append(k.living, m)
	return time.Now(), nil
}
