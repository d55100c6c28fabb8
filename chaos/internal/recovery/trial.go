package recovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Crowd configures the clients and publishers of a trial.
type Crowd struct {
	// Clients is how many clients take part in recovery, and Others how many don't.
	Clients, Others int
	// PerProcess is how many clients share a process.
	PerProcess int
	// Publishers is how many publishers there are, and Every the time between two messages of each.
	Publishers int
	Every      time.Duration
	// Relay is the time between two events that clients of a process send to each other, and Disturb
	// between two times that an application closes a connection or blocks its process; 0 for never.
	Relay, Disturb time.Duration
}

const (
	secondNamespace = "/second"
	// proofTime is how long clients are left alone before anything happens to them, so that the
	// server has a pong of each.
	proofTime = time.Second
	// quietTime is how long nothing may arrive before a run is over.
	quietTime = 2 * time.Second
)

// configuration is that of servers whose clients send events to each other.
const configuration = `relay:
  - {event: ` + relayEvent + `, emit: ` + relayedEvent + `, to: room, room_field: room}
namespaces: ["/", "` + secondNamespace + `"]
`

// trial is a run with stock clients and publishers. What happens to the clients is up to its
// scenario.
type trial struct {
	crowd      Crowd
	folder     string   // of the servers' configuration
	direct     string   // the server of clients that don't take part
	cluster    *cluster // nil for a single server
	cutter     *Cutter
	ledger     *ledger
	nodes      []node
	timeout    time.Duration
	processes  []*clientProcess
	publishers *publishers
}

// serve starts a single server or a cluster, and the proxy in front of it, which cuts connections
// after life on average.
func (t *trial) serve(ctx context.Context, env *scenario.Env, clustered bool, life time.Duration, args []string) (err error) {
	if t.folder, err = os.MkdirTemp("", "recovery"); err != nil {
		return err
	}
	file := filepath.Join(t.folder, "sala.yaml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		return err
	}
	args = append([]string{"--config", file}, args...)
	if clustered {
		if t.cluster, err = startCluster(ctx, env, args...); err != nil {
			return err
		}
		if t.nodes, err = t.cluster.dial(); err != nil {
			return err
		}
		t.direct = t.cluster.target(0).Listen
		t.cutter, err = NewCutter(t.cluster.choose, life)
		return err
	}
	target, err := env.Start(ctx, args...)
	if err != nil {
		return err
	}
	server, err := dial(target, func() uint64 { return 1 })
	if err != nil {
		return err
	}
	t.nodes, t.direct = []node{server}, target.Listen
	t.cutter, err = NewCutter(func() string { return target.Listen }, life)
	return err
}

// start connects all clients and starts to publish.
func (t *trial) start(ctx context.Context) error {
	t.ledger = newLedger()
	configs, err := t.configs(ctx)
	if err != nil {
		return err
	}
	for begin := 0; begin < len(configs); {
		end := min(begin+t.crowd.PerProcess, len(configs))
		url := t.cutter.URL()
		if begin < t.crowd.Clients {
			end = min(end, t.crowd.Clients)
		} else {
			url = "http://" + t.direct
		}
		p, err := startClients(ctx, clientGroup{URL: url, Clients: configs[begin:end]}, t.ledger)
		if p != nil {
			t.processes = append(t.processes, p)
		}
		if err != nil {
			return err
		}
		begin = end
	}
	if err := t.await(ctx, "all clients to connect", func() bool { return t.ledger.away() == 0 }); err != nil {
		return err
	}
	if err := load.Sleep(ctx, proofTime); err != nil {
		return err
	}
	t.publish(ctx)
	return t.order(t.crowd.Relay, t.crowd.Disturb)
}

// configs returns all clients with their tokens, and adds their sockets to the ledger.
func (t *trial) configs(ctx context.Context) ([]clientConfig, error) {
	transports := [][]string{{"websocket"}, {"polling"}, {"polling", "websocket"}}
	list := make([]clientConfig, t.crowd.Clients+t.crowd.Others)
	tokens := salav1.NewTokenServiceClient(t.nodes[0].conn)
	for i := range list {
		c := clientConfig{
			Number: i, Room: roomName(i), Transports: transports[i%len(transports)], Namespaces: []string{"/"}, Recover: i < t.crowd.Clients,
		}
		if i/len(transports)%2 == 0 {
			c.Namespaces = append(c.Namespaces, secondNamespace)
		}
		token, err := tokens.IssueToken(t.nodes[0].target.Authorize(ctx), &salav1.IssueTokenRequest{
			User: userName(i), Rooms: []string{everyone, roomName(i)}, Publish: []string{roomName(i)},
		})
		if err != nil {
			return nil, fmt.Errorf("issuing a token: %w", err)
		}
		c.Token = token.GetToken()
		for _, namespace := range c.Namespaces {
			t.ledger.add(Socket{i, namespace}, c.Recover)
		}
		list[i] = c
	}
	return list, nil
}

// publish starts the publishers: their namespaces take turns, and so do the nodes.
func (t *trial) publish(ctx context.Context) {
	list := make([]publisher, t.crowd.Publishers)
	for i := range list {
		namespace := []string{"/", secondNamespace}[i%2]
		list[i] = publisher{
			number: i, node: t.nodes[i/2%len(t.nodes)], namespace: namespace, sockets: t.ledger.in(namespace), ledger: t.ledger,
		}
	}
	t.publishers = startPublishers(ctx, list, t.crowd.Every)
}

// order tells all clients to send and to disturb every so often.
func (t *trial) order(relay, disturb time.Duration) (err error) {
	r, d := load.Millis(relay), load.Millis(disturb)
	for _, p := range t.processes {
		err = errors.Join(err, p.order(clientOrder{Relay: &r, Disturb: &d}))
	}
	return err
}

// finish has the clients come back, ends the publishers, and waits until nothing more arrives. It
// adds the verdict to figures.
func (t *trial) finish(ctx context.Context, f results.Figures) error {
	err := t.order(t.crowd.Relay, 0)
	if err == nil {
		err = t.await(ctx, "all clients to return", func() bool { return t.ledger.away() == 0 })
		if err != nil {
			err = errors.Join(err, t.ledger.describeAway())
		}
	}
	// Messages that clients get on connections that nobody cuts show what they lack.
	err = errors.Join(err, load.Sleep(ctx, quietTime), t.order(0, 0), t.publishers.stop())
	t.publishers = nil
	for begin, last := time.Now(), -1; err == nil && last != t.ledger.events() && time.Since(begin) < t.timeout; {
		last = t.ledger.events()
		err = load.Sleep(ctx, quietTime)
	}
	t.ledger.addTo(f)
	f[scenario.Clients] = float64(t.crowd.Clients + t.crowd.Others)
	for way, n := range t.cutter.Cuts() {
		f[figureCuts] += float64(n)
		f[results.Of(figureCuts, way)] = float64(n)
	}
	for _, example := range append(t.ledger.examples, t.ledger.miscounts...) {
		slog.Warn("recovery: " + example)
	}
	return err
}

// close ends what runs.
func (t *trial) close() (err error) {
	if t.publishers != nil {
		err = t.publishers.stop()
	}
	for _, p := range t.processes {
		err = errors.Join(err, p.stop())
	}
	if t.cutter != nil {
		t.cutter.Stop()
	}
	for _, n := range t.nodes {
		n.conn.Close()
	}
	if t.cluster != nil {
		t.cluster.Stop()
	}
	return errors.Join(err, os.RemoveAll(t.folder))
}

// await waits until something is so.
func (t *trial) await(ctx context.Context, what string, so func() bool) error {
	for begin := time.Now(); !so(); {
		if time.Since(begin) > t.timeout {
			return fmt.Errorf("waited %v for %s", t.timeout, what)
		}
		if err := load.Sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// dial connects a node's control API.
func dial(target *process.Target, life func() uint64, options ...grpc.DialOption) (node, error) {
	conn, err := target.DialControl(options...)
	return node{target: target, conn: conn, life: life}, err
}

// cutTable lists how connections were cut.
func cutTable(f results.Figures) string {
	var b strings.Builder
	b.WriteString("| cut | connections |\n|---|---:|\n")
	for _, way := range scenario.Parts(f, figureCuts) {
		fmt.Fprintf(&b, "| %s | %.0f |\n", way, f[results.Of(figureCuts, way)])
	}
	return b.String()
}
