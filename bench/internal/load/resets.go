package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/server"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// resetters is how many clients are there at a time whose connections are about to be reset.
	resetters = 64
	// redial is how long one waits that finds nobody listening any more.
	redial = 5 * time.Millisecond
	// fleeting is the room that is cleared again and again, and that clients who are to be reset are in.
	fleeting = "fleeting"
	// clearings is how many messages go to everyone between two clearings.
	clearings = 10
)

// resets is one round of a Resets job: one server.
type resets struct {
	job     *job.Job
	server  *server.Server
	tls     *tls.Config // nil without TLS
	control *grpc.ClientConn
	metrics *scraper
	clients []client
	wanted  int64 // resets before the count

	done atomic.Int64 // connections that have been reset
}

// runResets resets connections at random moments of their lives, at several servers in turn, the last of which speaks TLS.
// It compares what each server says it has with what the kernel has, and ends the server while more connections are reset.
func runResets(ctx context.Context, j *job.Job) (job.Figures, error) {
	f := job.Figures{}
	begin := time.Now()
	for round := range j.Rounds {
		if err := resetRound(ctx, j, f, round == j.Rounds-1); err != nil {
			return nil, fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	f[job.Seconds] = time.Since(begin).Seconds()
	return f, nil
}

func resetRound(ctx context.Context, j *job.Job, f job.Figures, secure bool) error {
	command := j.Servers[0]
	var config *tls.Config
	if secure {
		folder, err := os.MkdirTemp("", "resets")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(folder) }()
		cert, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
		if config, err = writeCertificate(cert, key); err != nil {
			return err
		}
		command.Args = append(append([]string{}, command.Args...), "--tls-cert", cert, "--tls-key", key)
	}
	s, err := server.Start(ctx, &command)
	if err != nil {
		return err
	}
	defer s.Kill() // it has ended, or never will
	alone := *j
	alone.Target, alone.Clients = s.Target(), resetters
	r := &resets{job: &alone, server: s, tls: config, wanted: int64(j.Clients / j.Rounds), metrics: newScraper(&alone)}
	defer r.metrics.close()
	if r.control, err = dialControl(r.job); err != nil {
		return err
	}
	defer r.control.Close()
	if r.clients, err = newClients(ctx, r.job, func(int) []string { return []string{everyone, fleeting} }); err != nil {
		return err
	}
	if err := r.run(ctx, f); err != nil {
		return err
	}
	faults, err := faulty(r.job)
	f[job.Faulty] = max(f[job.Faulty], faults) // of all rounds: they share a log
	return err
}

// run resets connections until there have been enough, counts what is left, and ends the server among further resets.
func (r *resets) run(ctx context.Context, f job.Figures) error {
	stay, err := r.openStayers(ctx)
	if err != nil {
		return err
	}
	defer stay.close()
	if err := r.crowd(ctx, r.wanted, func(ctx context.Context) error {
		_, err := r.publish(ctx, math.MaxInt)
		return err
	}); err != nil {
		return err
	}
	if err := r.count(ctx, f, stay.count()); err != nil {
		return err
	}
	err = r.crowd(ctx, math.MaxInt64, func(ctx context.Context) error { return r.terminate(ctx, f) })
	f[job.ResetConns] += float64(r.done.Load())
	return err
}

// crowd has clients connect and resets them, until so many connections have been reset in all or meanwhile has returned, which it
// ends in the first case.
func (r *resets) crowd(ctx context.Context, until int64, meanwhile func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- meanwhile(ctx) }()
	var failed error
	over := make(chan struct{})
	var resetting sync.WaitGroup
	for i := range resetters {
		resetting.Go(func() {
			for r.done.Load() < until {
				select {
				case <-over:
					return
				default:
				}
				v := &victim{resets: r, client: r.clients[i]}
				v.live() // an error means that the server has gone, which is for others to judge
				if n := v.reset(); n > 0 {
					r.done.Add(n)
				} else if pause(ctx, redial) != nil {
					return
				}
			}
		})
	}
	if until == math.MaxInt64 {
		failed = <-ended
		close(over)
		resetting.Wait()
		return failed
	}
	resetting.Wait()
	cancel()
	failed = <-ended
	if errors.Is(failed, context.Canceled) || grpcCanceled(failed) {
		return nil
	}
	return failed
}

// publish emits to everyone, so many times or until ctx ends, clears a room now and then, and returns how many sockets the last
// message was for.
func (r *resets) publish(ctx context.Context, times int) (matched int, err error) {
	messages, rooms := salav1.NewMessageServiceClient(r.control), salav1.NewRoomServiceClient(r.control)
	ctx = authorized(ctx, r.job)
	for n := 1; n <= times; n++ {
		answer, err := messages.Emit(ctx, newEmit(everyone, newPayload(uint64(n)<<8, 0)))
		if err != nil {
			return 0, fmt.Errorf("emitting: %w", err)
		}
		matched = int(answer.GetMatched())
		if n%clearings == 0 {
			if _, err := rooms.ClearRoom(ctx, &salav1.ClearRoomRequest{Room: fleeting}); err != nil {
				return 0, fmt.Errorf("clearing a room: %w", err)
			}
		}
		if err := pause(ctx, r.job.Every); err != nil && times > 1 {
			return matched, err
		}
	}
	return matched, nil
}

// count compares what the server has with what the kernel has, once the server has had time to notice the last ends. Ghosts are
// all that is there and shouldn't be, or that should and isn't.
func (r *resets) count(ctx context.Context, f job.Figures, stay int) error {
	m, err := r.metrics.await(ctx, r.job.Patience, func(m metrics) bool {
		return int(m[openConnections]) == stay && int(m[openSockets]) == stay
	})
	if err != nil {
		return err
	}
	kernel, err := established(r.job.Target.Listen)
	if err != nil {
		return err
	}
	listed, err := r.listed(ctx)
	if err != nil {
		return err
	}
	matched, err := r.publish(ctx, 1)
	if err != nil {
		return err
	}
	for what, n := range map[string]int{
		"sala_connections": int(m[openConnections]), "sala_sockets": int(m[openSockets]), "/v1/sockets": listed, "matched": matched,
	} {
		if n != kernel {
			slog.Warn("resets", "the server says", n, "as", what, "the kernel says", kernel)
			f[job.Ghosts] += math.Abs(float64(n - kernel))
		}
	}
	f[job.Stayed] += math.Abs(float64(kernel - stay))
	return nil
}

// listed returns how many sockets the API lists.
func (r *resets) listed(ctx context.Context) (n int, err error) {
	sockets := salav1.NewSocketServiceClient(r.control)
	for page := ""; ; {
		answer, err := sockets.ListSockets(authorized(ctx, r.job), &salav1.ListSocketsRequest{PageSize: 1000, PageToken: page})
		if err != nil {
			return 0, fmt.Errorf("listing the sockets: %w", err)
		}
		n += len(answer.GetSockets())
		if page = answer.GetNextPageToken(); page == "" {
			return n, nil
		}
	}
}

// terminate tells the server to end and waits until it has.
func (r *resets) terminate(ctx context.Context, f job.Figures) error {
	if err := pause(ctx, inFlight); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.job.Patience, errors.New("the server does not end"))
	defer cancel()
	begin := time.Now()
	if err := r.server.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-r.server.Ended():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	f[job.Ended] = max(f[job.Ended], time.Since(begin).Seconds())
	if r.server.ExitCode() != 0 {
		f[job.Failed]++
	}
	return nil
}
