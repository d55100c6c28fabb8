package attacks

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// greedyAddress is the address of all greedy callers: limits for an address affect only them.
const greedyAddress = "127.0.1.1"

// greedyCaller is one way to take more than a fair share: each of its workers takes something,
// holds it as long as the server allows, and takes it again.
type greedyCaller struct {
	name    string
	workers int
	every   time.Duration // at least, between two attempts of a worker
	take    func(ctx context.Context, g *greedy, worker int) error
}

// greedy is a process that takes more than a fair share.
type greedy struct {
	target *process.Target
	token  string             // of a client
	conns  []*grpc.ClientConn // for calls with the second key
	plain  *http.Client

	unfinished []byte // a message of 1 MB without its end
	emptyEmits []byte // a batch of a million emits of two bytes each

	mu      sync.Mutex
	figures results.Figures
}

const (
	// rampUp is over how long the workers start: what lasts is measured.
	rampUp = time.Second
	// greedyConns is over how many connections calls are made, since the streams of one connection
	// are bounded.
	greedyConns = 8
)

// runGreedy takes what its configuration names until it gets SIGTERM.
func runGreedy(ctx context.Context, c attackConfig, notify func(any)) (any, error) {
	g := &greedy{target: &c.Target, figures: results.Figures{}, emptyEmits: bytes.Repeat([]byte{0x0a, 0}, 1_000_000)}
	message := load.AppendFrame(nil, load.OpText, []byte(`42["x","`+strings.Repeat("x", 990_000)+`"]`))
	g.unfinished = message[:len(message)-100]
	g.plain = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return g.dialer().DialContext(ctx, "tcp", address)
		},
		MaxIdleConnsPerHost: 100,
	}}
	defer g.plain.CloseIdleConnections()
	for range greedyConns {
		conn, err := c.Target.DialControl(grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return g.dialer().DialContext(ctx, "tcp", address)
		}))
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		g.conns = append(g.conns, conn)
	}
	if err := g.issueToken(ctx); err != nil {
		return nil, err
	}
	begin, before := time.Now(), process.OwnCPU()
	var running sync.WaitGroup
	all := greedyCallers()
	for _, name := range c.Attacks {
		i := slices.IndexFunc(all, func(g greedyCaller) bool { return g.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no greedy caller is called %q", name)
		}
		for worker := range all[i].workers {
			running.Go(func() { g.work(ctx, all[i], worker) })
		}
	}
	if load.Sleep(ctx, rampUp) == nil {
		notify(process.Ready{})
	}
	running.Wait()
	g.figures[scenario.Seconds], g.figures[scenario.LoadCPU] = time.Since(begin).Seconds(), load.Micros(process.OwnCPU()-before)
	return g.figures, nil
}

func (g *greedy) dialer() *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(greedyAddress)}, Timeout: probeTimeout}
}

// issueToken gets a token with the first key, for clients in the greedy callers' room.
func (g *greedy) issueToken(ctx context.Context) error {
	conn, err := g.target.DialControl()
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := salav1.NewTokenServiceClient(conn).IssueToken(g.target.Authorize(ctx),
		&salav1.IssueTokenRequest{User: "greedy", Rooms: []string{greedyRoom}})
	g.token = answer.GetToken()
	return err
}

// work takes again and again until ctx ends.
func (g *greedy) work(ctx context.Context, caller greedyCaller, worker int) {
	begin := time.Now().Add(rampUp * time.Duration(worker) / time.Duration(caller.workers))
	for next := begin; load.Sleep(ctx, time.Until(next)) == nil; {
		next = time.Now().Add(caller.every)
		err := caller.take(ctx, g, worker)
		g.mu.Lock()
		g.figures[figureAttempts]++
		if err != nil && ctx.Err() == nil {
			g.figures[scenario.Refused]++
		}
		g.mu.Unlock()
	}
}

// authorize returns a context whose calls carry the second key.
func (g *greedy) authorize(ctx context.Context) context.Context {
	return process.WithKey(ctx, g.target.SecondKey)
}

// conn returns the connection for a worker's calls.
func (g *greedy) conn(worker int) *grpc.ClientConn { return g.conns[worker%len(g.conns)] }

// dial opens a connection that is closed when ctx ends.
func (g *greedy) dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := g.dialer().DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	return conn, nil
}

// sendAndHold sends text over a new connection and holds that until the server closes it.
func (g *greedy) sendAndHold(ctx context.Context, address string, parts ...string) error {
	conn, err := g.dial(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, part := range parts {
		if _, err := conn.Write([]byte(part)); err != nil {
			return err
		}
	}
	return hold(conn)
}

// hold reads until the server closes a connection.
func hold(conn net.Conn) error {
	scratch := make([]byte, 512)
	for {
		if _, err := conn.Read(scratch); err != nil {
			return err
		}
	}
}

// connectClient opens a client's connection over WebSocket, with a socket if there is a token.
func (g *greedy) connectClient(ctx context.Context, token string) (net.Conn, *bufio.Reader, error) {
	conn, err := g.dial(ctx, g.target.Listen)
	if err != nil {
		return nil, nil, err
	}
	r := bufio.NewReaderSize(conn, 512)
	if err := handshake(conn, r, g.target.Listen, token); err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, r, nil
}

func handshake(conn net.Conn, r *bufio.Reader, host, token string) error {
	_, err := fmt.Fprintf(conn, "GET %swebsocket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", load.EnginePath, host, load.HandshakeKey)
	if err != nil {
		return err
	}
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("websocket: %s", answer.Status)
	}
	if _, _, err := load.ReadFrame(r); err != nil || token == "" { // the server's first packet
		return err
	}
	if _, err := conn.Write(load.AppendFrame(nil, load.OpText, fmt.Appendf(nil, `40{"token":%q}`, token))); err != nil {
		return err
	}
	_, _, err = load.ReadFrame(r)
	return err
}
