package engineio

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// awaitNobody waits until every connection has ended and the server has forgotten it.
func (s *server) awaitNobody(t *testing.T, counts *tally) {
	t.Helper()
	eventually(t, "every connection has ended", func() bool {
		counts.mu.Lock()
		closed := 0
		for _, n := range counts.closed {
			closed += n
		}
		open := counts.opened - closed
		counts.mu.Unlock()
		return open == 0 && len(s.all()) == 0
	})
	s.parker.mu.Lock()
	defer s.parker.mu.Unlock()
	for slot, c := range s.parker.slots {
		if c != nil {
			t.Errorf("slot %d still has a connection", slot)
		}
	}
	if n := s.parker.watchedByKernel(t); n != 0 {
		t.Errorf("the kernel still watches %d sockets", n)
	}
	if len(s.parker.free) != len(s.parker.slots) {
		t.Errorf("%d of %d slots are free", len(s.parker.free), len(s.parker.slots))
	}
}

// A connection can end while its reader handles a message. The reader must not park it then,
// since the poller reports nothing about a closed socket.
func TestEndBeforeParking(t *testing.T) {
	overAll(t, func(t *testing.T, start starter) {
		for name, first := range map[string]string{"for the first time": "", "again": "4first"} {
			t.Run(name, func(t *testing.T) {
				counts := newTally()
				s := start(t, func(o *Options) { o.Observer = counts })
				nc, ses := s.rawClient(t)
				if first != "" {
					_, _ = nc.Write(clientFrame(first))
					ses.wantData(t, "first")
					ses.awaitParked(t)
				}
				ses.onEvent(func(e event) {
					if e.name == "text" {
						ses.cut()
					}
				})
				_, _ = nc.Write(clientFrame("4last"))
				ses.wantData(t, "last")
				ses.wantClose(t, ReasonForcedClose)
				s.awaitNobody(t, counts)
			})
		}
	})
}

// The system watches a limited number of sockets. A connection beyond that keeps its goroutine
// and is still read.
func TestUnwatchableConnection(t *testing.T) {
	overAll(t, func(t *testing.T, start starter) {
		counts := newTally()
		s := start(t, func(o *Options) { o.Observer = counts })
		_, before := s.rawClient(t)
		s.parker.begin.Do(s.parker.open)
		if !s.parker.works {
			t.Skip("connections aren't parked on this system")
		}
		s.parker.poller.close()
		nc, ses := s.rawClient(t)
		for i := range 100 {
			_, _ = nc.Write(clientFrame(fmt.Sprint("4", i)))
			ses.wantData(t, fmt.Sprint(i))
		}
		for _, ses := range []*session{before, ses} {
			ses.cut()
			ses.wantClose(t, ReasonForcedClose)
		}
		s.awaitNobody(t, counts)
	})
}

// Clients that connect, send, get answers and reset their connection at any moment leave nothing
// behind, and the server ends.
func TestResetsLeaveNothing(t *testing.T) {
	counts := newTally()
	// Between two polls it is the heartbeat that finds out.
	opts := Options{Observer: counts, PingInterval: time.Second, PingTimeout: time.Second}
	s := &server{}
	s.Server = New(echoes{}, opts)
	plain, secure := newHTTPServer(s.Server, nil), newHTTPServer(s.Server, &tls.Config{})
	defer plain.Close()
	defer secure.Close()
	const workers, rounds = 8, 200
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			for round := range rounds {
				var err error
				target, config := plain, (*tls.Config)(nil)
				if rand.IntN(4) == 0 {
					target, config = secure, clientTLS(secure)
				}
				if address := target.Listener.Addr().String(); (worker+round)%4 == 3 {
					err = resetUpgrade(address, config)
				} else {
					err = resetWebSocket(address, config)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	s.awaitNobody(t, counts)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// echoes answers each message with itself, and then stays busy for a while.
type echoes struct{}

func (echoes) Open(c *Conn, _ *http.Request) Receiver { return &echo{c} }

type echo struct{ conn *Conn }

func (e *echo) Text(message []byte) {
	e.conn.Send(text(string(message)), false)
	soon()
}

func (e *echo) Binary([]byte)        {}
func (e *echo) Confirmed(uint64)     {}
func (e *echo) Paused()              {}
func (e *echo) Closed(Reason, error) {}

// soon waits up to some hundred microseconds, which is about how long each step takes.
func soon() {
	for end := time.Now().Add(time.Duration(rand.IntN(200)) * time.Microsecond); time.Now().Before(end); {
	}
}

// upgradeRequest asks for a WebSocket.
const upgradeRequest = "GET /socket.io/?EIO=4&transport=websocket%s HTTP/1.1\r\nHost: sala\r\nConnection: Upgrade\r\n" +
	"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"

// dialReset returns a connection, over TLS if config isn't nil, and a function that resets it.
func dialReset(address string, config *tls.Config) (net.Conn, func(), error) {
	tcp, err := net.Dial("tcp", address)
	if err != nil {
		return nil, nil, err
	}
	reset := func() {
		_ = tcp.(*net.TCPConn).SetLinger(0)
		_ = tcp.Close()
	}
	if config != nil {
		return tls.Client(tcp, config), reset, nil
	}
	return tcp, reset, nil
}

// resetWebSocket connects, sends a few messages, and resets the connection. The server may end
// the connection at any point, so every error only means that it is over.
func resetWebSocket(address string, config *tls.Config) error {
	nc, reset, err := dialReset(address, config)
	if err != nil {
		return err
	}
	defer reset()
	_, _ = fmt.Fprintf(nc, upgradeRequest, "")
	for range rand.IntN(6) {
		_, _ = nc.Read(make([]byte, 1024)) // the connection is parked soon
		soon()
		_, _ = nc.Write(clientFrame("4hello"))
	}
	soon()
	return nil
}

// resetUpgrade connects over long-polling, upgrades, and resets one or both connections on the
// way.
func resetUpgrade(address string, config *tls.Config) error {
	polls, reset, err := dialReset(address, config)
	if err != nil {
		return err
	}
	defer reset()
	_, _ = io.WriteString(polls, "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: sala\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(polls), nil)
	if err != nil {
		return fmt.Errorf("the handshake: %w", err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("the handshake: %w", err)
	}
	_, rest, _ := strings.Cut(string(body), `"sid":"`)
	sid, _, _ := strings.Cut(rest, `"`)
	nc, resetSocket, err := dialReset(address, config)
	if err != nil {
		return err
	}
	defer resetSocket()
	poll := fmt.Sprintf("GET /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: sala\r\n\r\n", sid)
	steps := []func(){
		func() { _, _ = io.WriteString(polls, poll) },
		func() { _, _ = fmt.Fprintf(nc, upgradeRequest, "&sid="+sid) },
		func() { _, _ = nc.Write(clientFrame("2probe")) },
		func() { _, _ = nc.Read(make([]byte, 1024)) },
		func() { _, _ = nc.Write(append(clientFrame("5"), clientFrame("4hello")...)) },
		func() { _, _ = nc.Write(clientFrame("4again")) },
	}
	for _, step := range steps[:rand.IntN(len(steps)+1)] {
		step()
		soon()
	}
	if rand.IntN(8) == 0 {
		_ = polls.Close() // as a browser does with what it doesn't need any more
	}
	return nil
}
