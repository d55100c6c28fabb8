package broker

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/rawjson"
	"github.com/salabroker/sala/broker/recording"
	"github.com/salabroker/sala/broker/socketio"
)

// A client that joins a room with its history gets each message of the room once: in the answer, or
// live after the answer. These steps see to that:
//
//  1. Live messages of the room wait at a gate from now on.
//  2. The node receives what other nodes send to the room, and the socket enters the room.
//  3. What this node had begun to record is recorded. So a message that was delivered here before the
//     socket was a member is in the history. So is one of another node that was published before this
//     node received it, because nodes record first.
//  4. The history is read.
//  5. What this node had begun to record or to deliver is over. So it is known of each message at the
//     gate whether the history had it.
//  6. The answer is sent, and then what waits, without what the answer had.
//
// What comes late from another node is recognised by its position or, if its node hasn't learned that,
// by its identity: see package recording.

const (
	// maxJoinMessages bounds the messages in the answer to a join.
	maxJoinMessages = 1000
	// joinTimeout bounds how long a join waits for the history.
	joinTimeout = 2 * time.Second
)

// historyRequest is what a client that joins a room asks for of its history.
type historyRequest struct {
	last  int
	since *history.Position // what the client has already; nil if it asks for the last messages
}

// readHistory reads what a client asks for of a room's history: nil for nothing.
func readHistory(v *violations, last, since json.RawMessage) *historyRequest {
	wantsLast, wantsSince := isThere(last), isThere(since)
	switch {
	case wantsLast && wantsSince:
		v.add("since", "is only allowed without last: ask for the last messages, or for those since a position")
	case wantsLast:
		n, ok := wholeNumber(last)
		if !ok || n > maxJoinMessages {
			v.add("last", "must be a whole number from 0 to %d", maxJoinMessages)
		}
		return &historyRequest{last: int(n)} //nolint:gosec // it is refused if it is too large
	case wantsSince:
		p, ok := readPosition(since)
		if !ok {
			v.add("since", `must be {"epoch": "...", "offset": 12} as an earlier join has answered it`)
		}
		return &historyRequest{since: &p}
	}
	return nil
}

// isThere reports whether a member of an object has a value; null is none.
func isThere(value json.RawMessage) bool { return len(value) > 0 && string(value) != "null" }

// readPosition reads {epoch, offset}.
func readPosition(value json.RawMessage) (p history.Position, ok bool) {
	if value[0] != '{' {
		return p, false
	}
	epoch := rawjson.Member(value, "epoch")
	if err := json.Unmarshal(epoch, &p.Epoch); err != nil || p.Epoch == "" || len(p.Epoch) > maxNameBytes {
		return p, false
	}
	p.Offset, ok = wholeNumber(rawjson.Member(value, "offset"))
	return p, ok
}

// wholeNumber reads a number that isn't negative and that JavaScript has exactly.
func wholeNumber(value json.RawMessage) (n uint64, ok bool) {
	if len(value) == 0 || value[0] == '"' {
		return 0, false
	}
	text, ok := rawjson.NumberText(string(value))
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 53)
	return n, err == nil
}

// joinWithHistory carries out a join for which the client wants messages of the room's history, and
// answers it.
func (b *Broker) joinWithHistory(s *socket, p *socketio.Packet, req roomRequest) {
	c := s.client.Load()
	added, err := false, errSocketGone()
	if c != nil {
		added, err = b.enterWithHistory(s, c, p.ID, req)
	}
	if err != nil && s.client.Load() == c { // otherwise nobody waits for the answer any more
		if added {
			s.ns.index.Leave(s, req.room)
		}
		s.answerEvent(p, nil, err)
	}
	b.metrics.received(eventJoin, err)
	if err == nil && added {
		b.announce(s, req, announceJoined)
	}
}

// enterWithHistory takes the steps of the join, and answers it if it succeeds. added says whether the
// socket has entered the room, also if the join fails.
func (b *Broker) enterWithHistory(s *socket, c *client, ack uint64, req roomRequest) (added bool, err *Error) {
	r, ok := b.recorder.Room(s.ns.name, req.room)
	if !ok {
		return false, historyDisabled(s.ns.name, req.room)
	}
	g := s.closeGate(c, req.room)
	if g == nil {
		return false, historyUnavailable("another join with history is under way; try again in a moment")
	}
	defer s.cancelGate(g) // it has no effect if the join succeeds
	release, failed := b.subscribeTopics(subscribeTimeout, cluster.RoomTopic(s.ns.name, req.room))
	defer release()
	if failed != nil {
		return false, historyUnavailable("this node can't reach the others at the moment; try again in a moment, or join without last and since")
	}
	if added, err = s.join(req.room); err != nil {
		return false, err
	}
	page, failed := b.readSettled(doneContext(c.conn.Done()), r, req.history)
	if failed != nil {
		return added, historyUnavailable("the history can't be read at the moment; try again in a moment, or join without last and since")
	}
	var users []byte
	if req.presence {
		object, _ := json.Marshal(b.usersForMember(s, req.room)) // text always encodes
		users = object[1 : len(object)-1]
	}
	text, attachments := page.Packet(s.ns.name, ack, users)
	if !s.openGate(c, g, engineio.NewFrame(text, attachments...), page.Mark(), page.Entries) {
		return added, historyUnavailable("too many messages came while the history was read; try again in a moment")
	}
	return added, nil
}

// readSettled reads what a client asks for, after what this node was recording, and returns when it is
// known of each message that the node was delivering whether it is among that.
func (b *Broker) readSettled(connected context.Context, r history.Room, h *historyRequest) (page recording.Answer, err error) {
	ctx := connected
	if b.mesh != nil { // otherwise the history is in memory
		limited, cancel := context.WithTimeout(connected, joinTimeout)
		defer cancel()
		ctx = limited
	}
	if err = b.recorder.Await(ctx); err != nil {
		return page, err
	}
	if page, err = b.readForJoin(ctx, r, h); err != nil {
		return page, err
	}
	return page, b.recorder.Await(ctx)
}

// readForJoin reads the newest messages that a client asks for, as far as they fit.
func (b *Broker) readForJoin(ctx context.Context, r history.Room, h *historyRequest) (page recording.Answer, err error) {
	q := history.Query{Limit: h.last, Bytes: int(b.opts.MaxQueueBytes / 4)}
	if h.since != nil {
		q.Since, q.Limit = h.since, maxJoinMessages
	}
	if page.Page, err = b.recorder.Engine().Read(ctx, r, q); err != nil {
		return page, err
	}
	switch {
	case h.since == nil && page.More && len(page.Entries) < h.last:
		page.Complete = false
	case h.since != nil && page.More: // these are the oldest, and what comes live follows the newest
		q.Since = nil
		if page.Page, err = b.recorder.Engine().Read(ctx, r, q); err != nil {
			return page, err
		}
		page.Complete = false
	}
	page.LimitAttachments()
	return page, nil
}
