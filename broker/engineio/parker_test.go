package engineio

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
)

// waits reports whether the connection is parked.
func (s *session) waits() bool {
	s.server.parker.mu.Lock()
	defer s.server.parker.mu.Unlock()
	return s.parkState.parked
}

// awaitParked waits until the connection is parked.
func (s *session) awaitParked(t *testing.T) {
	t.Helper()
	if !canPark {
		t.Skip("connections aren't parked on this system")
	}
	eventually(t, "the connection is parked", s.waits)
}

func clientFrame(message string) []byte {
	return ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewTextFrame([]byte(message))))
}

// socketOf returns the socket of a client's connection.
func socketOf(nc net.Conn) *net.TCPConn {
	if secured, ok := nc.(*tls.Conn); ok {
		nc = secured.NetConn()
	}
	return nc.(*net.TCPConn)
}

// A client's last message and the end of its connection may be reported as one. Neither may be
// missed.
func TestParkedConnectionIsClosedWithItsLastMessage(t *testing.T) {
	overAll(t, func(t *testing.T, start starter) {
		s := start(t)
		for i := range 50 {
			nc, ses := s.rawClient(t)
			_, _ = nc.Write(clientFrame("4first"))
			ses.wantData(t, "first")
			ses.awaitParked(t)
			_, _ = nc.Write(clientFrame("4last"))
			switch i % 3 {
			case 0:
				_ = socketOf(nc).CloseWrite()
			case 1:
				_ = nc.(interface{ CloseWrite() error }).CloseWrite() // TLS says so, but keeps the socket open
			default:
				_ = nc.Close()
			}
			ses.wantData(t, "last")
			ses.wantClose(t, ReasonTransportClose)
		}
	})
}

// The end of a connection may be reported before the last message has been read. It isn't missed
// then either.
func TestEndIsReadBehindMessages(t *testing.T) {
	overAll(t, func(t *testing.T, start starter) {
		s := start(t)
		nc, ses := s.rawClient(t)
		_, _ = nc.Write(clientFrame("4first"))
		ses.wantData(t, "first")
		ses.awaitParked(t)
		reported := func(closed bool) func() bool {
			return func() bool {
				s.parker.mu.Lock()
				defer s.parker.mu.Unlock()
				return ses.parkState.readable && ses.parkState.closed == closed
			}
		}
		ses.onEvent(func(e event) {
			if e.value != "second" {
				return
			}
			_, _ = nc.Write(clientFrame("4third"))
			eventually(t, "the third message is reported", reported(false))
			_ = socketOf(nc).CloseWrite()
			eventually(t, "the end is reported", reported(true))
		})
		_, _ = nc.Write(clientFrame("4second"))
		ses.wantData(t, "second")
		ses.wantData(t, "third")
		ses.wantClose(t, ReasonTransportClose)
	})
}

// Messages are read that arrive while others are being handled, or just before the connection is
// parked.
func TestParkedConnectionsMissNothing(t *testing.T) {
	overAll(t, func(t *testing.T, start starter) {
		s := start(t)
		const clients, messages = 8, 1500
		var all sync.WaitGroup
		for range clients {
			nc, ses := s.rawClient(t)
			all.Go(func() {
				for i := range messages {
					// Some come alone, some together with the next, some after an answer.
					if i%3 == 0 {
						_, _ = nc.Write(append(clientFrame(fmt.Sprint("4", i)), clientFrame("4"+strings.Repeat("x", i%7))...))
						ses.wantData(t, fmt.Sprint(i))
						ses.wantData(t, strings.Repeat("x", i%7))
						continue
					}
					_, _ = nc.Write(clientFrame(fmt.Sprint("4", i)))
					if i%3 == 1 {
						ses.wantData(t, fmt.Sprint(i))
					} else {
						_, _ = nc.Write(clientFrame("4and"))
						ses.wantData(t, fmt.Sprint(i))
						ses.wantData(t, "and")
					}
				}
			})
		}
		all.Wait()
	})
}

// A connection that has been upgraded needs no goroutine, even before it carries a message.
func TestUpgradedConnectionIsParked(t *testing.T) {
	overAll(t, func(t *testing.T, start starter) {
		s := start(t)
		c, ses := s.poller(t)
		c.probeSocket()
		c.write("5")
		ses.awaitParked(t)
		ses.mu.Lock()
		s.parker.mu.Lock()
		if ses.done != nil || ses.parkState.reader != nil {
			t.Error("the connection keeps something of its upgrade")
		}
		s.parker.mu.Unlock()
		ses.mu.Unlock()
		c.write("4hello")
		ses.wantData(t, "hello")
		ses.awaitParked(t)
		_ = c.ws.Close()
		ses.wantClose(t, ReasonTransportClose)
	})
}

// A parked connection has a reader only in the middle of a message.
func TestParkedConnectionHasNoReader(t *testing.T) {
	overAll(t, func(t *testing.T, start starter) {
		s := start(t)
		nc, ses := s.rawClient(t)
		parkedWith := func(reader bool) {
			t.Helper()
			ses.awaitParked(t)
			eventually(t, fmt.Sprintf("the connection is parked, with a reader: %t", reader), func() bool {
				s.parker.mu.Lock()
				defer s.parker.mu.Unlock()
				return ses.parkState.parked && (ses.parkState.reader != nil) == reader
			})
		}
		part := func(op ws.OpCode, fin bool, payload string) {
			_, _ = nc.Write(ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewFrame(op, fin, []byte(payload)))))
		}
		for range 3 {
			part(ws.OpText, true, "4whole")
			ses.wantData(t, "whole")
			parkedWith(false)
			part(ws.OpText, false, "4in ")
			parkedWith(true)
			part(ws.OpContinuation, true, "parts")
			ses.wantData(t, "in parts")
			parkedWith(false)
		}
	})
}
