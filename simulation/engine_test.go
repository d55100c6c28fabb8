package simulation

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// packet is a packet of Engine.IO.
type packet struct {
	kind   byte // '0' to '6'
	binary bool
	data   []byte
}

func (p packet) frame() frame {
	if p.binary {
		return frame{opBinary, p.data}
	}
	return frame{opText, append([]byte{p.kind}, p.data...)}
}

// engine is a connection as engine.io-client has it. Its fields are guarded by
// client.mu.
type engine struct {
	c      *client
	number int   // of the connection among the client's
	node   *node // where it goes; nil if the load balancer has none
	// Its latency, one way.
	latency time.Duration

	open, closed bool
	sid          string
	pings        *time.Timer
	patience     time.Duration // between pings

	buffer    []packet // what waits for the transport, or for the answer to its POST
	upgrading bool
	ws        *outbox // nil while the transport is polling
	poll      *poller // nil for a connection that began as WebSocket
	links     []*conn // every connection that it has opened
}

// connect opens a connection over the client's first transport. It runs on a
// goroutine of its own, as everything does that waits for the network.
func (e *engine) connect() {
	if e.c.mode != modeWebSocket {
		e.runPolling()
		return
	}
	nc, r, err := e.openWebSocket()
	if err != nil {
		e.c.task(func() { e.fail(err) })
		return
	}
	ok := e.c.try(func() bool {
		if e.closed {
			return false
		}
		e.ws = newOutbox(nc)
		go e.ws.run()
		return true
	})
	if !ok {
		_ = nc.Close()
		return
	}
	e.readWebSocket(r)
}

// openWebSocket dials and has the server accept a WebSocket.
func (e *engine) openWebSocket() (*conn, *bufio.Reader, error) {
	nc, err := e.dial()
	if err != nil {
		return nil, nil, err
	}
	path := "/socket.io/?EIO=4&transport=websocket"
	if e.sid != "" {
		path += "&sid=" + e.sid
	}
	r := bufio.NewReaderSize(nc, 1024)
	if _, err = nc.Write(upgradeRequest(path)); err == nil {
		err = readUpgrade(r)
	}
	if err != nil {
		_ = nc.Close()
		return nil, nil, err
	}
	return nc, r, nil
}

// dial opens a connection to the engine's node.
func (e *engine) dial() (*conn, error) {
	nc, err := e.c.w.dial(e)
	if err != nil {
		return nil, err
	}
	kept := e.c.try(func() bool {
		if !e.closed {
			e.links = append(e.links, nc)
		}
		return !e.closed
	})
	if !kept {
		_ = nc.Close()
		return nil, errors.New("the engine is closed")
	}
	return nc, nil
}

// readWebSocket handles what comes over the WebSocket until it ends.
func (e *engine) readWebSocket(r *bufio.Reader) {
	for {
		f, err := readFrame(r)
		if err == nil && f.opcode == opClose {
			err = io.EOF
		}
		if err != nil {
			e.c.task(func() { e.fail(err) })
			return
		}
		e.c.task(func() {
			switch f.opcode {
			case opText:
				if len(f.data) > 0 {
					e.receive(packet{kind: f.data[0], data: f.data[1:]})
				}
			case opBinary:
				e.receive(packet{kind: '4', binary: true, data: f.data})
			case opPing:
				e.ws.send(frame{opPong, f.data})
			}
		})
	}
}

// receive handles one packet.
func (e *engine) receive(p packet) {
	if e.closed {
		return
	}
	switch p.kind {
	case '0':
		e.onHandshake(p.data)
	case '1':
		e.end("transport close")
	case '2':
		e.c.onPing(e)
		e.send(packet{kind: '3'})
		e.expectPing()
	case '4':
		e.c.onData(e, p)
	case '6':
	default:
		e.c.w.h.logf("%s: unexpected packet %q", e.c, p.data)
	}
}

func (e *engine) onHandshake(data []byte) {
	var h struct {
		SID                       string
		Upgrades                  []string
		PingInterval, PingTimeout int64
	}
	if err := json.Unmarshal(data, &h); err != nil {
		e.fail(err)
		return
	}
	e.sid, e.open = h.SID, true
	e.patience = time.Duration(h.PingInterval+h.PingTimeout) * time.Millisecond
	e.c.onOpen(e)
	if e.closed {
		return
	}
	e.expectPing()
	e.flush()
	if e.c.mode == modeUpgrade {
		go e.probe()
	}
}

// expectPing closes the connection if no ping comes in time.
func (e *engine) expectPing() {
	if e.pings != nil {
		e.pings.Stop()
	}
	e.pings = time.AfterFunc(e.patience, func() {
		e.c.task(func() { e.end("ping timeout") })
	})
}

// send queues a packet.
func (e *engine) send(p packet) {
	if e.closed {
		return
	}
	e.buffer = append(e.buffer, p)
	e.flush()
}

// flush hands what is queued to the transport.
func (e *engine) flush() {
	switch {
	case e.closed || e.upgrading || len(e.buffer) == 0:
	case e.ws != nil:
		for _, p := range e.buffer {
			e.ws.send(p.frame())
		}
		e.buffer = nil
	case e.poll != nil && !e.poll.posting && e.open:
		e.poll.posting = true
		packets := e.buffer
		e.buffer = nil
		go e.post(packets)
	}
}

// fail ends the connection because its transport has failed.
func (e *engine) fail(err error) { e.end("transport error: " + err.Error()) }

// end closes the connection and tells the client.
func (e *engine) end(reason string) {
	if e.closed {
		return
	}
	opened := e.open
	e.close()
	e.c.onClose(e, opened, reason)
}

// close closes the connection; the client isn't told.
func (e *engine) close() {
	if e.closed {
		return
	}
	e.closed = true
	e.buffer = nil
	if e.pings != nil {
		e.pings.Stop()
	}
	switch {
	case e.ws != nil:
		e.ws.close()
	case e.poll != nil && e.open:
		go e.goodbye(e.pollPath())
	default:
		for _, nc := range e.links {
			_ = nc.Close()
		}
	}
}

// poller is what an engine has for long-polling.
type poller struct {
	posting bool // a POST is under way
	paused  bool // the upgrade waits for the poll that is under way, or has got it
	polling bool // a GET is under way
	idle    chan struct{}
	lanes   [2]lane // for GETs and POSTs; each is used by one goroutine at a time
}

// lane is a kept connection for requests.
type lane struct {
	conn *conn
	r    *bufio.Reader
}

// request sends a request and returns the body of the answer. A browser repeats it
// once, as it is, if a kept connection fails before the answer begins.
func (e *engine) request(l *lane, method, path string, body []byte) ([]byte, error) {
	kept := l.conn != nil
	answer, begun, err := e.attempt(l, method, path, body)
	if err != nil && kept && !begun && e.c.browser {
		e.c.w.h.logf("%s: repeats %s", e.c, method)
		answer, _, err = e.attempt(l, method, path, body)
	}
	return answer, err
}

// attempt sends a request once. begun reports whether the answer had begun.
func (e *engine) attempt(l *lane, method, path string, body []byte) (answer []byte, begun bool, err error) {
	if l.conn == nil {
		if l.conn, err = e.dial(); err != nil {
			l.conn = nil
			return nil, false, err
		}
		l.r = bufio.NewReaderSize(l.conn, 1024)
	}
	defer func() {
		if err != nil {
			_ = l.conn.Close()
			l.conn = nil
		}
	}()
	agent := "node"
	if e.c.browser {
		agent = "Mozilla/5.0"
	}
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: sala\r\nUser-Agent: %s\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: %d\r\n\r\n", method, path, agent, len(body))
	if _, err := l.conn.Write(append([]byte(head), body...)); err != nil {
		return nil, false, err
	}
	if _, err := l.r.Peek(1); err != nil {
		return nil, false, err
	}
	response, err := http.ReadResponse(l.r, nil)
	if err != nil {
		return nil, true, err
	}
	answer, err = io.ReadAll(response.Body)
	switch {
	case err != nil:
	case response.StatusCode != http.StatusOK:
		err = fmt.Errorf("%s: %s", response.Status, bytes.TrimSpace(answer))
	case response.Close:
		_ = l.conn.Close()
		l.conn = nil
	}
	return answer, true, err
}

// pollPath returns the path of the next request, whose t is its own.
func (e *engine) pollPath() string {
	path := "/socket.io/?EIO=4&transport=polling&t=" + e.c.randomText()
	if e.sid != "" {
		path += "&sid=" + e.sid
	}
	return path
}

// runPolling polls until the connection ends or is upgraded.
func (e *engine) runPolling() {
	e.c.task(func() { e.poll = &poller{} })
	defer e.closeLane(&e.poll.lanes[0])
	for {
		var path string
		more := e.c.try(func() bool {
			if e.closed || e.poll.paused {
				return false
			}
			path, e.poll.polling = e.pollPath(), true
			return true
		})
		if !more {
			return
		}
		body, err := e.request(&e.poll.lanes[0], http.MethodGet, path, nil)
		e.c.task(func() {
			e.poll.polling = false
			if err != nil {
				e.fail(err)
				return
			}
			e.receivePayload(body)
			e.pausedNow()
		})
	}
}

func (e *engine) closeLane(l *lane) {
	if l.conn != nil {
		_ = l.conn.Close()
	}
}

// receivePayload handles the packets of a poll's answer.
func (e *engine) receivePayload(body []byte) {
	for part := range strings.SplitSeq(string(body), "\x1e") {
		switch {
		case part == "":
		case part[0] == 'b':
			data, err := base64.StdEncoding.DecodeString(part[1:])
			if err != nil {
				e.fail(err)
				return
			}
			e.receive(packet{kind: '4', binary: true, data: data})
		default:
			e.receive(packet{kind: part[0], data: []byte(part[1:])})
		}
	}
}

// post sends packets in a POST.
func (e *engine) post(packets []packet) {
	var body []byte
	for i, p := range packets {
		if i > 0 {
			body = append(body, 0x1e)
		}
		if p.binary {
			body = append(body, 'b')
			body = base64.StdEncoding.AppendEncode(body, p.data)
			continue
		}
		body = append(append(body, p.kind), p.data...)
	}
	var path string
	e.c.task(func() { path = e.pollPath() })
	l := &e.poll.lanes[1]
	_, err := e.request(l, http.MethodPost, path, body)
	e.c.task(func() {
		e.poll.posting = false
		if err != nil {
			e.fail(err)
		}
		if e.closed {
			e.closeLane(l)
			return
		}
		e.pausedNow()
		e.flush()
	})
}

// goodbye posts a CLOSE, over a connection of its own.
func (e *engine) goodbye(path string) {
	nc, err := e.c.w.dial(e)
	if err != nil {
		return
	}
	l := &lane{conn: nc, r: bufio.NewReader(nc)}
	_, _, _ = e.attempt(l, http.MethodPost, path, []byte("1"))
	_ = nc.Close()
}

// pausedNow lets an upgrade go on once no request is under way.
func (e *engine) pausedNow() {
	if e.poll.paused && !e.poll.polling && !e.poll.posting && e.poll.idle != nil {
		close(e.poll.idle)
		e.poll.idle = nil
	}
}

// probe tries a WebSocket and upgrades to it.
func (e *engine) probe() {
	nc, r, err := e.openWebSocket()
	if err != nil {
		return // polling goes on
	}
	_, err = nc.Write(appendFrame(nil, frame{opText, []byte("2probe")}))
	var f frame
	if err == nil {
		f, err = readFrame(r)
	}
	if err != nil || string(f.data) != "3probe" {
		_ = nc.Close()
		return
	}
	idle := make(chan struct{})
	ok := e.c.try(func() bool {
		if e.closed {
			return false
		}
		e.upgrading, e.poll.paused, e.poll.idle = true, true, idle
		e.pausedNow()
		return true
	})
	if !ok {
		_ = nc.Close()
		return
	}
	select {
	case <-idle:
	case <-time.After(e.patience): // the connection has ended meanwhile
	}
	ok = e.c.try(func() bool {
		if e.closed {
			return false
		}
		e.upgrading = false
		e.ws = newOutbox(nc)
		e.ws.send(frame{opText, []byte("5")})
		go e.ws.run()
		e.flush()
		return true
	})
	if !ok {
		_ = nc.Close()
		return
	}
	e.readWebSocket(r)
}
