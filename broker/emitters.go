package broker

import (
	"context"
	"errors"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/redisemitter"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/room"
)

// EmitterListener receives the commands of the official Socket.IO emitters.
type EmitterListener interface {
	// Listen passes the messages on channels that match one of the patterns to the
	// receiver, one at a time, until ctx ends.
	Listen(ctx context.Context, patterns []string, receiver cluster.Receiver)
}

// What became of a command, as the metrics count it.
const (
	emitterDone        = "done"
	emitterRefused     = "refused"     // beyond a limit of the broker, or for a namespace that doesn't exist
	emitterMalformed   = "malformed"   // not a command
	emitterUnsupported = "unsupported" // for the servers, not their clients
	emitterIgnored     = "ignored"     // a request between Socket.IO servers
	emitterLost        = "lost"        // this node was too slow
)

// emitters carries out the commands of emitters on the sockets of this node; every
// node receives them itself. Errors can't be returned to anybody, so they go to the
// log and the metrics.
type emitters struct{ b *Broker }

// listenToEmitters returns when ctx ends.
func (b *Broker) listenToEmitters(ctx context.Context, l EmitterListener) {
	l.Listen(ctx, redisemitter.Patterns(redisemitter.DefaultKey, b.namespaceNames...), &emitters{b})
}

// StateChanged implements [cluster.Receiver].
func (e *emitters) StateChanged(s cluster.State) {
	e.b.log.Info("emitters on Redis", "state", s.String())
}

// Lost implements [cluster.Receiver].
func (e *emitters) Lost(n int) { e.b.metrics.emitters.WithLabelValues(emitterLost).Add(float64(n)) }

// Received implements [cluster.Receiver].
func (e *emitters) Received(m cluster.Message) {
	result, err := e.apply(m)
	if err != nil {
		e.b.log.Warn("refused a command of an emitter", "channel", m.Channel, "error", err)
	}
	e.b.metrics.emitters.WithLabelValues(result).Inc()
}

// apply decodes a command and carries it out.
func (e *emitters) apply(m cluster.Message) (result string, err error) {
	c, err := redisemitter.Decode(redisemitter.DefaultKey, m.Channel, m.Payload)
	switch {
	case errors.Is(err, redisemitter.ErrIgnored):
		return emitterIgnored, nil
	case err != nil:
		return emitterMalformed, err
	case c.Kind == redisemitter.KindServerSideEmit:
		return emitterUnsupported, errors.New("serverSideEmit is for servers written in JavaScript; emit to a backend's own channel instead")
	}
	ns, nsErr := e.b.namespace(c.Namespace)
	if nsErr != nil {
		return emitterRefused, nsErr
	}
	if err := e.do(ns, c); err != nil {
		return emitterRefused, err
	}
	return emitterDone, nil
}

// do carries out a command in a namespace. It doesn't wait until other nodes know of
// a join, because they receive what emitters send themselves.
func (e *emitters) do(ns *namespace, c *redisemitter.Command) error {
	var v violations
	m := Message{Event: c.Event, Args: c.Args, Attachments: c.Attachments, Volatile: c.Volatile}
	if c.Kind == redisemitter.KindEmit {
		m.validate(&v, e.b.messageLimits)
	} else {
		validateNames(&v, "rooms", c.Change, validateRoom)
	}
	if err := v.err(); err != nil {
		return err
	}
	t := emitterTarget(c)
	if c.Kind == redisemitter.KindEmit {
		e.b.deliver(ns, ns.index.Select(nil, t), &m)
		return nil
	}
	var errs error
	for _, s := range ns.index.Select(nil, t) {
		switch c.Kind {
		case redisemitter.KindJoin:
			if _, err := ns.index.Join(s, c.Change...); errors.Is(err, room.ErrTooManyRooms) {
				errs = tooManyRooms(e.b.opts.MaxRoomsPerSocket)
			}
		case redisemitter.KindLeave:
			ns.index.Leave(s, c.Change...)
		case redisemitter.KindDisconnect:
			connection := s.client.Load()
			s.disconnect(reasonDisconnected, "")
			if c.Close && connection != nil {
				connection.conn.CloseAfterFlush(engineio.ReasonForcedClose)
			}
		}
	}
	return errs
}

// emitterTarget returns the target of a command. Emitters name a socket by the room
// that has its id.
func emitterTarget(c *redisemitter.Command) Target {
	return Target{
		Everyone:      len(c.Rooms) == 0,
		Rooms:         c.Rooms,
		Sockets:       c.Rooms,
		ExceptRooms:   c.Except,
		ExceptSockets: c.Except,
	}
}
