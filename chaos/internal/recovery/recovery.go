// Package recovery holds the scenarios in which stock clients lose their connections and must miss
// nothing.
//
//	recovery.go   connections are cut at random moments
//	rolling.go    all nodes of a cluster are restarted
//	cluster.go    a cluster behind a load balancer
//	trial.go      a run with stock clients and publishers
//	clients.go    stock clients in processes of their own
//	cutter.go     a proxy that cuts connections
//	publisher.go  publishers, and what the broker promises them
//	message.go    messages that say what they are
//	ledger.go     compares what was promised with what clients received
package recovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// Recovery cuts the connections of stock clients at random moments.
type Recovery struct {
	Crowd
	// Clustered says that three nodes share the clients.
	Clustered bool
	// Life is how long a connection lives on average.
	Life time.Duration
	// Duration is how long connections are cut.
	Duration time.Duration
	// Args are the server's further arguments.
	Args []string
}

// New returns the scenario with a single server.
func New(quick bool) scenario.Scenario { return newRecovery(quick, false) }

// NewClustered returns the scenario with a cluster.
func NewClustered(quick bool) scenario.Scenario { return newRecovery(quick, true) }

func newRecovery(quick, clustered bool) *Recovery {
	args := []string{"--ping-interval", "2s", "--ping-timeout", "2s"}
	if quick {
		return &Recovery{
			Crowd: Crowd{
				Clients: 40, Others: 5, PerProcess: 20, Publishers: 6, Every: 80 * time.Millisecond,
				Relay: 20 * time.Millisecond, Disturb: 250 * time.Millisecond,
			},
			Clustered: clustered, Life: time.Second, Duration: 12 * time.Second, Args: args,
		}
	}
	return &Recovery{
		Crowd: Crowd{
			Clients: 200, Others: 20, PerProcess: 50, Publishers: 6, Every: 150 * time.Millisecond,
			Relay: 20 * time.Millisecond, Disturb: 200 * time.Millisecond,
		},
		Clustered: clustered, Life: time.Second, Duration: time.Minute, Args: args,
	}
}

// where describes the servers, and the proxy's part in choosing among them.
func (s *Recovery) where() string {
	if s.Clustered {
		return fmt.Sprintf("The proxy gives each TCP connection to the next of three nodes, without stickiness, so that most returns reach another node. "+
			"The nodes run with `%s`. ", strings.Join(s.Args, " "))
	}
	return fmt.Sprintf("The server runs with `%s`. ", strings.Join(s.Args, " "))
}

// Info implements [scenario.Scenario].
func (s *Recovery) Info() scenario.Info {
	i := scenario.Info{
		Name:  "recovery",
		Title: "Connections that are cut, with recovery",
		Description: fmt.Sprintf("%d stock clients (socket.io-client in Node) with `recover: true` are connected through a proxy: a third each over WebSocket, "+
			"over long-polling, and over long-polling that is upgraded; half of them in two namespaces. For %v the proxy cuts each connection "+
			"after %v on average: with RST or FIN, on one side only, by losing what one side or both send before it cuts, in the middle of a "+
			"frame, around a pong, and around the CONNECT of a client that returns. In each process of %d clients, applications close "+
			"connections or block the process every %v. Meanwhile %d publishers each emit %.1f messages a second to a room, to users and to the "+
			"namespace, with and without binary data, some of them volatile, and clients relay events to each other. %d further clients "+
			"don't take part and keep their connections. ", s.Clients, s.Duration, s.Life, s.PerProcess, s.Disturb, s.Publishers, 1/s.Every.Seconds(), s.Others) +
			s.where() + "Each client must receive what was accepted for it, once, " +
			"in order, and with the arguments that were published (volatile messages may be lost); `socket.recovered` must be true at each " +
			"return. A client whose application calls `engine.close()` may handle events again that it had in its own buffer, which no " +
			"server can see: these are counted separately.",
		Limits: append(limits(), scenario.Zero(figureMiscounted, "messages that matched more or fewer sockets than there are")),
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%.0f sockets of %.0f clients; %.0f connections cut, %.0f disturbances by applications; %.0f returns, %.0f messages "+
				"received, %.0f of the clients' own relayed; %.0f handled again from a client's own buffer", f[figureSockets], f[scenario.Clients],
				f[figureCuts], f[figureDisturbances], f[figureReturns], f[scenario.Received], f[figureRelays], f[figureOwnBuffer])
		},
		Details: cutTable,
	}
	if s.Clustered {
		i.Name, i.Title = "recovery-cluster", "Connections that are cut, with recovery at any node"
		i.Limits = limits()
	}
	return i
}

// Run implements [scenario.Scenario].
func (s *Recovery) Run(ctx context.Context, env *scenario.Env) (f results.Figures, err error) {
	t := &trial{crowd: s.Crowd, timeout: env.Timeout}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.serve(ctx, env, s.Clustered, s.Life, s.Args); err != nil {
		return nil, err
	}
	if err := t.start(ctx); err != nil {
		return nil, err
	}
	t.cutter.Cut(true)
	err = load.Sleep(ctx, s.Duration)
	t.cutter.Cut(false)
	f = results.Figures{}
	if err := errors.Join(err, t.finish(ctx, f)); err != nil {
		return f, err
	}
	if few := float64(s.Clients) * s.Duration.Seconds() / s.Life.Seconds() / 4; f[figureCuts] < few {
		return f, fmt.Errorf("only %.0f connections were cut, which tests too little", f[figureCuts])
	}
	return f, nil
}
