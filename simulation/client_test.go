package simulation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"
)

// mode says which transports a client uses.
type mode uint8

const (
	modeWebSocket mode = iota
	modePolling
	modeUpgrade // long-polling first, then WebSocket
)

func (m mode) String() string { return [...]string{"websocket", "polling", "upgrade"}[m] }

// client behaves on the wire as socket.io-client 4.8.4 does; where a comment names a
// function, it is one of that client's. A client runs like JavaScript: one task at a
// time, each of them with mu held.
type client struct {
	// Static.
	w         *world
	h         *history
	id        int
	user      string
	asks      bool // it asks for recovery
	takesPart bool // it asks, or everybody takes part
	mode      mode
	browser   bool // it repeats requests by itself, as Chromium does
	delay     time.Duration
	delayMax  time.Duration
	timeout   time.Duration // for a connection to open
	returns   bool          // it connects again after the server has disconnected it
	forges    bool          // it shows a pid that nobody has given it
	copied    *client       // whose session it has begun with; nil for none

	mu       sync.Mutex
	resumed  sync.Cond
	blocked  bool      // nothing runs: the page is busy, or suspended
	resumeAt time.Time // when it was blocked last
	rnd      *rand.Rand
	token    string
	tokenID  string
	sockets  []*socket
	engine   *engine // nil while there is none
	conns    int
	state    managerState
	retrying bool // Manager._reconnecting
	skip     bool // Manager.skipReconnect
	attempts int
	timer    *time.Timer   // of the next attempt, or of the one under way
	gone     bool          // it has left for good
	lag      time.Duration // by which its next CONNECT is late; it doesn't wait for that
	pending  *partial      // a packet whose attachments haven't arrived
	log      []entry
	final    map[string]string // the ids of its sockets at the end of the run, by namespace
}

type managerState uint8

const (
	managerClosed managerState = iota
	managerOpening
	managerOpen
)

// socket is the client's socket in a namespace.
type socket struct {
	namespace string

	active    bool // Socket.subs
	connected bool
	sid, pid  string
	offset    string
	hasOffset bool
	received  []event // before CONNECT
	sendLater []string
	acks      map[int]func(ok bool)
	ackIDs    int
}

// event is an EVENT packet as it came.
type event struct {
	ack      string // the id of the ack that it requests
	text     string // the JSON array
	attached [][]byte
}

// partial is an event, or an ack, whose attachments haven't all arrived.
type partial struct {
	socket *socket
	event  event
	missed int
	isAck  bool
}

func (c *client) String() string { return fmt.Sprintf("client %d (%s)", c.id, c.user) }

// task runs do as a task of the client.
func (c *client) task(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.blocked {
		c.resumed.Wait()
	}
	do()
}

// try is task for a do with a result.
func (c *client) try(do func() bool) (ok bool) {
	c.task(func() { ok = do() })
	return ok
}

// setBlocked stops the client's tasks, or lets them run.
func (c *client) setBlocked(blocked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocked, c.resumeAt = blocked, time.Now()
	c.resumed.Broadcast()
}

// record appends to the client's log.
func (c *client) record(e entry) {
	e.stamp = c.h.now()
	if c.engine != nil && c.engine.node != nil {
		e.conn, e.node = c.engine.number, c.engine.node.number
	}
	if c.final != nil {
		return // the run is over
	}
	e.late = time.Since(c.resumeAt) < lateDelivery && !c.resumeAt.IsZero()
	c.log = append(c.log, e)
}

func (c *client) randomText() string { return strconv.FormatUint(1<<40|c.rnd.Uint64()>>20, 36) }

// open opens a connection unless there is one (Manager.open).
func (c *client) open() {
	if c.state != managerClosed || c.gone {
		return
	}
	c.conns++
	e := &engine{c: c, number: c.conns, node: c.w.route(c.rnd), latency: c.w.latency(c.rnd)}
	c.engine, c.state, c.skip = e, managerOpening, false
	c.setTimer(c.timeout, func() {
		if c.engine == e && c.state == managerOpening {
			e.end("timeout")
		}
	})
	go e.connect()
}

// setTimer replaces the client's timer.
func (c *client) setTimer(after time.Duration, do func()) {
	c.stopTimer()
	c.timer = time.AfterFunc(after, func() { c.task(do) })
}

func (c *client) stopTimer() {
	if c.timer != nil {
		c.timer.Stop()
	}
}

// onOpen is Manager.onopen.
func (c *client) onOpen(e *engine) {
	if c.engine != e {
		return
	}
	c.stopTimer()
	c.state, c.retrying, c.attempts = managerOpen, false, 0
	for _, s := range c.sockets {
		if s.active {
			c.sendConnect(s)
		}
	}
}

// onClose is Manager.onclose, and onError of Manager.open.
func (c *client) onClose(e *engine, opened bool, reason string) {
	if c.engine != e {
		return
	}
	c.stopTimer()
	c.pending = nil // Decoder.destroy
	c.state = managerClosed
	if opened {
		c.h.logf("%s: connection %d ends: %s", c, e.number, reason)
		c.record(entry{kind: entryLost})
		c.attempts = 0
		for _, s := range c.sockets {
			if s.active {
				c.loseSocket(s)
			}
		}
	}
	c.engine, c.retrying = nil, false
	c.reconnect()
}

// loseSocket is Socket.onclose.
func (c *client) loseSocket(s *socket) {
	s.connected, s.sid = false, ""
	for id, done := range s.acks {
		delete(s.acks, id)
		done(false)
	}
}

// reconnect is Manager.reconnect.
func (c *client) reconnect() {
	if c.retrying || c.skip || c.gone {
		return
	}
	c.retrying = true
	c.setTimer(c.backoff(), func() {
		if !c.skip && !c.gone {
			c.open()
		}
	})
}

// backoff is Backoff.duration.
func (c *client) backoff() time.Duration {
	ms := float64(c.delay) * float64(int(1)<<min(c.attempts, 10))
	c.attempts++
	draw := c.rnd.Float64()
	deviation := draw * 0.5 * ms
	if int(draw*10)&1 == 0 {
		ms -= deviation
	} else {
		ms += deviation
	}
	return min(time.Duration(ms), c.delayMax)
}

// sendConnect is Socket._sendConnectPacket: {pid, offset} and then what the
// application passes as auth.
func (c *client) sendConnect(s *socket) {
	auth := map[string]any{"token": c.token}
	if c.asks {
		auth["recover"] = true
	}
	sent := entry{kind: entrySent, namespace: s.namespace, pid: s.pid}
	if s.pid != "" {
		auth["pid"] = s.pid
		if s.hasOffset {
			auth["offset"], sent.offset = s.offset, s.offset
		}
	}
	c.record(sent)
	text, _ := json.Marshal(auth)
	if c.lag > 0 {
		c.delayRequest()
	}
	c.packet(s, '0', string(text))
}

// delayRequest has what the client sends now arrive late, after it has given the
// connection up.
func (c *client) delayRequest() {
	e := c.engine
	c.h.logf("%s: its CONNECT is %s late", c, c.lag)
	for _, nc := range e.links {
		nc.out.delay(c.lag)
	}
	c.lag = 0
	time.AfterFunc(time.Duration(c.rnd.IntN(50))*time.Millisecond, func() { c.task(func() { e.end("network connection lost") }) })
}

// packet sends a packet of Socket.IO (Manager._packet).
func (c *client) packet(s *socket, kind byte, text string) {
	if c.engine == nil {
		return
	}
	data := string(kind)
	if s.namespace != "/" {
		data += s.namespace + ","
	}
	c.engine.send(packet{kind: '4', data: []byte(data + text)})
}

func (c *client) onPing(e *engine) {
	if c.engine == e {
		c.record(entry{kind: entryPong})
	}
}

// onData is Manager.ondata and Decoder.add.
func (c *client) onData(e *engine, p packet) {
	if c.engine != e {
		return
	}
	if p.binary {
		c.onAttachment(p.data)
		return
	}
	text := string(p.data)
	if text == "" {
		return
	}
	kind, rest := text[0], text[1:]
	missed := 0
	if kind == '5' || kind == '6' {
		count, after, _ := strings.Cut(rest, "-")
		missed, _ = strconv.Atoi(count)
		rest = after
	}
	namespace := "/"
	if strings.HasPrefix(rest, "/") {
		namespace, rest, _ = strings.Cut(rest, ",")
	}
	s := c.socket(namespace)
	if s == nil || !s.active {
		return // Socket.destroy has ended its subscriptions
	}
	array := strings.TrimLeft(rest, "0123456789")
	ev := event{ack: rest[:len(rest)-len(array)], text: array}
	switch kind {
	case '0':
		c.onConnect(s, rest)
	case '1':
		c.onDisconnect(s)
	case '2', '5':
		c.complete(&partial{socket: s, event: ev, missed: missed})
	case '3', '6':
		c.complete(&partial{socket: s, event: ev, missed: missed, isAck: true})
	case '4':
		c.onRefused(s, rest)
	}
}

func (c *client) socket(namespace string) *socket {
	for _, s := range c.sockets {
		if s.namespace == namespace {
			return s
		}
	}
	return nil
}

func (c *client) onAttachment(data []byte) {
	if c.pending == nil {
		c.record(entry{kind: entryEvent, trouble: "an attachment without an event"})
		return
	}
	p := c.pending
	p.event.attached = append(p.event.attached, data)
	p.missed--
	c.complete(p)
}

// complete handles an event or an ack once its attachments are there.
func (c *client) complete(p *partial) {
	c.pending = nil
	switch {
	case p.missed > 0:
		c.pending = p
	case p.isAck:
		c.onAck(p.socket, p.event)
	case p.socket.connected:
		c.handle(p.socket, p.event)
	default: // Socket.onevent keeps what comes before CONNECT
		c.record(entry{kind: entryEvent, namespace: p.socket.namespace, trouble: "an event before CONNECT: " + p.event.text})
		p.socket.received = append(p.socket.received, p.event)
	}
}

// onConnect is Socket.onconnect.
func (c *client) onConnect(s *socket, text string) {
	var answer struct{ SID, PID string }
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		c.record(entry{kind: entryEvent, namespace: s.namespace, trouble: "an unreadable CONNECT: " + text})
		return
	}
	recovered := answer.PID != "" && answer.PID == s.pid
	c.h.logf("%s: connected to %s as %s, recovered: %t", c, s.namespace, answer.SID, recovered)
	s.sid, s.pid, s.connected = answer.SID, answer.PID, true
	c.record(entry{kind: entryConnected, namespace: s.namespace, sid: s.sid, pid: s.pid})
	received, later := s.received, s.sendLater
	s.received, s.sendLater = nil, nil
	for _, ev := range received {
		c.handle(s, ev)
	}
	for _, text := range later {
		c.packet(s, '2', text)
	}
	if c.gone {
		c.leaveNow(s)
	}
}

// onDisconnect is Socket.ondisconnect. The application then connects again by itself.
func (c *client) onDisconnect(s *socket) {
	c.record(entry{kind: entryDisconnect, namespace: s.namespace, sid: s.sid})
	c.h.logf("%s: disconnected from %s by the server", c, s.namespace)
	c.destroy(s)
}

// onRefused handles CONNECT_ERROR. The application then connects again by itself.
func (c *client) onRefused(s *socket, text string) {
	c.record(entry{kind: entryRefused, namespace: s.namespace, event: event{text: text}})
	c.h.logf("%s: refused at %s: %s", c, s.namespace, text)
	c.destroy(s)
}

// destroy is Socket.destroy, Manager._destroy and Socket.onclose. Unless it has left,
// the application connects again a little later (Socket.connect).
func (c *client) destroy(s *socket) {
	s.active = false
	c.loseSocket(s)
	last := true
	for _, other := range c.sockets {
		last = last && !other.active
	}
	if last {
		c.closeManager()
	}
	if c.gone || !c.returns {
		return
	}
	pause := c.delay + time.Duration(c.rnd.Int64N(int64(c.delayMax)))
	time.AfterFunc(pause, func() { c.task(func() { c.connect(s) }) })
}

// closeManager is Manager._close.
func (c *client) closeManager() {
	e := c.engine
	c.skip, c.retrying, c.state, c.engine, c.pending = true, false, managerClosed, nil, nil
	c.stopTimer()
	if e != nil {
		e.close()
	}
}

// connect is Socket.connect.
func (c *client) connect(s *socket) {
	if s.connected || s.active || c.gone {
		return
	}
	s.active = true
	if c.state == managerOpen {
		c.sendConnect(s)
		return
	}
	if !c.retrying {
		c.open()
	}
}

// handle is Socket.emitEvent, and what the application does with an event.
func (c *client) handle(s *socket, ev event) {
	var offset string
	elements := elementsOf(ev.text)
	if n := len(elements); n > 0 && s.pid != "" && ev.ack == "" { // with an ack, the last argument is a function
		last := elements[n-1]
		var text string
		if json.Unmarshal([]byte(last), &text) == nil && last[0] == '"' {
			offset = text
		}
	}
	c.record(entry{kind: entryEvent, namespace: s.namespace, sid: s.sid, pid: s.pid, offset: offset, event: ev})
	if ev.ack != "" {
		c.packet(s, '3', ev.ack+"[]")
	}
	if offset != "" {
		s.offset, s.hasOffset = offset, true
	}
}

// elementsOf splits the text of a JSON array.
func elementsOf(array string) []string {
	d := json.NewDecoder(bytes.NewReader([]byte(array)))
	var raw []json.RawMessage
	if d.Decode(&raw) != nil {
		return nil
	}
	elements := make([]string, len(raw))
	for i, r := range raw {
		elements[i] = string(r)
	}
	return elements
}

// emit sends an event (Socket.emit). done is called with whether an ack {ok: true}
// came; a nil done requests none.
func (c *client) emit(s *socket, name, args string, done func(ok bool)) {
	id := ""
	if done != nil {
		s.ackIDs++
		if s.acks == nil {
			s.acks = make(map[int]func(bool))
		}
		s.acks[s.ackIDs] = done
		id = strconv.Itoa(s.ackIDs)
	}
	text := id + `["` + name + `",` + args + `]`
	if s.connected {
		c.packet(s, '2', text)
	} else {
		s.sendLater = append(s.sendLater, text)
	}
}

func (c *client) onAck(s *socket, ev event) {
	id, _ := strconv.Atoi(ev.ack)
	if done := s.acks[id]; done != nil {
		delete(s.acks, id)
		done(strings.HasPrefix(ev.text, `[{"ok":true`))
	}
}

// leave is Socket.disconnect of every socket, for good.
func (c *client) leave() {
	c.gone = true
	for _, s := range c.sockets {
		c.leaveNow(s)
	}
	c.closeManager()
}

func (c *client) leaveNow(s *socket) {
	if s.connected {
		c.packet(s, '1', "")
		c.record(entry{kind: entryLeave, namespace: s.namespace, sid: s.sid})
	}
	s.active = false
	c.loseSocket(s)
}

// abandon closes the connection as a browser does that goes offline: at once, and
// the server may not notice (Socket.offlineEventListener).
func (c *client) abandon() {
	if c.engine != nil {
		c.engine.end("network connection lost")
	}
}
