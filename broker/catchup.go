package broker

import (
	"slices"

	"github.com/salabroker/sala/broker/backlog"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/recording"
)

// While a client joins a room and reads its history, live messages of the room wait at a gate, which
// decides later which of them the client has from the history. Only messages to rooms with history
// come to it, and only at sockets that have joined with history lately.

// waitingMessage is a message as it waits for a join.
type waitingMessage struct {
	frame *engineio.Frame
	event *backlog.Event // of a socket with a session; otherwise nil
}

type (
	catchUp = recording.CatchUp[waitingMessage]
	gate    = recording.Gate[waitingMessage]
)

// takeLive decides about a message to rooms with history. settled is false if it is to be sent now.
// The session's mu is held, if there is one.
func (s *socket) takeLive(o *outgoing, m waitingMessage) (d delivery, settled bool) {
	u := s.catchUp.Load()
	if u == nil {
		return notDelivered, false
	}
	verdict := u.Take(o.m.record, m.frame.Size(), func() waitingMessage { return m }, s.sendWaiting)
	switch verdict {
	case recording.Waits:
		if m.event != nil {
			o.held++
		}
		return queued, true
	case recording.Had:
		if s.session != nil && s.session.shadow {
			return uncounted, true
		}
		return queued, true // by the ack that had it
	case recording.Refused:
		return notDelivered, true
	case recording.Over:
		s.catchUp.CompareAndSwap(u, nil)
	}
	return notDelivered, false
}

// sendWaiting sends a message that has waited. The session's mu is held, if there is one.
func (s *socket) sendWaiting(m waitingMessage) {
	if s.session == nil {
		s.deliver(m.frame)
		return
	}
	x, c := s.session, s.client.Load()
	switch {
	case x.over:
		m.event.Release()
	case c == nil:
		_, replaced := x.backlog.Keep(m.event, s.b.recovery.limits)
		if replaced {
			s.b.metrics.FramesReplaced(1)
		}
	default:
		position, replaced, reason := c.conn.SendNumbered(m.frame, false)
		if replaced > 0 {
			x.backlog.Replaced(replaced)
		}
		if reason != engineio.Queued && !c.endsAfter(reason) {
			x.gap = true
			s.b.metrics.FramesDropped(reason, 1)
			s.noteDropped(reason, 1)
			m.event.Release()
			return
		}
		x.backlog.Push(m.event, position, s.b.recovery.limits) // which holds it now instead of the gate
	}
}

// dropWaiting drops a message that has waited and that the client has.
func (s *socket) dropWaiting(m waitingMessage) {
	if m.event != nil {
		m.event.Release()
	}
}

// locked calls do with the session's mu held, if there is a session.
func (s *socket) locked(do func()) {
	if x := s.session; x != nil {
		x.mu.Lock()
		defer x.mu.Unlock()
	}
	do()
}

// closeGate has live messages of a room wait, for a join that the client asked for over the
// connection c. It returns nil if another join is under way, or if the client has left the
// connection.
func (s *socket) closeGate(c *client, room string) (g *gate) {
	s.locked(func() {
		for s.client.Load() == c && !s.gone.Load() {
			u := s.catchUp.Load()
			if u == nil {
				u = s.newCatchUp()
				s.catchUp.CompareAndSwap(nil, u)
				continue
			}
			var ok bool
			if g, ok = u.Close(room, int(s.b.opts.MaxQueueBytes)); ok {
				return
			}
			s.catchUp.CompareAndSwap(u, nil)
		}
	})
	return g
}

// openGate sends the answer of a join over the connection c, and then what waits, except for what the
// client has got from the history. It returns false if the join has failed meanwhile.
func (s *socket) openGate(c *client, g *gate, answer *engineio.Frame, mark recording.Mark, entries []history.Recorded) (opened bool) {
	s.locked(func() {
		u := s.catchUp.Load()
		if u == nil || s.client.Load() != c {
			return
		}
		first := func() { c.conn.Send(answer, false) }
		opened = u.Open(g, mark, entries, first, s.sendWaiting, s.dropWaiting)
	})
	return opened
}

// cancelGate ends a join that has failed, and sends the messages that wait.
func (s *socket) cancelGate(g *gate) {
	s.locked(func() {
		if u := s.catchUp.Load(); u != nil {
			u.Cancel(g, s.sendWaiting)
		}
	})
}

// abortJoin has a join fail that is under way, and sends the messages that wait.
func (s *socket) abortJoin() {
	if s.catchUp.Load() != nil {
		s.locked(s.abortWaiting)
	}
}

// abortWaiting is abortJoin with the session's mu held, if there is one.
func (s *socket) abortWaiting() {
	if u := s.catchUp.Load(); u != nil {
		u.Abort(s.sendWaiting)
	}
}

// isFor reports whether a target selects the socket apart from some rooms.
func (s *socket) isFor(t *Target, except func(room string) bool) bool {
	if t.Everyone || slices.Contains(t.Users, s.user) || slices.Contains(t.Sockets, s.id) {
		return true
	}
	in := s.ns.index.RoomsOf(s)
	return slices.ContainsFunc(t.Rooms, func(room string) bool { return !except(room) && slices.Contains(in, room) })
}

// historyMarks returns what the client has got of the history of these rooms lately.
func (s *socket) historyMarks(rooms []string) (marks []*wire.HistoryMark) {
	u := s.catchUp.Load()
	if u == nil {
		return nil
	}
	for room, m := range u.Marks() {
		if slices.Contains(rooms, room) {
			marks = append(marks, &wire.HistoryMark{Room: room, Epoch: m.Epoch, First: m.First, Last: m.Last})
		}
	}
	return marks
}

// setHistoryMarks sets what the client has got lately, of a socket that comes from another node.
func (s *socket) setHistoryMarks(marks []*wire.HistoryMark) {
	if len(marks) == 0 {
		return
	}
	got := make(map[string]recording.Mark, len(marks))
	for _, m := range marks {
		got[m.GetRoom()] = recording.Mark{Epoch: m.GetEpoch(), First: m.GetFirst(), Last: m.GetLast()}
	}
	u := s.newCatchUp()
	u.SetMarks(got)
	s.catchUp.Store(u)
}

func (s *socket) newCatchUp() *catchUp {
	return recording.NewCatchUp[waitingMessage](s.b.opts.IdempotencyWindow, s.isFor)
}
