package load

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/proc"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// hostileNet is the network that attackers come from, and nobody else: limits for an address are theirs alone.
const hostileNet = 1

// attacker carries out one attack. It belongs to one goroutine.
type attacker struct {
	attack
	dialer  *dialer
	clients []client
	lines   []*hostileLine
	figures job.Figures
	scratch []byte // for what the server says, which nobody reads
}

// hostileLine is one connection of an attacker.
type hostileLine struct {
	stream *stream // nil if there is none
	blows  int     // sent over it
	rest   []byte  // of the last one, which the server hasn't taken yet
}

// runAttack carries out attacks until it is told to end, which is no error. The server may well disconnect it, refuse it, or
// not read what it sends: that is counted.
func runAttack(ctx context.Context, j *job.Job, connected func()) (job.Figures, error) {
	d, err := newDialer(j.Target.Listen)
	if err != nil {
		return nil, err
	}
	d.net = hostileNet
	var attackers []*attacker
	for _, name := range j.Attacks {
		i := slices.IndexFunc(attacks, func(a attack) bool { return a.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no such attack: %q", name)
		}
		a, err := newAttacker(ctx, j, d, i)
		if err != nil {
			return nil, err
		}
		a.every *= time.Duration(len(j.Attacks)) // all together are as frequent as one alone
		attackers = append(attackers, a)
	}
	connected()
	begin, before := time.Now(), ownCPU()
	var running sync.WaitGroup
	for _, a := range attackers {
		running.Go(func() { a.run(ctx) })
	}
	running.Wait()
	f := job.Figures{job.Seconds: time.Since(begin).Seconds(), job.LoadCPU: micros(ownCPU() - before)}
	for _, a := range attackers {
		for name, value := range a.figures {
			f[name] += value
		}
	}
	return f, nil
}

func newAttacker(ctx context.Context, j *job.Job, d *dialer, which int) (*attacker, error) {
	a := &attacker{attack: attacks[which], dialer: d, figures: job.Figures{}, scratch: make([]byte, 64<<10)}
	var err error
	a.clients, err = newHostiles(ctx, j, which, a.attack.lines)
	return a, err
}

func ownCPU() time.Duration {
	used, err := proc.CPU(os.Getpid())
	if err != nil {
		return 0 // there always is one's own
	}
	return used
}

// newHostiles returns clients that may join any room and nothing else.
func newHostiles(ctx context.Context, j *job.Job, which, n int) ([]client, error) {
	conn, err := dialControl(j)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	tokens := salav1.NewTokenServiceClient(conn)
	clients := make([]client, n)
	for i := range clients {
		answer, err := tokens.IssueToken(authorized(ctx, j), &salav1.IssueTokenRequest{
			User: "hostile-" + strconv.Itoa(which) + "-" + strconv.Itoa(i), Join: []string{"**"},
		})
		if err != nil {
			return nil, fmt.Errorf("issuing a token: %w", err)
		}
		clients[i].token = answer.GetToken()
	}
	return clients, nil
}

func (a *attacker) run(ctx context.Context) {
	a.lines = make([]*hostileLine, a.attack.lines)
	for i := range a.lines {
		a.lines[i] = &hostileLine{}
	}
	next := time.Now()
	for n := 0; pause(ctx, time.Until(next)) == nil; n++ {
		a.strike(n % len(a.lines))
		next = next.Add(a.every)
		if late := time.Since(next); late > a.every {
			next = next.Add(late) // it isn't made up for
		}
	}
	for _, l := range a.lines {
		if l.stream != nil {
			l.stream.close()
		}
	}
}

// strike deals the next blow over a line.
func (a *attacker) strike(i int) {
	l := a.lines[i]
	if l.stream != nil && a.ended(l) {
		a.lose(l)
	}
	if l.stream == nil {
		s, err := a.open(a.dialer, a.clients[i])
		if err != nil {
			a.figures[job.Refused]++
			return
		}
		a.figures[job.Connects]++
		*l = hostileLine{stream: s}
	}
	if a.blow == nil {
		a.figures[job.Blows]++
		l.stream.close()
		l.stream = nil
		return
	}
	if len(l.rest) == 0 { // or the server hasn't taken all of the last one
		l.rest = a.blow(l.blows)
		l.blows++
		a.figures[job.Blows]++
	}
	sent, err := unix.SendmsgN(l.stream.fd, l.rest, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	if sent > 0 {
		a.figures[job.Bytes] += float64(sent)
		l.rest = l.rest[sent:]
	}
	if err == unix.EAGAIN { // the server doesn't read
		a.figures[job.Stayed]++
		err = nil
	}
	if err != nil {
		a.lose(l)
	}
}

// lose gives up a connection that the server has closed.
func (a *attacker) lose(l *hostileLine) {
	a.figures[job.Gone]++
	l.stream.close()
	l.stream = nil
}

// ended throws away what the server has said, and reports whether it has closed the connection, or a WebSocket on it.
func (a *attacker) ended(l *hostileLine) bool {
	n, _, err := unix.Recvfrom(l.stream.fd, a.scratch, unix.MSG_DONTWAIT)
	if err != nil {
		return err != unix.EAGAIN && err != unix.EINTR
	}
	for said := a.scratch[:n]; len(said) > 0; {
		opcode, _, size, err := nextFrame(said)
		if err != nil || size == 0 { // it isn't a WebSocket
			return false
		}
		if opcode == opClose {
			return true
		}
		said = said[size:]
	}
	return n == 0
}
