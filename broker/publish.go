package broker

import (
	"encoding/json"
	"time"

	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/socketio"
)

// publishConnected publishes the first event of a socket. It is called when the
// socket can be found, so that backends can answer, and before its client can send
// anything.
func (s *socket) publishConnected() {
	if lastWill := s.b.lastWill; lastWill != nil {
		lastWill.Connected(s.describe)
	}
	s.publishConnect()
}

func (s *socket) publishConnect() {
	if !s.b.events.Wants(eventhub.Connect, s.ns.name, "") {
		return
	}
	e := &eventhub.Event{Kind: eventhub.Connect, Namespace: s.ns.name, Socket: s.describe(), Time: s.connectTime}
	if s.session != nil && s.session.back != nil {
		e.PreviousSocketID, e.NotRecovered = s.session.back.previous, s.session.back.notRecovered
	}
	s.b.publishEvent(e)
}

// publishAway publishes that the socket has lost its connection.
func (s *socket) publishAway(why string) {
	s.publishing.Lock() // so that no event of the client follows
	defer s.publishing.Unlock()
	if s.b.events.Wants(eventhub.Away, s.ns.name, "") {
		s.b.publishEvent(&eventhub.Event{
			Kind: eventhub.Away, Namespace: s.ns.name, Socket: s.describe(), Reason: why, Time: time.Now(),
		})
	}
}

// publishResumed publishes that the client of the socket has returned.
func (s *socket) publishResumed() {
	if lastWill := s.b.lastWill; lastWill != nil {
		lastWill.Connected(s.describe) // which has changed
	}
	if s.b.events.Wants(eventhub.Resumed, s.ns.name, "") {
		s.b.publishEvent(&eventhub.Event{Kind: eventhub.Resumed, Namespace: s.ns.name, Socket: s.describe(), Time: time.Now()})
	}
}

// publishStillConnected publishes another CONNECT of the socket, unless its
// DISCONNECT has been published.
func (s *socket) publishStillConnected() {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	if !s.endPublished {
		s.publishConnect()
	}
}

// publishDisconnected publishes the last event of a socket. In a cluster it waits
// until it is certain that other nodes haven't published it.
func (s *socket) publishDisconnected(why string) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	s.endPublished = true
	b, ended := s.b, time.Now()
	publish := func(alreadyPublished bool) {
		if !alreadyPublished && b.events.Wants(eventhub.Disconnect, s.ns.name, "") {
			b.publishEvent(&eventhub.Event{
				Kind: eventhub.Disconnect, Namespace: s.ns.name, Socket: s.describe(), Reason: why, Time: ended,
			})
		}
		b.events.Forget(s.id)
		if b.lastWill != nil {
			b.lastWill.Ended(s.id)
		}
	}
	if b.lossCheck == nil {
		publish(false)
		return
	}
	b.lossCheck.SocketEnded(s.describe().Since(), publish)
}

// publishRelayed lets backends see an event that a rule has relayed to other
// clients. They can't answer it. It returns the id with which they get it, 0 if none
// does.
func (s *socket) publishRelayed(p *socketio.Packet) (delivery uint64) {
	if !s.b.events.Wants(eventhub.Message, s.ns.name, p.Event) {
		return 0
	}
	s.publishing.Lock()
	defer s.publishing.Unlock()
	if s.silent() {
		return 0
	}
	delivery = s.b.events.NewDeliveryID()
	s.b.publishEvent(s.message(p, delivery))
	return delivery
}

// publishMessage hands an event of the client to the backends that want it, and
// reports whether one of them may answer. If so, a client that asked for an ack
// gets one whatever happens. They get it with the id of the delivery, if that isn't 0.
func (s *socket) publishMessage(p *socketio.Packet, delivery uint64) bool {
	if !s.b.events.Wants(eventhub.Message, s.ns.name, p.Event) {
		return false
	}
	handled := s.b.events.Handles(s.ns.name, p.Event)
	s.publishing.Lock()
	defer s.publishing.Unlock()
	switch {
	case s.silent():
	case p.HasID && handled:
		s.ask(p, delivery)
	default:
		s.b.publishEvent(s.message(p, delivery))
	}
	return handled
}

// ask hands an event to the backends, and one of them has to answer it. s.publishing is held.
func (s *socket) ask(p *socketio.Packet, delivery uint64) {
	if delivery == 0 { // somebody may watch by the time of the answer
		delivery = s.b.events.NewDeliveryID()
	}
	id, m := p.ID, s.message(p, delivery)
	answer := func(r eventhub.Reply) {
		if r.Error != nil || s.b.outcomes.Active() {
			s.noteAnswer(m, &r)
		}
		s.replyFrom(id, r)
	}
	if span := s.b.startEvent(m); span != nil {
		reply := answer
		answer = func(r eventhub.Reply) {
			endAnswered(span, r.Error)
			reply(r)
		}
	}
	s.b.events.Ask(m, answer)
}

// silent reports whether no event of the client may be published: none follows a
// DISCONNECT, or comes while the client is away. s.publishing is held.
func (s *socket) silent() bool { return s.endPublished || s.client.Load() == nil }

func (s *socket) message(p *socketio.Packet, delivery uint64) *eventhub.Event {
	return &eventhub.Event{
		Kind:        eventhub.Message,
		Namespace:   s.ns.name,
		Socket:      s.describe(),
		Name:        p.Event,
		Args:        p.Args,
		Attachments: p.Attachments,
		Time:        time.Now(),
		DeliveryID:  delivery,
	}
}

// describe returns what backends see of the socket. Events share it as long as
// nothing of it changes. While the socket is away, it has the address and the
// transport of the connection that it has lost.
func (s *socket) describe() *eventhub.Socket {
	data := s.shownData()
	c := s.client.Load() // before what is known: whoever takes the connection away describes it first
	known := s.described.Load()
	var address, transport string
	if c != nil {
		address, transport = c.conn.RemoteAddress(), c.conn.Transport()
	} else {
		address, transport = known.Address, known.Transport
	}
	if known != nil && known.Away == (c == nil) && known.Transport == transport && known.Address == address && sameData(known.Data, data) {
		return known
	}
	d := &eventhub.Socket{
		ID:          s.id,
		User:        s.user,
		Namespace:   s.ns.name,
		Node:        s.b.id,
		Away:        c == nil,
		Address:     address,
		Transport:   transport,
		ConnectTime: s.connectTime,
		Data:        data,
		Auth:        s.auth,
	}
	if x := s.session; x != nil && x.arrival != nil {
		d.Moves, d.TakenOverUnixNs = x.arrival.moves, x.arrival.at
	}
	s.described.Store(d)
	return d
}

// address returns the address of the socket's client, or of its last connection if it is
// away. Unlike describe it keeps nothing.
func (s *socket) address() string {
	if c := s.client.Load(); c != nil {
		return c.conn.RemoteAddress()
	}
	if known := s.described.Load(); known != nil {
		return known.Address
	}
	return ""
}

// sameData reports whether two values are the same bytes in memory. Data is
// replaced, never changed.
func sameData(a, b json.RawMessage) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// publishMember publishes that a socket has joined or left a room.
func (ns *namespace) publishMember(kind eventhub.Kind, s *socket, room string) {
	if ns.b.events.Wants(kind, ns.name, "") {
		ns.b.publishEvent(&eventhub.Event{Kind: kind, Namespace: ns.name, Socket: s.describe(), Room: room, Time: time.Now()})
	}
}

// publishRoom publishes that a room has got its first member or lost its last.
func (ns *namespace) publishRoom(kind eventhub.Kind, room string) {
	if ns.b.events.Wants(kind, ns.name, "") {
		ns.b.publishEvent(&eventhub.Event{Kind: kind, Namespace: ns.name, Room: room, Time: time.Now()})
	}
}
