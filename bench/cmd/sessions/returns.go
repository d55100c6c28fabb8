package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/salabroker/sala/bench/line"
	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
)

// session is what a client needs to return.
type session struct {
	token, pid, offset string
	conn               *load.Conn
}

// storm cuts all connections, publishes messages, and has all clients return.
func (o *options) storm(ctx context.Context, t *process.Target, f *figures) error {
	g, err := newGroup(ctx, o, t)
	if err != nil {
		return err
	}
	defer g.close()
	if _, f.connect, err = g.open(ctx, t, 0); err != nil {
		return err
	}
	if err := g.cut(ctx, t, o.missed); err != nil {
		return err
	}
	f.storm, f.each, err = g.open(ctx, t, o.missed)
	return err
}

// moveAll is storm in a cluster of two nodes. The clients return at the one where they weren't, several
// times.
func (o *options) moveAll(ctx context.Context, sala *process.Sala, f *figures) error {
	commands, err := sala.Cluster("sessions-cluster", "--max-events-per-second", "0")
	if err != nil {
		return err
	}
	commands.Nodes = commands.Nodes[:2]
	c, err := process.StartCluster(ctx, commands)
	if err != nil {
		return err
	}
	defer c.Stop()
	here, there := c.Nodes[0].Target(), c.Nodes[1].Target()
	for _, t := range []*process.Target{here, there} {
		if err := load.AwaitNodes(ctx, t, len(c.Nodes)); err != nil {
			return err
		}
	}
	g, err := newGroup(ctx, o, here, there)
	if err != nil {
		return err
	}
	defer g.close()
	if _, f.clusterConnect, err = g.open(ctx, here, 0); err != nil {
		return err
	}
	for range o.moves {
		if err := g.cut(ctx, here, o.missed); err != nil {
			return err
		}
		here, there = there, here
		_, cpu, err := g.open(ctx, here, o.missed)
		if err != nil {
			return err
		}
		f.takeOver += cpu / time.Duration(o.moves)
	}
	return nil
}

// group is clients that connect and return together.
type group struct {
	sessions []session
	servers  []*process.Target // whose CPU counts
}

func newGroup(ctx context.Context, o *options, servers ...*process.Target) (*group, error) {
	clients, err := load.NewClients(ctx, servers[0], o.clients, load.InRooms(load.Everyone))
	if err != nil {
		return nil, err
	}
	g := &group{sessions: make([]session, o.clients), servers: servers}
	for i := range g.sessions {
		g.sessions[i].token = clients[i].Token
	}
	return g, nil
}

func (g *group) close() {
	for i := range g.sessions {
		if conn := g.sessions[i].conn; conn != nil {
			conn.Close()
		}
	}
}

// open has all clients connect to a server, or return there and read that many messages. It returns
// how long that took and the CPU of the servers for each client.
func (g *group) open(ctx context.Context, t *process.Target, messages int) (took, cpu time.Duration, err error) {
	dialer, err := load.NewDialer(t.Listen)
	if err != nil {
		return 0, 0, err
	}
	before, err := g.cpu()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	err = load.InParallel(ctx, load.DefaultWindow, len(g.sessions), func(_ context.Context, i int) error {
		return g.sessions[i].open(dialer, messages)
	})
	if err != nil {
		return 0, 0, err
	}
	took = time.Since(start)
	after, err := g.cpu()
	if err != nil {
		return 0, 0, err
	}
	return took, (after - before) / time.Duration(len(g.sessions)), g.confirm(ctx)
}

// confirm has all clients answer the ping that follows their connect. Until then, a server keeps the
// session of a client that is gone for a few seconds only.
func (g *group) confirm(ctx context.Context) error {
	return load.InParallel(ctx, load.DefaultWindow, len(g.sessions), func(_ context.Context, i int) error {
		conn := g.sessions[i].conn
		packet, err := conn.ReadMessage()
		switch {
		case err != nil:
			return fmt.Errorf("waiting for a ping: %w", err)
		case string(packet) != "2":
			return fmt.Errorf("a ping was expected, not %.100q", packet)
		}
		return conn.WriteMessage([]byte("3"))
	})
}

// cpu returns the CPU time that the servers have used.
func (g *group) cpu() (sum time.Duration, err error) {
	for _, server := range g.servers {
		used, err := process.CPU(server.PID)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// cut cuts all connections, publishes messages, and waits until the servers have nothing left to do:
// what a lost connection costs isn't part of what a return costs.
func (g *group) cut(ctx context.Context, t *process.Target, messages int) error {
	for i := range g.sessions {
		g.sessions[i].conn.Reset()
	}
	publisher, err := load.NewEmitStream(ctx, t)
	if err != nil {
		return err
	}
	for n := range uint64(messages) {
		if err := publisher.Publish([]line.Message{{Room: load.Everyone, Payload: load.NewPayload(n+1, 0)}}); err != nil {
			return err
		}
	}
	if _, err = publisher.Close(); err != nil { // otherwise all are sent
		return err
	}
	return g.rest(ctx)
}

// rest waits until the servers use next to no CPU.
func (g *group) rest(ctx context.Context) error {
	const look, little = 200 * time.Millisecond, 4 * time.Millisecond
	before, err := g.cpu()
	for err == nil {
		if err := load.Sleep(ctx, look); err != nil {
			return err
		}
		var now time.Duration
		if now, err = g.cpu(); now-before < little {
			break
		}
		before = now
	}
	return err
}

// open connects, or returns, and reads that many messages.
func (s *session) open(d *load.Dialer, messages int) error {
	auth := map[string]any{"token": s.token, "recover": true}
	if s.pid != "" {
		auth["pid"], auth["offset"] = s.pid, s.offset
	}
	conn, err := load.OpenWebSocket(d, load.EnginePath+"websocket", func(conn *load.Conn) error {
		if _, err := conn.ReadMessage(); err != nil {
			return fmt.Errorf("waiting for the open packet: %w", err)
		}
		packet, err := json.Marshal(auth)
		if err != nil {
			return err
		}
		if err := conn.WriteMessage(append([]byte("40"), packet...)); err != nil {
			return err
		}
		return s.connected(conn)
	})
	if err != nil {
		return err
	}
	s.conn = conn
	for range messages {
		message, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(message, []byte("42")) {
			return fmt.Errorf("a message was expected, not %.100q", message)
		}
		s.offset = string(message[bytes.LastIndex(message, []byte(`,"`))+2 : len(message)-2]) // the last argument
	}
	return nil
}

// connected reads the answer to a connect packet. It must be the session that it was before.
func (s *session) connected(conn *load.Conn) error {
	answer, err := conn.ReadMessage()
	if err != nil {
		return fmt.Errorf("waiting for the connect packet: %w", err)
	}
	var connected struct{ PID string }
	body, ok := bytes.CutPrefix(answer, []byte("40"))
	if err := json.Unmarshal(body, &connected); !ok || err != nil || connected.PID == "" {
		return fmt.Errorf("the server answered the connect packet with %.200q", answer)
	}
	if s.pid != "" && s.pid != connected.PID {
		return fmt.Errorf("a client came back as another session")
	}
	s.pid = connected.PID
	return nil
}
