package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// tailCredits is how many events may be on their way to a tail.
const tailCredits = 2000

// How long a tail waits before it connects again: twice as long each time.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 10 * time.Second
)

// Tail prints what clients do as it happens.
type Tail struct {
	Namespace []string `sep:"none" placeholder:"NAME" help:"Only these namespaces. Repeat it for several."`
	Event     []string `sep:"none" placeholder:"NAME" help:"Only messages of these names, and no other kind unless --kind says so. Repeat it for several."`
	Kind      []string `placeholder:"KIND" help:"Only these kinds: ${kinds}. Repeat it, or separate by commas, for several."`
	Group     string   `placeholder:"NAME" help:"Share the events with all tails of this group: each event goes to one of them. Without it every event comes here. Backends get all of theirs either way."`
	Count     int      `short:"n" placeholder:"N" help:"End after so many events."`
	Output    string   `short:"o" enum:"text,json" default:"text" placeholder:"FORMAT" help:"One of text, a line for people for each event, and json, a JSON object on a line for scripts."`
	Client
}

// Help is shown below the usage.
func (*Tail) Help() string {
	return `It only looks on: backends get what they would get without it, and clients are answered as if it weren't there. ` +
		`When the connection to the broker is lost it connects again by itself and says so; what happened in between is missing. ` +
		`Ctrl-C ends it. Colours are for terminals; NO_COLOR turns them off.`
}

// Run implements the command.
func (t *Tail) Run(ctx context.Context, s *Streams) error {
	start, err := t.start()
	if err != nil {
		return err
	}
	conn, err := t.dial(
		// A broker that is gone without a word is noticed.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstPause, Multiplier: 1.6, Jitter: 0.2, MaxDelay: longestPause},
			MinConnectTimeout: t.Timeout,
		}),
	)
	if err != nil {
		return err
	}
	f := &follower{
		tail:   t,
		client: salav1.NewEventServiceClient(conn),
		start:  start,
		out:    newEventPrinter(s.Out, t.Output == "json"),
		notes:  s.Err,
	}
	err = f.run(ctx)
	_ = conn.Close() // there is nothing to lose
	return err
}

func (t *Tail) start() (*salav1.SubscribeStart, error) {
	if t.Count < 0 {
		return nil, &UsageError{Message: "--count must be above zero; leave it out to go on for ever"}
	}
	kinds, err := parseKinds(t.Kind)
	if err != nil {
		return nil, err
	}
	if len(t.Event) > 0 && len(kinds) == 0 {
		kinds = []salav1.EventKind{salav1.EventKind_EVENT_KIND_MESSAGE}
	}
	return &salav1.SubscribeStart{
		Group:      t.Group,
		Namespaces: t.Namespace,
		Events:     t.Event,
		Kinds:      kinds,
		Credits:    tailCredits,
		Observe:    true,
	}, nil
}

// parseKinds takes MESSAGE, message and EVENT_KIND_MESSAGE; room-opened too.
func parseKinds(words []string) ([]salav1.EventKind, error) {
	var kinds []salav1.EventKind
	for _, word := range words {
		name := strings.ReplaceAll(strings.ToUpper(word), "-", "_")
		kind, ok := salav1.EventKind_value[kindPrefix+strings.TrimPrefix(name, kindPrefix)]
		if !ok || kind == 0 {
			return nil, &UsageError{Message: fmt.Sprintf("--kind %s is no kind of event; there are %s", word, KindNames())}
		}
		kinds = append(kinds, salav1.EventKind(kind))
	}
	return kinds, nil
}

const kindPrefix = "EVENT_KIND_"

// KindNames lists the kinds of events as people write them.
func KindNames() string {
	var names []string
	for kind := salav1.EventKind(1); int(kind) < len(salav1.EventKind_name); kind++ {
		names = append(names, kindName(kind))
	}
	return strings.Join(names, ", ")
}

func kindName(kind salav1.EventKind) string {
	return strings.ToLower(strings.TrimPrefix(kind.String(), kindPrefix))
}

// follower follows the events over as many streams as it takes.
type follower struct {
	tail    *Tail
	client  salav1.EventServiceClient
	start   *salav1.SubscribeStart
	out     *eventPrinter
	notes   io.Writer
	printed int
	// started says that the last stream has begun.
	started bool
}

// run returns nil once there have been enough events or ctx has ended.
func (f *follower) run(ctx context.Context) error {
	pause := firstPause
	for again := false; ; again = true {
		err := f.follow(ctx)
		switch {
		case ctx.Err() != nil || err == nil:
			return nil
		case !mayComeBack(err) || !f.started && !again:
			return f.tail.explain(err)
		}
		if f.started {
			pause = firstPause
		}
		wait := pause/2 + rand.N(pause/2) //nolint:gosec // only spreads tails that lost the same broker
		fmt.Fprintf(f.notes, "sala: not connected, trying again in %s: %s\n", wait.Round(100*time.Millisecond), status.Convert(err).Message())
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, longestPause)
	}
}

// mayComeBack reports whether another stream may do better.
func mayComeBack(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented:
		return false
	}
	var own *outputError
	return !errors.As(err, &own)
}

// follow prints what one stream brings. It returns nil after enough events.
func (f *follower) follow(ctx context.Context) error {
	f.started = false
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := status.Errorf(codes.DeadlineExceeded, "%s did not answer within %s", f.tail.Server, f.tail.Timeout)
	timer := time.AfterFunc(f.tail.Timeout, func() { cancel(late) })
	defer timer.Stop()

	stream, err := f.client.Subscribe(ctx)
	if err != nil {
		return err
	}
	// Errors of Send say less than those of Recv, which follow them.
	_ = stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: f.start}})
	unpaid := uint32(0)
	for {
		response, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return status.Error(codes.Unavailable, "the broker has ended the stream")
		case err != nil && errors.Is(context.Cause(ctx), late):
			return late
		case err != nil:
			return err
		}
		if response.GetStarted() != nil {
			timer.Stop()
			f.started = true
			fmt.Fprintf(f.notes, "sala: listening to %s; Ctrl-C ends it\n", f.tail.Server)
		}
		event := response.GetEvent()
		if event == nil {
			continue
		}
		if err := f.out.print(event); err != nil {
			return &outputError{err}
		}
		if f.printed++; f.printed == f.tail.Count {
			return nil
		}
		if unpaid++; unpaid == tailCredits/2 {
			_ = stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Credit{Credit: &salav1.EventCredit{Credits: unpaid}}})
			unpaid = 0
		}
	}
}

// outputError says that the output can't be written to.
type outputError struct{ error }
