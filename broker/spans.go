package broker

import (
	"cmp"
	"context"
	"errors"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/tracing"
)

// What spans say of the broker: an emit of a backend, an operation that another node has this one
// carry out, an event for backends. None has the content of a message, a room, a user, or anything
// that gives access. Without a tracer, all of this is a nil check.

// The names of spans; those of operations and events have the kind behind them.
const (
	spanEmit        = "emit"
	spanEmitWithAck = "emit with ack"
	spanApply       = "apply "
	spanEvent       = "event "
)

// maxSpanPositions bounds the positions in the history of rooms that a span names.
const maxSpanPositions = 8

// startEmit starts the span of a message of a backend, and has other nodes continue it.
func (b *Broker) startEmit(ctx context.Context, name string, m *Message) (context.Context, *tracing.Span) {
	if b.opts.Tracer == nil {
		return ctx, nil
	}
	ctx, span := b.opts.Tracer.Start(ctx, name, tracing.Options{Kind: trace.SpanKindProducer})
	m.traceParent, m.traceID = span.SampledParent(), tracing.IDFrom(ctx)
	return ctx, span
}

// setEmit says what was emitted, which must be valid, and to whom.
func (b *Broker) setEmit(span *tracing.Span, t *Target, m *Message) {
	span.Set(
		attribute.String("sala.node", b.id),
		attribute.String("sala.namespace", cmp.Or(t.Namespace, "/")),
		attribute.String("sala.event", m.Event),
		attribute.String("sala.target", targetKind(t)),
		attribute.Int("sala.target.names", len(t.Rooms)+len(t.Users)+len(t.Sockets)),
	)
}

// targetKind says what a target names.
func targetKind(t *Target) string {
	rooms, users, sockets := len(t.Rooms) > 0, len(t.Users) > 0, len(t.Sockets) > 0
	switch {
	case t.Everyone:
		return "namespace"
	case rooms && !users && !sockets:
		return "rooms"
	case users && !rooms && !sockets:
		return "users"
	case sockets && !rooms && !users:
		return "sockets"
	}
	return "mixed"
}

// endEmit ends the span of a message with its report, or with why it wasn't sent.
func (b *Broker) endEmit(span *tracing.Span, t *Target, m *Message, report *Report, err error) {
	if span.Recording() && err == nil {
		b.setEmit(span, t, m)
		span.Set(
			attribute.Int("sala.matched", report.Matched),
			attribute.Int("sala.queued", report.Queued),
			attribute.Int("sala.kept", report.Kept),
			attribute.Int("sala.dropped", report.Dropped),
			attribute.Bool("sala.duplicate", report.Duplicate),
			attribute.Int("sala.recorded", len(report.Positions)),
			attribute.Int("sala.unrecorded", len(report.Unrecorded)),
			attribute.StringSlice("sala.positions", spanPositions(report.Positions)),
		)
		setPartial(span, &report.PartialResult)
	}
	endSpan(span, err)
}

// spanPositions returns positions as text, without the names of the rooms.
func spanPositions(positions []RoomPosition) []string {
	positions = positions[:min(len(positions), maxSpanPositions)]
	texts := make([]string, len(positions))
	for i := range positions {
		texts[i] = positions[i].Epoch + ":" + strconv.FormatUint(positions[i].Offset, 10)
	}
	return texts
}

// endAcks ends the span of a message that requested acks.
func (b *Broker) endAcks(span *tracing.Span, t *Target, m *Message, summary *AckSummary, err error) {
	if span.Recording() && err == nil {
		b.setEmit(span, t, m)
		span.Set(
			attribute.Int("sala.acks.expected", summary.Expected),
			attribute.Int("sala.acks.answered", summary.Answered),
			attribute.Int("sala.acks.timed_out", summary.TimedOut),
			attribute.Int("sala.acks.disconnected", summary.Disconnected),
			attribute.Int("sala.acks.dropped", summary.Dropped),
		)
		setPartial(span, &summary.PartialResult)
	}
	endSpan(span, err)
}

// setPartial names the nodes that are missing from a result.
func setPartial(span *tracing.Span, p *PartialResult) {
	if p.Partial {
		span.Set(attribute.Bool("sala.partial", true), attribute.StringSlice("sala.missing_nodes", p.Missing))
	}
}

// endSpan ends a span with the outcome of its operation.
func endSpan(span *tracing.Span, err error) {
	if span == nil {
		return
	}
	if err != nil {
		reason := errorReason(err)
		span.Set(attribute.String("error.type", reason))
		span.Fail(reason)
	}
	span.End()
}

// errorReason returns the reason of an error, without what it says about the request.
func errorReason(err error) string {
	var failed *Error
	switch {
	case errors.As(err, &failed):
		return failed.Reason
	case errors.Is(err, context.Canceled):
		return "CANCELLED"
	case errors.Is(err, context.DeadlineExceeded):
		return "DEADLINE_EXCEEDED"
	}
	return "INTERNAL"
}

// startApply starts the span of an operation that another node has this one carry out: one for each
// node, however many sockets there are. An operation that is part of no trace has none.
func (b *Broker) startApply(from cluster.NodeID, op *wire.Op) *tracing.Span {
	if b.opts.Tracer == nil || op.GetTraceParent() == "" {
		return nil
	}
	span := b.opts.Tracer.StartFrom(op.GetTraceParent(), spanApply+opName(op), tracing.Options{Kind: trace.SpanKindConsumer})
	if span.Recording() {
		span.Set(attribute.String("sala.node", b.id), attribute.String("sala.from_node", string(from)))
	}
	return span
}

// endApply ends the span of an operation with the node's reply.
func endApply(span *tracing.Span, reply proto.Message, err error) {
	if c, ok := reply.(*wire.Count); ok && err == nil && span.Recording() {
		span.Set(attribute.Int("sala.matched", int(c.GetMatched())))
		if c.GetQueued()+c.GetKept() > 0 {
			span.Set(attribute.Int("sala.queued", int(c.GetQueued())), attribute.Int("sala.kept", int(c.GetKept())))
		}
	}
	endSpan(span, err)
}

// opName returns the name of an operation, such as "emit" or "list_rooms".
func opName(op *wire.Op) string {
	m := op.ProtoReflect()
	set := m.WhichOneof(m.Descriptor().Oneofs().ByName("op"))
	if set == nil {
		return "unknown"
	}
	return string(set.Name())
}

// publishEvent publishes an event for backends.
func (b *Broker) publishEvent(e *eventhub.Event) {
	span := b.startEvent(e)
	b.events.Publish(e)
	span.End()
}

// startEvent starts the span of an event for backends, which may continue it. It begins a trace: what
// clients send says nothing of traces, because a stranger would decide what is sampled.
func (b *Broker) startEvent(e *eventhub.Event) *tracing.Span {
	if b.opts.Tracer == nil {
		return nil
	}
	span := b.opts.Tracer.StartFrom("", spanEvent+e.Kind.String(), tracing.Options{Kind: trace.SpanKindProducer})
	e.TraceParent = span.Parent()
	if span.Recording() {
		span.Set(attribute.String("sala.node", b.id), attribute.String("sala.namespace", e.Namespace))
		if e.Name != "" {
			span.Set(attribute.String("sala.event", e.Name))
		}
		if e.Socket != nil {
			span.Set(attribute.String("sala.socket", e.Socket.ID))
		}
	}
	return span
}

// endAnswered ends the span of an event that a backend had to answer. failure is the client's error,
// if there is one.
func endAnswered(span *tracing.Span, failure *eventhub.Failure) {
	if span == nil {
		return
	}
	if failure != nil {
		span.Set(attribute.String("error.type", failure.Code))
		span.Fail(failure.Code)
	}
	span.End()
}

// endDecided ends the span of a client that wanted to connect. err says why nobody has decided.
func endDecided(span *tracing.Span, refusal *eventhub.Failure, err error) {
	if err != nil {
		refusal = &eventhub.Failure{Code: ReasonUndecided}
	}
	endAnswered(span, refusal)
}
