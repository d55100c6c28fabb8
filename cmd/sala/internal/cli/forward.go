package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/salabroker/sala/cmd/sala/internal/forward"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// maxConcurrency bounds --concurrency: twice as many events are held in memory.
	maxConcurrency = 1000
	// longestDecision leaves some of the default --decide-timeout of the broker for the answer's way.
	longestDecision = 4 * time.Second
)

// Forward sends events to a URL and answers them with what it returns.
type Forward struct {
	To             string        `required:"" placeholder:"URL" help:"Where to POST the events."`
	SecretFile     string        `placeholder:"FILE" help:"File with the secret that signs the requests, at least 24 bytes."`
	CA             string        `name:"ca" placeholder:"FILE" help:"Certificate authority (PEM) that signed the certificate of --to, by default one that the system trusts."`
	Plaintext      bool          `help:"Allow http:// to another machine."`
	Source         string        `default:"sala" placeholder:"URI" help:"The source of the CloudEvents."`
	Group          string        `default:"forward" placeholder:"NAME" help:"Group of the subscription. Each event goes to one member of a group."`
	Namespace      []string      `sep:"none" placeholder:"NAME" help:"Forward only events of these namespaces. Repeatable."`
	Event          []string      `sep:"none" placeholder:"NAME" help:"Forward only messages with these names. Other kinds aren't affected. Repeatable."`
	Kind           []string      `placeholder:"KIND" help:"Forward only these kinds: ${kinds}. Repeatable; commas separate too."`
	Decide         bool          `help:"Let the URL decide which clients may connect."`
	Concurrency    int           `default:"16" placeholder:"N" help:"How many requests run at the same time. The events of one socket are sent one after another."`
	RequestTimeout time.Duration `default:"5s" placeholder:"DURATION" help:"How long one request may take."`
	RetryFor       time.Duration `default:"1m" placeholder:"DURATION" help:"How long to try to deliver an event that needs no answer."`
	AnswerWithin   time.Duration `default:"8s" placeholder:"DURATION" help:"How long to try to deliver an event that needs an answer; less than the broker's --ack-timeout. Decisions have at most 4s."`
	Grace          time.Duration `default:"10s" placeholder:"DURATION" help:"How long to finish after Ctrl-C or SIGTERM."`
	Client
}

// Help implements kong.HelpProvider.
func (*Forward) Help() string {
	return `Each event becomes one POST with a CloudEvent as JSON. The answer's body is the ack, {"args": [...]} or ` +
		`{"error": {"code": "...", "message": "..."}}, or the decision, {"accept": {}} or {"refuse": {"code": "...", "message": "..."}}. ` +
		`Requests that fail, or get 408, 425, 429 or 5xx, are repeated. ` +
		`The guide is docs/events.md.

  sala forward --to https://example.com/sala --secret-file secret --kind message`
}

// Run implements the command.
func (f *Forward) Run(ctx context.Context, s *Streams) error {
	options, err := f.options(s)
	if err != nil {
		return err
	}
	target, err := f.target(s)
	if err != nil {
		return err
	}
	defer target.Close()
	conn, err := f.dial(
		// Notice a broker that disappears without closing the connection.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	)
	if err != nil {
		return err
	}
	forwarder := forward.New(options, target)
	err = f.explain(forwarder.Run(ctx, conn))
	_ = conn.Close() // the last answers are sent
	fmt.Fprintln(s.Err, "sala: "+forwarder.Summary())
	return err
}

func (f *Forward) options(s *Streams) (forward.Options, error) {
	kinds, err := parseKinds(f.Kind)
	if err != nil {
		return forward.Options{}, err
	}
	if f.Concurrency < 1 || f.Concurrency > maxConcurrency {
		return forward.Options{}, &UsageError{Message: fmt.Sprintf("--concurrency must be between 1 and %d", maxConcurrency)}
	}
	for name, value := range map[string]time.Duration{"request-timeout": f.RequestTimeout, "retry-for": f.RetryFor, "answer-within": f.AnswerWithin, "grace": f.Grace} {
		if value <= 0 {
			return forward.Options{}, &UsageError{Message: fmt.Sprintf("--%s must be above zero, for example 10s", name)}
		}
	}
	return forward.Options{
		Start:        &salav1.SubscribeStart{Group: f.Group, Namespaces: f.Namespace, Events: f.Event, Kinds: kinds, Decide: f.Decide},
		Concurrency:  f.Concurrency,
		RetryFor:     f.RetryFor,
		AnswerWithin: f.AnswerWithin,
		DecideWithin: min(f.AnswerWithin, longestDecision),
		Grace:        f.Grace,
		Log:          func(format string, args ...any) { fmt.Fprintf(s.Err, "sala: "+format+"\n", args...) },
	}, nil
}

func (f *Forward) target(s *Streams) (*forward.Target, error) {
	at, err := url.Parse(f.To)
	switch {
	case err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https":
		return nil, &UsageError{Message: "--to must be a URL such as https://example.com/sala"}
	case at.User != nil:
		return nil, &UsageError{Message: "--to must not contain a password; sign the requests with --secret-file"}
	case at.Scheme == "http" && !isLoopback(at.Hostname()) && !f.Plaintext:
		return nil, &UsageError{Message: "--to sends events in plain text to another machine; use https, or add --plaintext"}
	}
	var signer *forward.Signer
	if f.SecretFile == "" {
		fmt.Fprintln(s.Err, "sala: warning: without --secret-file the requests aren't signed, and the URL can't know who sends them")
	} else {
		secret, err := os.ReadFile(f.SecretFile)
		if err != nil {
			return nil, &UsageError{Message: fmt.Sprintf("can't read the file of --secret-file: %s", err)}
		}
		if signer, err = forward.NewSigner(string(secret)); err != nil {
			return nil, &UsageError{Message: fmt.Sprintf("--secret-file: %s", err)}
		}
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		if settings.RootCAs, err = readCA("--ca", f.CA); err != nil {
			return nil, err
		}
	}
	return forward.NewTarget(at, f.Source, signer, f.RequestTimeout, f.Concurrency, settings), nil
}

// isLoopback reports whether a host is this machine, without looking it up.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
