package broker

import (
	"context"
	"errors"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/redisemitter"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/room"
)

// EmitterListener hears what the official Socket.IO emitters publish.
type EmitterListener interface {
	// Listen hands what is published to channels that match one of the patterns
	// to the receiver, one at a time, until ctx ends.
	Listen(ctx context.Context, patterns []string, receiver cluster.Receiver)
}

// What became of a message of an emitter, as the metrics name it.
const (
	emitterDone        = "done"
	emitterRefused     = "refused"     // beyond a limit of the broker, or for a namespace that isn't there
	emitterMalformed   = "malformed"   // not what an emitter says
	emitterUnsupported = "unsupported" // for the servers themselves
	emitterIgnored     = "ignored"     // what Socket.IO servers ask each other
	emitterLost        = "lost"        // this node didn't keep up
)

// emitters does what emitters want, as far as it concerns the sockets of this
// node: every node hears the emitters by itself. There is nobody to whom an error
// could be said, so it goes into the log and the metrics.
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
	result, err := e.obey(m)
	if err != nil {
		e.b.log.Warn("a message of an emitter is not obeyed", "channel", m.Channel, "error", err)
	}
	e.b.metrics.emitters.WithLabelValues(result).Inc()
}

// obey does what a message says.
func (e *emitters) obey(m cluster.Message) (result string, err error) {
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

// do carries out a command of a namespace that is there. It doesn't wait until
// other nodes know of a join: they hear the emitter themselves.
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
			s.disconnect(reasonDisconnected, "")
			if c.Close {
				s.client.conn.CloseAfterFlush(engineio.ReasonForcedClose)
			}
		}
	}
	return errs
}

// emitterTarget selects the sockets that a command is about. Emitters name sockets
// as the rooms that have their ids.
func emitterTarget(c *redisemitter.Command) Target {
	return Target{
		Everyone:      len(c.Rooms) == 0,
		Rooms:         c.Rooms,
		Sockets:       c.Rooms,
		ExceptRooms:   c.Except,
		ExceptSockets: c.Except,
	}
}
