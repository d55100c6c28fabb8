package connections

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/observe"
	"github.com/salabroker/sala/chaos/internal/scenario"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Resets resets connections at random moments of their lives.
type Resets struct {
	// Resets is how many connections are reset.
	Resets int
	// Every is the time between two messages to all clients.
	Every time.Duration
	// Rounds is how many servers take turns.
	Rounds int
	// Args are the server's further arguments.
	Args []string
}

// NewResets returns the scenario. The heartbeats are short because only they find a client that
// vanished on long-polling without a poll pending.
func NewResets(quick bool) scenario.Scenario {
	args := append(scenario.DrainArgs(), "--ping-interval", "3s", "--ping-timeout", "2s")
	if quick {
		return &Resets{6000, 5 * time.Millisecond, 2, args}
	}
	return &Resets{1_000_000, 5 * time.Millisecond, 5, args}
}

// Figures of [Resets].
const (
	figureResets = "resets"
	figureGhosts = "ghosts" // connections and sockets that the server has and the kernel lacks, or the reverse
)

// Info implements [scenario.Scenario].
func (s *Resets) Info() scenario.Info {
	return scenario.Info{
		Name:  "resets",
		Title: "Resets at any moment",
		Description: fmt.Sprintf("%d TCP connections are reset (RST) at random moments of their lives: during the handshake, before and after the connect "+
			"packet, when the connection has just become idle, while an event is answered, in the middle of an upgrade from long-polling. They "+
			"come from all over 127.0.0.0/8. Meanwhile %.0f messages a second go to all clients, and a room that they are in is cleared again and "+
			"again. %d servers take turns, with `%s`; the last one serves TLS. After each server's share, what it reports (`sala_connections`, "+
			"`sala_sockets`, `/v1/sockets`, the sockets that a message matches) is compared with the connections that the kernel has: those of "+
			"clients that stay throughout. Then further connections are reset while the server gets SIGTERM.",
			s.Resets, 1/s.Every.Seconds(), s.Rounds, strings.Join(s.Args, " ")),
		Limits: []scenario.Limit{
			scenario.Zero(figureGhosts, "connections and sockets that the server has and the kernel lacks, or the reverse"),
			scenario.Zero(scenario.Stayed, "connections that the kernel has besides those that stay"),
			{Figure: scenario.Ended, Max: scenario.DrainTimeout.Seconds() + 2, What: "seconds until a server had ended"},
			scenario.Zero(scenario.ExitedBadly, "exit codes other than 0"),
			scenario.Zero(scenario.Faulty, "log lines that report a failure of the broker itself"),
		},
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%.0f connections reset in %.0f s", f[figureResets], f[scenario.Seconds])
		},
	}
}

const (
	// resetters is how many clients are about to be reset at a time.
	resetters = 64
	// redialDelay is how long a client waits that could not connect.
	redialDelay = 5 * time.Millisecond
	// clearedRoom is the room that is cleared, and that the clients are in.
	clearedRoom = "fleeting"
	// clearEvery is after how many messages the room is cleared.
	clearEvery = 10
)

// resetsRound is one round of [Resets]: one server.
type resetsRound struct {
	*Resets
	timeout time.Duration
	server  *process.Server
	target  *process.Target
	tls     *tls.Config // nil without TLS
	control *grpc.ClientConn
	scraper *observe.Scraper
	clients []load.Client

	resets atomic.Int64
}

// Run implements [scenario.Scenario].
func (s *Resets) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	command, err := env.Single(s.Args...)
	if err != nil {
		return nil, err
	}
	f := results.Figures{}
	begin := time.Now()
	for round := range s.Rounds {
		if err := s.round(ctx, env, command, f, round == s.Rounds-1); err != nil {
			return nil, fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	f[scenario.Seconds] = time.Since(begin).Seconds()
	return f, nil
}

func (s *Resets) round(ctx context.Context, env *scenario.Env, command process.Command, f results.Figures, secure bool) error {
	r := &resetsRound{Resets: s, timeout: env.Timeout}
	if secure {
		folder, err := os.MkdirTemp("", "resets")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(folder) }() // in the folder for temporary files
		cert, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
		if r.tls, err = writeCertificate(cert, key); err != nil {
			return err
		}
		command.Args = append(slices.Clone(command.Args), "--tls-cert", cert, "--tls-key", key)
	}
	var err error
	if r.server, err = process.Start(ctx, &command); err != nil {
		return err
	}
	defer r.server.Kill() // it has ended, or is stuck
	r.target = r.server.Target()
	r.scraper = observe.NewScraper(r.target)
	defer r.scraper.Close()
	if r.control, err = r.target.DialControl(); err != nil {
		return err
	}
	defer r.control.Close()
	if r.clients, err = load.NewClients(ctx, r.target, resetters, load.InRooms(load.Everyone, clearedRoom)); err != nil {
		return err
	}
	if err := r.run(ctx, f); err != nil {
		return err
	}
	failures, err := r.target.LoggedFailures()
	f.Raise(scenario.Faulty, failures) // of all rounds, which share a log
	return err
}

// run resets connections until there have been enough, compares counts, and ends the server during
// further resets.
func (r *resetsRound) run(ctx context.Context, f results.Figures) error {
	lasting, err := r.connectLasting(ctx)
	if err != nil {
		return err
	}
	defer lasting.close()
	if err := r.resetEnough(ctx); err != nil {
		return err
	}
	if err := r.compare(ctx, f, lasting.count()); err != nil {
		return err
	}
	err = r.terminateAmongResets(ctx, f)
	f[figureResets] += float64(r.resets.Load())
	return err
}

// resetEnough resets this round's share of connections while messages are published.
func (r *resetsRound) resetEnough(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	published := make(chan error, 1)
	go func() {
		_, err := r.publish(ctx, math.MaxInt)
		published <- err
	}()
	share := int64(r.Resets.Resets / r.Rounds)
	var resetting sync.WaitGroup
	for i := range resetters {
		resetting.Go(func() {
			for r.resets.Load() < share && r.resetOne(ctx, i) {
			}
		})
	}
	resetting.Wait()
	cancel()
	err := <-published
	if errors.Is(err, context.Canceled) || status.Code(errors.Unwrap(err)) == codes.Canceled {
		return nil
	}
	return err
}

// terminateAmongResets sends the server SIGTERM while connections are reset.
func (r *resetsRound) terminateAmongResets(ctx context.Context, f results.Figures) error {
	resettingCtx, stop := context.WithCancel(ctx)
	var resetting sync.WaitGroup
	for i := range resetters {
		resetting.Go(func() {
			for r.resetOne(resettingCtx, i) {
			}
		})
	}
	err := load.Sleep(ctx, inFlight)
	if err == nil {
		err = terminate(ctx, r.server, r.timeout, f)
	}
	stop()
	resetting.Wait()
	return err
}

// resetOne connects a client and resets it. It reports false once ctx has ended.
func (r *resetsRound) resetOne(ctx context.Context, i int) bool {
	c := &resetClient{round: r, client: r.clients[i]}
	c.live() // an error means that the server has ended, which the caller judges
	n := c.reset()
	r.resets.Add(n)
	if n == 0 && load.Sleep(ctx, redialDelay) != nil {
		return false
	}
	return ctx.Err() == nil
}

// publish emits to all clients a number of times, or until ctx ends, and clears a room now and
// then. It returns how many sockets the last message matched.
func (r *resetsRound) publish(ctx context.Context, times int) (matched int, err error) {
	messages, rooms := salav1.NewMessageServiceClient(r.control), salav1.NewRoomServiceClient(r.control)
	ctx = r.target.Authorize(ctx)
	for n := 1; n <= times; n++ {
		answer, err := messages.Emit(ctx, load.NewEmit(load.Everyone, observe.NewMessage(0, uint64(n))))
		if err != nil {
			return 0, fmt.Errorf("emitting: %w", err)
		}
		matched = int(answer.GetMatched())
		if n%clearEvery == 0 {
			if _, err := rooms.ClearRoom(ctx, &salav1.ClearRoomRequest{Room: clearedRoom}); err != nil {
				return 0, fmt.Errorf("clearing a room: %w", err)
			}
		}
		if err := load.Sleep(ctx, r.Every); err != nil && times > 1 {
			return matched, err
		}
	}
	return matched, nil
}

// compare compares what the server has with what the kernel has, once the server has had time to
// notice the last resets.
func (r *resetsRound) compare(ctx context.Context, f results.Figures, lasting int) error {
	m, err := r.scraper.Await(ctx, r.timeout, func(m observe.Metrics) bool {
		return int(m[observe.Connections]) == lasting && int(m[observe.Sockets]) == lasting
	})
	if err != nil {
		return err
	}
	kernel, err := observe.Established(r.target.Listen)
	if err != nil {
		return err
	}
	listed, err := r.countListed(ctx)
	if err != nil {
		return err
	}
	matched, err := r.publish(ctx, 1)
	if err != nil {
		return err
	}
	for what, n := range map[string]int{
		"sala_connections": int(m[observe.Connections]), "sala_sockets": int(m[observe.Sockets]), "/v1/sockets": listed, "matched": matched,
	} {
		if n != kernel {
			slog.Warn("resets: the server and the kernel disagree", "what", what, "server", n, "kernel", kernel)
			f[figureGhosts] += math.Abs(float64(n - kernel))
		}
	}
	f[scenario.Stayed] += math.Abs(float64(kernel - lasting))
	return nil
}

// countListed returns how many sockets the API lists.
func (r *resetsRound) countListed(ctx context.Context) (n int, err error) {
	sockets := salav1.NewSocketServiceClient(r.control)
	for page := ""; ; {
		answer, err := sockets.ListSockets(r.target.Authorize(ctx), &salav1.ListSocketsRequest{PageSize: 1000, PageToken: page})
		if err != nil {
			return 0, fmt.Errorf("listing the sockets: %w", err)
		}
		n += len(answer.GetSockets())
		if page = answer.GetNextPageToken(); page == "" {
			return n, nil
		}
	}
}
