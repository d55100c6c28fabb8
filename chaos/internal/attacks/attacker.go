package attacks

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// HostileSubnet is [load.Dialer].Subnet of attackers and of nobody else, so that limits for an
// address affect only them.
const HostileSubnet = 1

// Attacker carries out one attack. It belongs to one goroutine.
type Attacker struct {
	attack
	dialer  *load.Dialer
	clients []load.Client
	conns   []attackConn
	figures results.Figures
	scratch []byte // for what the server sends, which nobody reads
}

// attackConn is one connection of an attacker.
type attackConn struct {
	conn   *load.Conn // nil if there is none
	sent   int        // how many payloads
	unsent []byte     // the rest of the last one
}

// runAttacks carries out attacks until it gets SIGTERM. It counts how often the server
// disconnects or refuses it, or does not read what it sends.
func runAttacks(ctx context.Context, c attackConfig, notify func(any)) (any, error) {
	d, err := load.NewDialer(c.Target.Listen)
	if err != nil {
		return nil, err
	}
	d.Subnet = HostileSubnet
	all := attacks()
	var attackers []*Attacker
	for _, name := range c.Attacks {
		i := slices.IndexFunc(all, func(a attack) bool { return a.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no such attack: %q", name)
		}
		a, err := newAttacker(ctx, &c.Target, d, i)
		if err != nil {
			return nil, err
		}
		a.every *= time.Duration(len(c.Attacks)) // all together send as often as one alone
		attackers = append(attackers, a)
	}
	notify(process.Ready{})
	begin, before := time.Now(), process.OwnCPU()
	var running sync.WaitGroup
	for _, a := range attackers {
		running.Go(func() { a.Run(ctx) })
	}
	running.Wait()
	f := results.Figures{scenario.Seconds: time.Since(begin).Seconds(), scenario.LoadCPU: load.Micros(process.OwnCPU() - before)}
	for _, a := range attackers {
		for name, value := range a.figures {
			f[name] += value
		}
	}
	return f, nil
}

// NewRandomAttacker returns an attacker for a random attack.
func NewRandomAttacker(ctx context.Context, t *process.Target, d *load.Dialer) (*Attacker, error) {
	return newAttacker(ctx, t, d, rand.IntN(len(attacks())))
}

// newAttacker returns an attacker for attack i. Its clients may join any room and nothing else.
func newAttacker(ctx context.Context, t *process.Target, d *load.Dialer, i int) (*Attacker, error) {
	a := &Attacker{attack: attacks()[i], dialer: d, figures: results.Figures{}, scratch: make([]byte, 64<<10)}
	conn, err := t.DialControl()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	tokens := salav1.NewTokenServiceClient(conn)
	for n := range a.connections {
		answer, err := tokens.IssueToken(t.Authorize(ctx), &salav1.IssueTokenRequest{
			User: "hostile-" + strconv.Itoa(i) + "-" + strconv.Itoa(n), Join: []string{"**"},
		})
		if err != nil {
			return nil, fmt.Errorf("issuing a token: %w", err)
		}
		a.clients = append(a.clients, load.Client{Token: answer.GetToken()})
	}
	return a, nil
}

// Run attacks until ctx ends.
func (a *Attacker) Run(ctx context.Context) {
	a.conns = make([]attackConn, a.connections)
	repeat(ctx, time.Now(), a.every, func(n int) { a.send(n % len(a.conns)) })
	for _, c := range a.conns {
		if c.conn != nil {
			c.conn.Close()
		}
	}
}

// send sends the next payload over connection i, which it opens if it must.
func (a *Attacker) send(i int) {
	c := &a.conns[i]
	if c.conn != nil && a.ended(c.conn) {
		a.lose(c)
	}
	if c.conn == nil {
		conn, err := a.open(a.dialer, a.clients[i])
		if err != nil {
			a.figures[scenario.Refused]++
			return
		}
		a.figures[scenario.Connects]++
		*c = attackConn{conn: conn}
	}
	if a.payload == nil {
		a.figures[figureAttempts]++
		c.conn.Close()
		c.conn = nil
		return
	}
	if len(c.unsent) == 0 {
		c.unsent = a.payload(c.sent)
		c.sent++
		a.figures[figureAttempts]++
	}
	sent, err := unix.SendmsgN(c.conn.FD, c.unsent, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	if sent > 0 {
		a.figures[figureBytes] += float64(sent)
		c.unsent = c.unsent[sent:]
	}
	switch err {
	case nil:
	case unix.EAGAIN: // the server does not read
		a.figures[scenario.Stayed]++
	default:
		a.lose(c)
	}
}

// lose gives up a connection that the server has closed.
func (a *Attacker) lose(c *attackConn) {
	a.figures[scenario.Gone]++
	c.conn.Close()
	c.conn = nil
}

// ended discards what the server has sent, and reports whether it has closed the connection, or the
// WebSocket on it.
func (a *Attacker) ended(c *load.Conn) bool {
	n, _, err := unix.Recvfrom(c.FD, a.scratch, unix.MSG_DONTWAIT)
	if err != nil {
		return err != unix.EAGAIN && err != unix.EINTR
	}
	for received := a.scratch[:n]; len(received) > 0; {
		opcode, _, size, err := load.NextFrame(received)
		if err != nil || size == 0 { // it is not a WebSocket
			return false
		}
		if opcode == load.OpClose {
			return true
		}
		received = received[size:]
	}
	return n == 0
}
