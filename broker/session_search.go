package broker

import (
	"context"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/pid"
)

// A client may return at any node, which looks for its session: here first, then at the node that
// the socket's id names or that has taken it over since, and at all nodes if that one is gone.

const (
	// maxTakeOverHops bounds how often a session may have moved on while a node looks for it.
	maxTakeOverHops = 5
	// askTries bounds how often a node is asked that doesn't answer, and askPause is the
	// first pause in between. Each further one is twice as long.
	askTries = 4
	askPause = 50 * time.Millisecond
)

// absence says why a session can't be had. Its zero value means that the session was
// found.
type absence struct {
	notRecovered string
	refusal      *Error // the client was disconnected while it was away
	overtaken    bool   // the client has returned over a later connection
	connected    bool   // it is connected, and whoever asks must prove to be its client
}

var absent = absence{notRecovered: notRecoveredUnknown}

func (a absence) toWire() *wire.SessionState {
	w := &wire.SessionAbsent{NotRecovered: a.notRecovered, Overtaken: a.overtaken, Connected: a.connected}
	if a.refusal != nil {
		w.RefusalCode, w.RefusalReason = a.refusal.Reason, a.refusal.Message
	}
	return &wire.SessionState{State: &wire.SessionState_Absent{Absent: w}}
}

func absenceFromWire(w *wire.SessionAbsent) absence {
	a := absence{notRecovered: w.GetNotRecovered(), overtaken: w.GetOvertaken(), connected: w.GetConnected()}
	if a.notRecovered == "" {
		a.notRecovered = notRecoveredUnknown
	}
	if w.GetRefusalCode() != "" {
		a.refusal = disconnectedAway(w.GetRefusalCode(), w.GetRefusalReason())
	}
	return a
}

// localSession returns the session if this node has it, or had it last. found is
// false if another node may have it.
func (b *Broker) localSession(ns *namespace, key *wire.SessionKey) (s *socket, why absence, found bool) {
	secret, ok := pid.SecretFrom(key.GetSecret())
	if !ok {
		return nil, absent, true
	}
	if s, ok := ns.index.Get(key.GetSocket()); ok && s.session != nil {
		if !secret.Equal(s.session.secret) || s.user != key.GetUser() {
			return nil, absent, true
		}
		return s, absence{}, true
	}
	end, ok := b.recovery.tombstones.get(key.GetSocket())
	if ok && secret.Equal(end.secret) && end.namespace == ns.name && end.user == key.GetUser() {
		return nil, absence{notRecovered: end.notRecovered, refusal: b.recovery.tombstones.takeRefusal(key.GetSocket())}, true
	}
	return nil, absence{}, false
}

// findSession asks for the node that has a session, and for its description. The
// home of the socket knows, or all nodes are asked if it is gone.
func (b *Broker) findSession(ctx context.Context, key *wire.SessionKey, reason takeOverFor) (owner cluster.NodeID, described *wire.Session, why absence) {
	if reason.offeredBy != "" {
		state := b.askForSession(ctx, reason.offeredBy, &wire.TakeSession{Key: key, Prepare: true, Offered: true}, reason.asked, nil)
		return reason.offeredBy, state.GetSession(), absent
	}
	owner = cluster.OwnerOf(key.GetSocket())
	if string(owner) == b.id {
		owner = b.sessionAt(key.GetSocket())
	}
	if owner == "" {
		return "", nil, absent
	}
	for range maxTakeOverHops {
		if !b.mesh.HasNode(owner) {
			return b.askAllForSession(ctx, key, reason)
		}
		state := b.askForSession(ctx, owner, &wire.TakeSession{Key: key, Prepare: true, Proven: reason.proven}, reason.asked, nil)
		switch {
		case state == nil: // it may be gone, and have handed the session over before
			return b.askAllForSession(ctx, key, reason)
		case state.GetSession() != nil:
			return owner, state.GetSession(), absence{}
		case state.GetMovedTo() == "":
			return "", nil, absenceFromWire(state.GetAbsent())
		default:
			owner = cluster.NodeID(state.GetMovedTo())
		}
		if string(owner) == b.id { // it was here, which is all that the other node knows
			owner = b.sessionAt(key.GetSocket())
		}
		if owner == "" {
			break
		}
	}
	return "", nil, absence{notRecovered: notRecoveredNodeLost}
}

// askAllForSession asks all nodes for a session, again if it may have moved in between from one that
// was asked late to one that was asked early.
func (b *Broker) askAllForSession(ctx context.Context, key *wire.SessionKey, reason takeOverFor) (owner cluster.NodeID, described *wire.Session, why absence) {
	take := &wire.TakeSession{Key: key, Prepare: true, Proven: reason.proven}
	op := &wire.Op{Op: &wire.Op_TakeSession{TakeSession: take}}
	pause := askPause
	for range askTries {
		why = absence{notRecovered: notRecoveredNodeLost}
		take.AskedAgoUs = time.Since(reason.asked).Microseconds()
		result, partial := b.callOthers(ctx, everyNode(), callTimeout, op)
		moved := false
		for _, reply := range result.Replies {
			one := cluster.Result{Replies: []cluster.Reply{reply}}
			for _, state := range decode[wire.SessionState](one, &partial) {
				if state.GetSession() != nil {
					return reply.Node, state.GetSession(), absence{}
				}
				moved = moved || state.GetMovedTo() != ""
				a := absenceFromWire(state.GetAbsent())
				if a.overtaken || a.connected {
					return "", nil, a
				}
				if a.notRecovered != notRecoveredUnknown || a.refusal != nil {
					why = a
				}
			}
		}
		again := (partial.Partial || moved) && pauseFor(ctx, pause)
		if !again {
			break
		}
		pause *= 2
	}
	return "", nil, why
}

// askForSession calls the node that has a session, again if it is busy, and before each further time
// calls again, if that isn't nil. It returns nil if there is no answer.
func (b *Broker) askForSession(ctx context.Context, owner cluster.NodeID, t *wire.TakeSession, asked time.Time, again func()) *wire.SessionState {
	op := &wire.Op{Op: &wire.Op_TakeSession{TakeSession: t}}
	pause := askPause
	for range askTries {
		var state wire.SessionState
		t.AskedAgoUs = time.Since(asked).Microseconds()
		err := b.callNode(ctx, owner, op, &state, errNotRecovered)
		if err == nil {
			return &state
		}
		more := b.mesh.HasNode(owner) && pauseFor(ctx, pause)
		if !more {
			break
		}
		if again != nil {
			again()
		}
		pause *= 2
	}
	return nil
}

// pauseFor waits. It returns false if ctx ends meanwhile.
func pauseFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
