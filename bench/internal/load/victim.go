package load

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
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// stayers is how many clients stay while others are reset.
	stayers = 50
	// longestWait is how long a victim waits at most between two things that it does: about as long as the server takes for one.
	longestWait = 150 * time.Microsecond
	// pollers is the share of victims that begin with long-polling, one in so many.
	pollers = 4
	// deep is the share of victims that get through all of it before they are reset: all but one in so many.
	deep = 3
)

// victim is a client whose connections are reset, wherever it is by then.
type victim struct {
	resets *resets
	client client

	conns []*net.TCPConn
	polls *wire
	ws    *wire
	sid   string
}

// wire is one of its connections, with TLS above it or without.
type wire struct {
	net.Conn
	in *bufio.Reader
}

// live goes through a client's life, or a part of it.
func (v *victim) live() {
	steps := []func() error{v.openWebSocket, v.read, v.connect, v.read}
	if rand.N(pollers) == 0 {
		steps = []func() error{v.openPolling, v.post, v.poll, v.pend, v.probe, v.read, v.send("2probe"), v.read, v.pollAnswer, v.send("5")}
	}
	for range 1 + rand.N(3) {
		steps = append(steps, v.event)
	}
	if rand.N(deep) == 0 {
		steps = steps[:1+rand.N(len(steps))]
	}
	for _, step := range steps {
		if step() != nil {
			return
		}
		linger()
	}
}

// linger waits for a few microseconds.
func linger() {
	for end := time.Now().Add(rand.N(longestWait)); time.Now().Before(end); {
		runtime.Gosched()
	}
}

// reset resets the connections, in any order, and returns how many there were.
func (v *victim) reset() int64 {
	rand.Shuffle(len(v.conns), func(i, j int) { v.conns[i], v.conns[j] = v.conns[j], v.conns[i] })
	for _, tcp := range v.conns {
		_ = tcp.SetLinger(0) // or else it ends in the ordinary way
		_ = tcp.Close()      // it is gone either way
	}
	return int64(len(v.conns))
}

// dial opens a connection from any address of the loopback interface: each has only so many ports.
func (v *victim) dial() (*wire, error) {
	tcp, l, err := v.resets.dial()
	if tcp != nil {
		v.conns = append(v.conns, tcp)
	}
	return l, err
}

func (r *resets) dial() (*net.TCPConn, *wire, error) {
	dialer := net.Dialer{
		Timeout:   handshakeTimeout,
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, byte(1+rand.N(250)), byte(rand.N(256)), byte(1+rand.N(250)))},
		Control: func(_, _ string, raw syscall.RawConn) (err error) {
			failed := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) })
			return errors.Join(failed, err)
		},
	}
	conn, err := dialer.Dial("tcp", r.job.Target.Listen)
	if err != nil {
		return nil, nil, err
	}
	tcp := conn.(*net.TCPConn)
	if r.tls != nil {
		conn = tls.Client(tcp, r.tls)
	}
	err = tcp.SetDeadline(time.Now().Add(handshakeTimeout))
	return tcp, &wire{conn, bufio.NewReaderSize(conn, 1<<10)}, err
}

func (v *victim) openWebSocket() (err error) {
	if v.ws, err = v.dial(); err != nil {
		return err
	}
	return v.askUpgrade()
}

// askUpgrade asks for a WebSocket, as a client does that is no browser: its origin would depend on TLS.
func (v *victim) askUpgrade() error {
	_, err := fmt.Fprintf(v.ws, "GET %swebsocket%s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", enginePath, v.sid, v.resets.job.Target.Listen, handshakeKey)
	return err
}

// read waits until something comes over the WebSocket.
func (v *victim) read() error {
	if _, err := v.ws.in.Peek(1); err != nil {
		return err
	}
	_, err := v.ws.in.Discard(v.ws.in.Buffered())
	return err
}

func (v *victim) connect() error {
	auth, err := authOf(v.client)
	if err != nil {
		return err
	}
	return v.send("40" + string(auth))()
}

// event sends an event that is answered.
func (v *victim) event() error { return v.send(`421["nobody handles this"]`)() }

func (v *victim) send(message string) func() error {
	return func() error {
		_, err := v.ws.Write(appendMasked(nil, opText, []byte(message)))
		return err
	}
}

func (v *victim) openPolling() (err error) {
	if v.polls, err = v.dial(); err != nil {
		return err
	}
	if err := v.ask(http.MethodGet, nil); err != nil {
		return err
	}
	hello, err := v.answer()
	if err != nil {
		return err
	}
	var opened struct {
		SID string `json:"sid"`
	}
	err = json.Unmarshal([]byte(strings.TrimPrefix(hello, "0")), &opened)
	v.sid = "&sid=" + opened.SID
	return err
}

func (v *victim) post() error {
	auth, err := authOf(v.client)
	if err != nil {
		return err
	}
	if err := v.ask(http.MethodPost, append([]byte("40"), auth...)); err != nil {
		return err
	}
	return v.pollAnswer()
}

func (v *victim) poll() error {
	if err := v.pend(); err != nil {
		return err
	}
	return v.pollAnswer()
}

// pend leaves a poll pending. The server may want no more requests over the connection that the last one came over.
func (v *victim) pend() (err error) {
	if v.polls == nil {
		if v.polls, err = v.dial(); err != nil {
			return err
		}
	}
	return v.ask(http.MethodGet, nil)
}

func (v *victim) probe() (err error) {
	if v.ws, err = v.dial(); err != nil {
		return err
	}
	return v.askUpgrade()
}

func (v *victim) ask(method string, body []byte) error {
	host, path := v.resets.job.Target.Listen, enginePath+"polling"+v.sid
	head := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", method, path, host, len(body))
	_, err := v.polls.Write(append(head, body...))
	return err
}

func (v *victim) pollAnswer() error {
	_, err := v.answer()
	return err
}

func (v *victim) answer() (string, error) {
	answer, err := http.ReadResponse(v.polls.in, nil)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.Close {
		v.polls = nil
	}
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", answer.Status, body)
	}
	return string(body), err
}

// stay are the clients that stay, answer pings and read what they get.
type stay struct {
	lines []*wire
	gone  atomic.Int64
	all   sync.WaitGroup
}

func (r *resets) openStayers(ctx context.Context) (*stay, error) {
	s := &stay{}
	for i := range stayers {
		if ctx.Err() != nil {
			break
		}
		v := &victim{resets: r, client: r.clients[i]}
		for _, step := range []func() error{v.openWebSocket, v.read, v.connect, v.read} {
			if err := step(); err != nil {
				s.close()
				return nil, fmt.Errorf("a client that is to stay: %w", err)
			}
		}
		s.lines = append(s.lines, v.ws)
		s.all.Go(func() {
			s.keep(v)
			s.gone.Add(1)
		})
	}
	return s, context.Cause(ctx)
}

// keep reads until the connection ends.
func (s *stay) keep(v *victim) {
	if v.ws.SetDeadline(time.Time{}) != nil {
		return
	}
	for {
		if _, err := v.ws.in.Peek(2); err != nil {
			return
		}
		buffered, _ := v.ws.in.Peek(v.ws.in.Buffered())
		_, payload, size, err := nextFrame(buffered)
		if err != nil {
			return
		}
		if size == 0 { // the rest is to come
			if _, err := v.ws.in.Peek(len(buffered) + 1); err != nil {
				return
			}
			continue
		}
		ping := string(payload) == "2"
		_, _ = v.ws.in.Discard(size) // it is buffered
		if ping && v.send("3")() != nil {
			return
		}
	}
}

// count returns how many are there.
func (s *stay) count() int { return len(s.lines) - int(s.gone.Load()) }

func (s *stay) close() {
	for _, l := range s.lines {
		l.Close()
	}
	s.all.Wait()
}

func grpcCanceled(err error) bool {
	return status.Code(errors.Unwrap(err)) == codes.Canceled
}
