package load

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/proc"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// sampledEvery is how often a soak looks at what the server takes.
	sampledEvery = 5 * time.Second
	// stopping is how long what was begun in a soak may take to its end.
	stopping = 10 * time.Second
)

// soak is a Soak job that runs: clients that stay and watch, and actors, each of which does one thing over and over again.
type soak struct {
	*observer
	job      *job.Job
	dialer   *dialer
	narrow   *dialer  // of those who don't read
	hostile  *dialer  // of attackers
	visitors []client // who come and go
	watch    *watch
	actors   sync.WaitGroup
	fail     context.CancelCauseFunc

	mu      sync.Mutex
	figures job.Figures // how often each thing was done
}

// Soak does a Soak job. It notes what the server takes as it goes.
func Soak(ctx context.Context, j *job.Job, note func(job.Note)) (f job.Figures, err error) {
	s := &soak{job: j, figures: job.Figures{}}
	if s.observer, err = newObserver(j); err != nil {
		return nil, err
	}
	defer s.close()
	for _, d := range []**dialer{&s.dialer, &s.narrow, &s.hostile} {
		if *d, err = newDialer(j.Target.Listen); err != nil {
			return nil, err
		}
	}
	s.narrow.narrow, s.hostile.net = true, hostileNet
	visitors := *j
	visitors.Clients = j.Dropped
	if s.visitors, err = newClients(ctx, &visitors, func(int) []string { return []string{dropped} }); err != nil {
		return nil, err
	}
	if s.watch, err = newWatch(ctx, j); err != nil {
		return nil, err
	}
	defer s.watch.pool.close()
	steady, err := newBackend(ctx, j) // so that there always is one
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, steady.close()) }()
	if err := s.run(ctx, note); err != nil {
		return nil, err
	}
	s.watch.judge(s.figures)
	for _, example := range s.watch.examples {
		slog.Warn("soak: " + example)
	}
	s.figures[job.Faulty], err = faulty(j)
	return s.figures, err
}

// run has all actors act for as long as the job says.
func (s *soak) run(ctx context.Context, note func(job.Note)) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s.fail = fail
	acting, stop := context.WithCancel(ctx)
	defer stop()
	s.begin(acting, ctx)
	begin := time.Now()
	for time.Since(begin) < s.job.Duration && ctx.Err() == nil {
		moment, err := s.sample(ctx)
		if err != nil {
			fail(err)
			break
		}
		moment.Seconds = time.Since(begin).Seconds()
		note(job.Note{Moment: &moment})
		_ = pause(ctx, sampledEvery) // which is looked at next
	}
	stop()
	s.actors.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return s.watch.settle(ctx, stopping)
}

// sample returns what the server takes now.
func (s *soak) sample(ctx context.Context) (job.Moment, error) {
	m, err := s.metrics.read(ctx)
	if err != nil {
		return job.Moment{}, err
	}
	rss, err := proc.RSS(s.job.Target.PID)
	return job.Moment{RSS: float64(rss), Heap: m.liveHeap(), Goroutines: m[goroutines], Files: m[openFiles]}, err
}

// act does something over and over again, about as often as said, until ctx ends. What it has begun it may bring to its end. An error ends the soak.
func (s *soak) act(ctx context.Context, name string, every time.Duration, what func() error) {
	s.actors.Go(func() {
		for pause(ctx, time.Duration(float64(every)*(0.5+rand.Float64()))) == nil {
			if err := what(); err != nil {
				s.fail(fmt.Errorf("%s: %w", name, err))
				return
			}
			s.count(name)
		}
	})
}

func (s *soak) count(figure string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.figures[figure]++
}

// question asks all who watch, and wants all of their answers.
func (s *soak) question(ctx context.Context) error {
	stream, err := salav1.NewMessageServiceClient(s.control).EmitWithAck(authorized(ctx, s.job), &salav1.EmitWithAckRequest{
		Rooms: []string{everyone}, Event: questionEvent, ArgsJson: "[1]",
	})
	if err != nil {
		return err
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		if summary := answer.GetSummary(); summary != nil {
			if int(summary.GetAnswered()) != s.job.Clients {
				return fmt.Errorf("%d clients were asked, and %v", s.job.Clients, summary)
			}
			return nil
		}
	}
}

// flooding is what those get who don't read.
var flooding = []byte(`"` + strings.Repeat("x", flood) + `"`)
