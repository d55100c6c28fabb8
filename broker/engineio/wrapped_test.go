package engineio

import (
	"net"
	"net/http"
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
	s := start(t)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &counting{Listener: plain}
	wrapped := &http.Server{Handler: s.Server}
	go func() { _ = wrapped.Serve(l) }()
	defer func() { _ = wrapped.Close() }()
	s.http.URL = "http://" + plain.Addr().String()
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
		ses.mu.Lock()
		if ses.ws.raw == nil {
			t.Error("the socket isn't used directly")
		}
		ses.mu.Unlock()
		end(c, ses)
		if e := ses.next(t); e.name != "close" {
			t.Errorf("%s: got %+v", reason, e)
		}
	}
	eventually(t, "all are closed", func() bool { return l.open.Load() == 0 })
}
