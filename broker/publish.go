package broker

import (
	"encoding/json"
	"time"

	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/socketio"
)

// tellConnected is the first that backends hear of a socket. It is called when
// the socket can be found, so that they can answer, and before its client
// can say anything.
func (s *socket) tellConnected() {
	if lastWill := s.client.b.lastWill; lastWill != nil {
		lastWill.Connected(s.describe)
	}
	s.publishConnected()
}

func (s *socket) publishConnected() {
	if s.client.b.events.Wants(eventhub.Connect, s.ns.name, "") {
		s.client.b.events.Publish(&eventhub.Event{Kind: eventhub.Connect, Namespace: s.ns.name, Socket: s.describe(), Time: s.connectTime})
	}
}

// tellDisconnected is the last that backends hear of a socket.
func (s *socket) tellDisconnected(why string) {
	s.saying.Lock()
	defer s.saying.Unlock()
	s.silent = true
	b, ended := s.client.b, time.Now()
	b.doubt.ended(s, func(alreadyTold bool) {
		if !alreadyTold && b.events.Wants(eventhub.Disconnect, s.ns.name, "") {
			b.events.Publish(&eventhub.Event{
				Kind: eventhub.Disconnect, Namespace: s.ns.name, Socket: s.describe(), Reason: why, Time: ended,
			})
		}
		b.events.Forget(s.id)
		if b.lastWill != nil {
			b.lastWill.Ended(s.id)
		}
	})
}

// tellRelayed lets backends hear what a rule has passed on to other clients.
func (s *socket) tellRelayed(p *socketio.Packet) {
	if !s.client.b.events.Wants(eventhub.Message, s.ns.name, p.Event) {
		return
	}
	s.saying.Lock()
	defer s.saying.Unlock()
	if !s.silent {
		s.client.b.events.Publish(s.message(p))
	}
}

// tellBackend hands what the client says to the backends that want it, and
// reports whether there are any that may answer. If so, a client that asked for an
// ack gets one whatever happens.
func (s *socket) tellBackend(p *socketio.Packet) bool {
	if !s.client.b.events.Wants(eventhub.Message, s.ns.name, p.Event) {
		return false
	}
	handled := s.client.b.events.Handles(s.ns.name, p.Event)
	s.saying.Lock()
	defer s.saying.Unlock()
	switch {
	case s.silent: // it has ended, and backends have heard so
	case p.HasID && handled:
		id := p.ID
		s.client.b.events.Ask(s.message(p), func(r eventhub.Reply) { s.replyFrom(id, r) })
	default:
		s.client.b.events.Publish(s.message(p))
	}
	return handled
}

func (s *socket) message(p *socketio.Packet) *eventhub.Event {
	return &eventhub.Event{
		Kind:        eventhub.Message,
		Namespace:   s.ns.name,
		Socket:      s.describe(),
		Name:        p.Event,
		Args:        p.Args,
		Attachments: p.Attachments,
		Time:        time.Now(),
	}
}

// describe returns what backends get to know about the socket. Events share it
// as long as nothing of it changes.
func (s *socket) describe() *eventhub.Socket {
	transport, data := s.client.conn.Transport(), s.shownData()
	if d := s.described.Load(); d != nil && d.Transport == transport && sameData(d.Data, data) {
		return d
	}
	d := &eventhub.Socket{
		ID:          s.id,
		User:        s.user,
		Namespace:   s.ns.name,
		Address:     s.client.conn.RemoteAddress(),
		Transport:   transport,
		ConnectTime: s.connectTime,
		Data:        data,
		Auth:        s.auth,
	}
	s.described.Store(d)
	return d
}

// sameData reports whether two values are the same bytes in memory; data is
// replaced, never changed.
func sameData(a, b json.RawMessage) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
