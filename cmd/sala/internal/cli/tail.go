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

// tailCredits is how many events may be in flight to a tail.
const tailCredits = 2000

// How long a tail waits before it reconnects. The wait doubles each time.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 10 * time.Second
)

// Tail prints events from clients as they happen.
type Tail struct {
	Namespace []string `sep:"none" placeholder:"NAME" help:"Print only events of these namespaces. Repeatable."`
	User      []string `sep:"none" placeholder:"NAME" help:"Print only what these users do or are sent by name. Repeatable."`
	Room      []string `sep:"none" placeholder:"NAME" help:"Print only what is about these rooms. Repeatable."`
	Event     []string `sep:"none" placeholder:"NAME" help:"Print only messages with these names, and other kinds only if --kind lists them. Repeatable."`
	Problems  bool     `help:"Print only what was refused, dropped or incomplete, and limits that were hit."`
	Kind      []string `placeholder:"KIND" help:"Print only these kinds: ${kinds}. Repeatable; commas separate too."`
	Group     string   `placeholder:"NAME" help:"Share the events among all tails of this group: each event goes to one of them, without its outcome. Backends get their events in any case."`
	Count     int      `short:"n" placeholder:"N" help:"Exit after this many events."`
	Output    string   `short:"o" enum:"text,json" default:"text" placeholder:"FORMAT" help:"Output format, one event per line: text for people, json for scripts."`
	Client
}

// Help implements kong.HelpProvider.
func (*Tail) Help() string {
	return `Besides the events of clients the command prints what became of them: to how many sockets a rule relayed them, ` +
		`which groups of backends handle them and how they answered, or the code with which they were refused. It prints ` +
		`refused connects, emits of backends with their report, limits that were hit, and messages that were dropped for a socket, too. ` +
		`The command only observes: backends get the same events as without it, and clients get the same answers. ` +
		`If the connection to the broker is lost, it says so and reconnects; events in between are missing. ` +
		`Press Ctrl-C to stop. Set NO_COLOR to turn off colours.`
}

// Run implements the command.
func (t *Tail) Run(ctx context.Context, s *Streams) error {
	source, err := t.source()
	if err != nil {
		return err
	}
	conn, err := t.dial(
		// Notice a broker that disappears without closing the connection.
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
		conn:   conn,
		source: source,
		out:    newEventPrinter(s.Out, t.Output == "json"),
		notes:  s.Err,
	}
	err = f.run(ctx)
	_ = conn.Close() // there is nothing to lose
	return err
}

// source returns where the events come from: only a subscription can share them among a group.
func (t *Tail) source() (tailSource, error) {
	if t.Count < 0 {
		return nil, &UsageError{Message: "--count must be above zero; leave it out to print events until Ctrl-C"}
	}
	kinds, err := parseKinds(t.Kind)
	if err != nil {
		return nil, err
	}
	if len(t.Event) > 0 && len(kinds) == 0 {
		kinds = []salav1.EventKind{salav1.EventKind_EVENT_KIND_MESSAGE}
	}
	if t.Group == "" {
		return &outcomeSource{request: &salav1.TailRequest{
			Namespaces: t.Namespace, Kinds: kinds, Users: t.User, Rooms: t.Room, Events: t.Event, Problems: t.Problems,
		}}, nil
	}
	if t.needsOutcomes() {
		return nil, &UsageError{Message: "--group shares the events of clients, and can't be combined with --user, --room and --problems"}
	}
	return t.subscription(kinds), nil
}

// needsOutcomes reports whether a subscription can't select what to print.
func (t *Tail) needsOutcomes() bool { return len(t.User)+len(t.Room) > 0 || t.Problems }

func (t *Tail) subscription(kinds []salav1.EventKind) *subscribeSource {
	return &subscribeSource{start: &salav1.SubscribeStart{
		Group:      t.Group,
		Namespaces: t.Namespace,
		Events:     t.Event,
		Kinds:      kinds,
		Credits:    tailCredits,
		Observe:    true,
	}}
}

// olderSource returns where the events come from if the broker is of a release that knows no
// outcomes. The error is what it can't do.
func (t *Tail) olderSource(known *outcomeSource) (tailSource, error) {
	if t.needsOutcomes() {
		return nil, errors.New("this broker is of an older release, which can't select by --user, --room and --problems; leave them out")
	}
	var kinds []salav1.EventKind
	for _, kind := range known.request.GetKinds() {
		if kind >= salav1.EventKind_EVENT_KIND_REFUSED {
			return nil, fmt.Errorf("this broker is of an older release, which doesn't know the kind %s; leave it out of --kind", kindName(kind))
		}
		kinds = append(kinds, kind)
	}
	return t.subscription(kinds), nil
}

// parseKinds accepts message, MESSAGE and EVENT_KIND_MESSAGE, and room-opened for room_opened.
func parseKinds(words []string) ([]salav1.EventKind, error) {
	var kinds []salav1.EventKind
	for _, word := range words {
		name := strings.ReplaceAll(strings.ToUpper(word), "-", "_")
		kind, ok := salav1.EventKind_value[kindPrefix+strings.TrimPrefix(name, kindPrefix)]
		if !ok || kind == 0 {
			return nil, &UsageError{Message: fmt.Sprintf("--kind %s is not a kind of event; the kinds are %s", word, KindNames())}
		}
		kinds = append(kinds, salav1.EventKind(kind))
	}
	return kinds, nil
}

const kindPrefix = "EVENT_KIND_"

// KindNames lists the kinds of events for people.
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

// follower prints events and opens another stream whenever one breaks.
type follower struct {
	tail    *Tail
	conn    grpc.ClientConnInterface
	source  tailSource
	out     *eventPrinter
	notes   io.Writer
	printed int
	started bool // the broker has accepted the last stream
}

// run returns nil after --count events or when ctx ends.
func (f *follower) run(ctx context.Context) error {
	pause := firstPause
	for again := false; ; again = true {
		err := f.follow(ctx)
		switch {
		case ctx.Err() != nil || err == nil:
			return nil
		case status.Code(err) == codes.Unimplemented:
			if err := f.useOlder(err); err != nil {
				return err
			}
			continue
		case !isRetryable(err) || !f.started && !again:
			return f.tail.explain(err)
		}
		if f.started {
			pause = firstPause
		}
		wait := pause/2 + rand.N(pause/2) //nolint:gosec // it only spreads the tails of one broker
		fmt.Fprintf(f.notes, "sala: not connected, retrying in %s: %s\n", wait.Round(100*time.Millisecond), status.Convert(err).Message())
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, longestPause)
	}
}

// useOlder makes do with what an older broker has. It returns an error if that isn't possible.
func (f *follower) useOlder(err error) error {
	known, ok := f.source.(*outcomeSource)
	if !ok {
		return f.tail.explain(err)
	}
	older, err := f.tail.olderSource(known)
	if err != nil {
		return err
	}
	fmt.Fprintln(f.notes, "sala: this broker is of an older release: it tells what clients do, but no outcomes, and nothing about refused connects, emits and limits")
	f.source = older
	return nil
}

// isRetryable reports whether another stream may succeed.
func isRetryable(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented:
		return false
	}
	var output *outputError
	return !errors.As(err, &output)
}

// follow prints the events of one stream. It returns nil after --count events.
func (f *follower) follow(ctx context.Context) error {
	f.started = false
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := status.Errorf(codes.DeadlineExceeded, "%s did not answer within %s", f.tail.Server, f.tail.Timeout)
	timer := time.AfterFunc(f.tail.Timeout, func() { cancel(late) })
	defer timer.Stop()

	err := f.source.open(ctx, f.conn)
	if err != nil {
		return err
	}
	for {
		received, err := f.source.next()
		switch {
		case errors.Is(err, io.EOF):
			return status.Error(codes.Unavailable, "the broker closed the stream")
		case err != nil && errors.Is(context.Cause(ctx), late):
			return late
		case err != nil:
			return err
		}
		if received.started && !f.started {
			timer.Stop()
			f.started = true
			fmt.Fprintf(f.notes, "sala: listening to %s; press Ctrl-C to stop\n", f.tail.Server)
		}
		if received.note != "" {
			fmt.Fprintln(f.notes, "sala: "+received.note)
		}
		if received.print == nil {
			continue
		}
		if err := received.print(f.out); err != nil {
			return &outputError{err}
		}
		f.printed++
		if f.printed == f.tail.Count {
			return nil
		}
	}
}

// outputError is an error of the output and not of the stream.
type outputError struct{ error }
