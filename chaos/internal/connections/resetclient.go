package connections

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/salabroker/sala/bench/load"
)

const (
	// lastingClients is how many clients stay while others are reset.
	lastingClients = 50
	// longestWait bounds how long a client waits between two steps: about as long as the server
	// takes for one.
	longestWait = 150 * time.Microsecond
	// pollingShare is the share of clients that begin with long-polling, one in that many.
	pollingShare = 4
	// cutShare is the share of clients that are reset before their last step, one in that many.
	cutShare = 3
)

// resetClient is a client whose connections are reset at any step.
type resetClient struct {
	round  *resetsRound
	client load.Client

	conns   []*net.TCPConn
	polling *wire
	ws      *wire
	sid     string // as a parameter of the URL
}

// wire is one connection of a client, with or without TLS.
type wire struct {
	net.Conn
	in *bufio.Reader
}

// connectSteps are the steps of a client that connects over WebSocket.
func (c *resetClient) connectSteps() []func() error {
	return []func() error{c.openWebSocket, c.read, c.connect, c.read}
}

// live takes the steps of a client's life, or the first of them.
func (c *resetClient) live() {
	steps := c.connectSteps()
	if rand.N(pollingShare) == 0 {
		steps = []func() error{
			c.openPolling, c.post, c.poll, c.startPoll, c.openProbe, c.read, c.send("2probe"), c.read, c.finishPoll, c.send("5"),
		}
	}
	for range 1 + rand.N(3) {
		steps = append(steps, c.sendEvent)
	}
	if rand.N(cutShare) == 0 {
		steps = steps[:1+rand.N(len(steps))]
	}
	for _, step := range steps {
		if step() != nil {
			return
		}
		spin()
	}
}

// spin waits for a few microseconds, which is shorter than a timer's resolution.
func spin() {
	for end := time.Now().Add(rand.N(longestWait)); time.Now().Before(end); {
		runtime.Gosched()
	}
}

// reset resets the connections in random order and returns how many there were.
func (c *resetClient) reset() int64 {
	rand.Shuffle(len(c.conns), func(i, j int) { c.conns[i], c.conns[j] = c.conns[j], c.conns[i] })
	for _, tcp := range c.conns {
		_ = tcp.SetLinger(0) // without it TCP ends as usual
		_ = tcp.Close()      // it is closed either way
	}
	return int64(len(c.conns))
}

// dial opens a connection from any address of the loopback interface, since each has only so many
// ports.
func (c *resetClient) dial() (*wire, error) {
	dialer := net.Dialer{
		Timeout:   load.HandshakeTimeout,
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, byte(1+rand.N(250)), byte(rand.N(256)), byte(1+rand.N(250)))},
		Control: func(_, _ string, raw syscall.RawConn) (err error) {
			failed := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) })
			return errors.Join(failed, err)
		},
	}
	conn, err := dialer.Dial("tcp", c.round.target.Listen)
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	c.conns = append(c.conns, tcp)
	if c.round.tls != nil {
		conn = tls.Client(tcp, c.round.tls)
	}
	err = tcp.SetDeadline(time.Now().Add(load.HandshakeTimeout))
	return &wire{conn, bufio.NewReaderSize(conn, 1<<10)}, err
}

func (c *resetClient) openWebSocket() (err error) {
	if c.ws, err = c.dial(); err != nil {
		return err
	}
	return c.requestUpgrade()
}

// requestUpgrade requests a WebSocket without an Origin header, whose scheme would depend on TLS.
func (c *resetClient) requestUpgrade() error {
	_, err := fmt.Fprintf(c.ws, "GET %swebsocket%s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", load.EnginePath, c.sid, c.round.target.Listen, load.HandshakeKey)
	return err
}

// read waits until something arrives over the WebSocket.
func (c *resetClient) read() error {
	if _, err := c.ws.in.Peek(1); err != nil {
		return err
	}
	_, err := c.ws.in.Discard(c.ws.in.Buffered())
	return err
}

func (c *resetClient) connect() error {
	auth, err := c.client.Auth()
	if err != nil {
		return err
	}
	return c.send("40" + string(auth))()
}

// sendEvent sends an event that the server answers.
func (c *resetClient) sendEvent() error { return c.send(`421["nobody handles this"]`)() }

func (c *resetClient) send(message string) func() error {
	return func() error {
		_, err := c.ws.Write(load.AppendFrame(nil, load.OpText, []byte(message)))
		return err
	}
}

func (c *resetClient) openPolling() (err error) {
	if c.polling, err = c.dial(); err != nil {
		return err
	}
	if err := c.request(http.MethodGet, nil); err != nil {
		return err
	}
	open, err := c.response()
	if err != nil {
		return err
	}
	var opened struct {
		SID string `json:"sid"`
	}
	err = json.Unmarshal([]byte(strings.TrimPrefix(open, "0")), &opened)
	c.sid = "&sid=" + opened.SID
	return err
}

func (c *resetClient) post() error {
	auth, err := c.client.Auth()
	if err != nil {
		return err
	}
	if err := c.request(http.MethodPost, append([]byte("40"), auth...)); err != nil {
		return err
	}
	return c.finishPoll()
}

func (c *resetClient) poll() error {
	if err := c.startPoll(); err != nil {
		return err
	}
	return c.finishPoll()
}

// startPoll leaves a poll pending, over a new connection if the server closed the last one.
func (c *resetClient) startPoll() (err error) {
	if c.polling == nil {
		if c.polling, err = c.dial(); err != nil {
			return err
		}
	}
	return c.request(http.MethodGet, nil)
}

func (c *resetClient) finishPoll() error {
	_, err := c.response()
	return err
}

func (c *resetClient) openProbe() (err error) {
	if c.ws, err = c.dial(); err != nil {
		return err
	}
	return c.requestUpgrade()
}

func (c *resetClient) request(method string, body []byte) error {
	host, path := c.round.target.Listen, load.EnginePath+"polling"+c.sid
	head := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", method, path, host, len(body))
	_, err := c.polling.Write(append(head, body...))
	return err
}

func (c *resetClient) response() (string, error) {
	answer, err := http.ReadResponse(c.polling.in, nil)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.Close {
		c.polling = nil
	}
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", answer.Status, body)
	}
	return string(body), err
}

// lasting are the clients that stay, answer pings and read what they receive.
type lasting struct {
	wires   []*wire
	gone    atomic.Int64
	running sync.WaitGroup
}

func (r *resetsRound) connectLasting(ctx context.Context) (*lasting, error) {
	l := &lasting{}
	for i := range lastingClients {
		if ctx.Err() != nil {
			break
		}
		c := &resetClient{round: r, client: r.clients[i]}
		for _, step := range c.connectSteps() {
			if err := step(); err != nil {
				l.close()
				return nil, fmt.Errorf("a client that is to stay: %w", err)
			}
		}
		l.wires = append(l.wires, c.ws)
		l.running.Go(func() {
			c.readUntilEnd()
			l.gone.Add(1)
		})
	}
	return l, context.Cause(ctx)
}

// readUntilEnd reads and answers pings until the connection ends.
func (c *resetClient) readUntilEnd() {
	if c.ws.SetDeadline(time.Time{}) != nil {
		return
	}
	for {
		_, payload, err := load.ReadFrame(c.ws.in)
		if err != nil || string(payload) == "2" && c.send("3")() != nil {
			return
		}
	}
}

// count returns how many clients are connected.
func (l *lasting) count() int { return len(l.wires) - int(l.gone.Load()) }

func (l *lasting) close() {
	for _, w := range l.wires {
		w.Close()
	}
	l.running.Wait()
}
