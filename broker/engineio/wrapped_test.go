package engineio

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"
)

// counting is a listener that counts its open connections.
type counting struct {
	net.Listener
	open atomic.Int64
}

func (l *counting) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.open.Add(1)
	return &counted{Conn: nc, listener: l}, nil
}

type counted struct {
	net.Conn
	listener *counting
	closed   atomic.Bool
}

func (c *counted) Plain() net.Conn { return c.Conn }

func (c *counted) Close() error {
	if !c.closed.Swap(true) {
		c.listener.open.Add(-1)
	}
	return c.Conn.Close()
}

// A caller's own connection is parked like any other. However it ends, its own Close is called.
func TestWrappedConnections(t *testing.T) {
	t.Run("plain", func(t *testing.T) { testWrappedConnections(t, nil) })
	t.Run("TLS", func(t *testing.T) { testWrappedConnections(t, &tls.Config{}) })
}

func testWrappedConnections(t *testing.T, config *tls.Config) {
	t.Helper()
	s := start(t)
	s.http.Close()
	l := &counting{}
	s.http = newHTTPServer(s.Server, config, func(plain net.Listener) net.Listener {
		l.Listener = plain
		return l
	})
	defer s.http.Close()
	ends := map[Reason]func(*client, *session){
		ReasonTransportClose: func(c *client, _ *session) { _ = c.ws.Close() },
		ReasonForcedClose: func(c *client, ses *session) {
			ses.CloseAfterFlush(ReasonForcedClose)
			c.wantClosed(websocket.CloseNormalClosure)
			_ = c.ws.Close()
		},
		ReasonSlowConsumer: func(_ *client, ses *session) { ses.terminate(ReasonSlowConsumer, nil) },
		ReasonParseError: func(c *client, _ *session) {
			c.write("x")
			c.wantClosed(websocket.CloseInvalidFramePayloadData)
			_ = c.ws.Close()
		},
	}
	for reason, end := range ends {
		c, ses := s.dial(t)
		c.write("4hello")
		ses.wantData(t, "hello")
		ses.awaitParked(t)
		ses.mu.Lock()
		if direct := ses.ws.raw != nil; direct != (config == nil) {
			t.Errorf("the socket is used directly: %v", direct)
		}
		ses.mu.Unlock()
		end(c, ses)
		if e := ses.next(t); e.name != "close" {
			t.Errorf("%s: got %+v", reason, e)
		}
	}
	eventually(t, "all are closed", func() bool { return l.open.Load() == 0 })
}
