package load

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/server"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// underLoad is how long everything goes on before the server is told to end.
	underLoad = 2 * time.Second
	// inFlight is how long before that an event may be sent whose answer the end of its connection may forestall.
	inFlight = time.Second
)

// termination is one round of a Terminate job.
type termination struct {
	job     *job.Job
	server  *server.Server
	control *grpc.ClientConn
	watch   *watch

	// Of one goroutine each, by way: to how many clients each message was queued, in order. The first has the number 1.
	queued [speeches][]int
}

// runTerminate starts a server, has messages and events come and go, and tells it to end (SIGTERM) in the middle of that, several times over.
func runTerminate(ctx context.Context, j *job.Job) (job.Figures, error) {
	f := job.Figures{}
	for round := range j.Rounds {
		if err := terminateOnce(ctx, j, f); err != nil {
			return nil, fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	f[job.Kills] = float64(j.Rounds)
	return f, nil
}

func terminateOnce(ctx context.Context, j *job.Job, f job.Figures) error {
	s, err := server.Start(ctx, &j.Servers[0])
	if err != nil {
		return err
	}
	defer s.Stop()
	alone := *j
	alone.Target = s.Target()
	t := &termination{job: &alone, server: s}
	if t.control, err = dialControl(t.job); err != nil {
		return err
	}
	defer t.control.Close()
	if t.watch, err = newWatch(ctx, t.job); err != nil {
		return err
	}
	defer t.watch.pool.close()
	b, err := newBackend(ctx, t.job)
	if err != nil {
		return err
	}
	defer func() { _ = b.close() }() // the server has ended its stream
	return t.run(ctx, f)
}

// run has everything go on until the server has ended, and adds the figures.
func (t *termination) run(ctx context.Context, f job.Figures) error {
	ctx, cancel := context.WithTimeoutCause(ctx, t.job.Patience, errors.New("the server does not end"))
	defer cancel()
	var speaking sync.WaitGroup
	speaking.Go(func() { t.call(ctx) })
	speaking.Go(func() { t.stream(ctx) })
	speaking.Go(func() { t.ask(ctx) })
	if err := pause(ctx, underLoad); err != nil {
		return err
	}
	early := t.watch.asks()
	if err := pause(ctx, inFlight); err != nil {
		return err
	}
	begin := time.Now()
	if err := t.server.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-t.server.Ended():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	f[job.Ended] = max(f[job.Ended], time.Since(begin).Seconds())
	if t.server.ExitCode() != 0 {
		f[job.Failed]++
	}
	cancel()
	speaking.Wait()
	if err := t.watch.ended(t.job.Patience); err != nil {
		return err
	}
	t.judge(f, early)
	return nil
}

// call emits by single calls until one isn't answered.
func (t *termination) call(ctx context.Context) {
	messages := salav1.NewMessageServiceClient(t.control)
	for n := uint64(1); pause(ctx, t.job.Every) == nil; n++ {
		answer, err := messages.Emit(authorized(ctx, t.job), newEmit(everyone, newPayload(n<<8, 0)))
		if err != nil {
			return
		}
		t.queued[0] = append(t.queued[0], int(answer.GetQueued()))
	}
}

// stream emits over a stream, without waiting for answers, until it ends.
func (t *termination) stream(ctx context.Context) {
	stream, err := salav1.NewMessageServiceClient(t.control).EmitStream(authorized(ctx, t.job))
	if err != nil {
		return
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		for n := uint64(1); pause(ctx, t.job.Every) == nil; n++ {
			request := &salav1.EmitStreamRequest{Sequence: n, Emit: newEmit(everyone, newPayload(n<<8|1, 0))}
			if stream.Send(request) != nil {
				return
			}
		}
	})
	defer sending.Wait()
	for {
		answer, err := stream.Recv()
		if err != nil || answer.GetResult().GetError() != nil {
			return
		}
		t.queued[1] = append(t.queued[1], int(answer.GetResult().GetQueued()))
	}
}

// ask has clients send events, each with an ack, while there are any.
func (t *termination) ask(ctx context.Context) {
	for pause(ctx, t.job.Every/2) == nil {
		_ = t.watch.ask() // its client may have been sent away
	}
}

// judge compares what was accepted with what clients got.
func (t *termination) judge(f job.Figures, early uint64) {
	w := t.watch
	for way, queued := range t.queued {
		for i, n := range queued {
			got := 0
			for _, last := range w.last {
				if last[way] > uint64(i) {
					got++
				}
			}
			f[job.Accepted]++
			f[job.Received] += float64(got)
			if got != n {
				f[job.Missing] += float64(max(n-got, got-n))
				w.example("message %d of way %d was queued to %d clients, and %d got it", i+1, way, n, got)
			}
		}
	}
	for number := range w.asked {
		if number <= early {
			f[job.Unanswered]++
			w.example("event %d was not answered", number)
		}
	}
	f[job.Asked] += float64(w.sequence - w.unsent)
	f[job.Answered] += float64(w.answered)
	f[job.OtherCodes] += float64(w.codes)
	f[job.Disorder] += float64(w.disorder + w.missing)
	f[job.Stray] += float64(w.stray)
	f[job.Clients] += float64(len(w.fds))
	f[job.Unheard] += float64(len(w.fds) - w.farewells)
	for _, example := range w.examples {
		slog.Warn("SIGTERM: " + example)
	}
}
