package engine

import (
	"fmt"
	"strings"
	"testing"

	socketio "github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// socketIO binds the library's Socket.IO layer to a Server.
func socketIO(t *testing.T) (*socketio.Server, *server) {
	t.Helper()
	s := start(t)
	io := socketio.NewServer(nil, nil)
	io.Bind(s.Server)
	_ = io.On("connection", func(args ...any) {
		client := args[0].(*socketio.Socket)
		// Tells the client that it may speak: the library closes a connection whose first event comes right behind the
		// answer to its CONNECT, when it hasn't registered the namespace yet.
		defer func() { _ = client.Emit("ready") }()
		_ = client.On("echo", func(args ...any) { _ = client.Emit("echo", args...) })
		_ = client.On("all", func(args ...any) { _ = io.Emit("all", args...) })
		_ = client.On("leave", func(args ...any) {
			_ = client.Emit("last", 1)
			client.Disconnect(true)
		})
	})
	return io, s
}

// join completes the CONNECT of Socket.IO.
func (c *client) join() {
	c.t.Helper()
	c.write("40")
	if got := c.read(); !strings.HasPrefix(got, `40{"sid":`) {
		c.t.Fatalf("connect: %q", got)
	}
	c.want(`42["ready"]`)
}

// joinPolling is join over long-polling.
func (c *client) joinPolling() {
	c.t.Helper()
	c.post("40")
	var got string
	for !strings.HasSuffix(got, `42["ready"]`) {
		_, body := c.poll()
		got += body
	}
	if !strings.HasPrefix(got, `40{"sid":`) {
		c.t.Fatalf("connect: %q", got)
	}
}

func TestSocketIO(t *testing.T) {
	_, s := socketIO(t)
	var clients []*client
	for range 3 {
		c, _ := s.dial(t)
		c.join()
		clients = append(clients, c)
	}
	p, _ := s.poller(t)
	p.joinPolling()
	clients[0].write(`42["echo","hi",1]`)
	clients[0].want("42[\"echo\",\"hi\",1]")
	clients[0].write(`451-["echo",{"_placeholder":true,"num":0}]`)
	_ = clients[0].ws.WriteMessage(2, []byte{7, 8})
	clients[0].want("451-[\"echo\",{\"_placeholder\":true,\"num\":0}]")
	clients[0].want("b:\x07\x08")
	clients[1].write(`42["all","x"]`)
	for _, c := range clients {
		c.want("42[\"all\",\"x\"]")
	}
	p.wantPoll("42[\"all\",\"x\"]")
}

// Disconnect(true) delivers what was emitted before, the disconnect packet and the close, in that order.
func TestSocketIODisconnect(t *testing.T) {
	_, s := socketIO(t)
	for range 20 {
		c, ses := s.dial(t)
		c.join()
		c.write(`42["leave"]`)
		c.want("42[\"last\",1]")
		c.want("41")
		c.want("1")
		c.wantClosed(1000)
		ses.wantClose(t, ReasonForcedClose)

		p, ses := s.poller(t)
		p.joinPolling()
		p.post(`42["leave"]`)
		var got string
		for !strings.HasSuffix(got, "\x1e1") {
			_, body := p.poll()
			got += "\x1e" + body
		}
		if want := "\x1e42[\"last\",1]\x1e41\x1e1"; got != want {
			t.Fatalf("polled %q, want %q", got, want)
		}
		ses.wantClose(t, ReasonForcedClose)
	}
}

// Frames and the library's own messages share one order, and attachments stay with their header.
func TestSocketIOInterleaving(t *testing.T) {
	io, s := socketIO(t)
	c, ses := s.dial(t)
	c.join()
	const messages = 500
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range messages {
			_ = io.Emit("bin", types.NewBytesBuffer([]byte{1}), types.NewBytesBuffer([]byte{2}))
		}
	}()
	for i := range messages {
		ses.Send(NewFrame(fmt.Appendf(nil, `51-["f",%d]`, i), []byte{3}), false)
	}
	<-done
	library, ours := 0, 0
	for library+ours < 2*messages {
		switch got := c.read(); {
		case strings.HasPrefix(got, `452-["bin"`):
			c.want("b:\x01")
			c.want("b:\x02")
			library++
		case got == fmt.Sprintf(`451-["f",%d]`, ours):
			c.want("b:\x03")
			ours++
		default:
			t.Fatalf("unexpected %q", got)
		}
	}
}
