package broker

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/idempotency"
)

// delivered is what a node remembers of a message with a key that it has delivered.
type delivered struct{ matched, queued, kept int }

// newKeys returns the idempotency keys of the node; nil if it takes none.
func (b *Broker) newKeys() *idempotency.Keys {
	window := b.opts.IdempotencyWindow
	if window == 0 {
		return nil
	}
	var store idempotency.Store
	if b.mesh != nil {
		store = idempotency.NewShared(b.mesh, window)
	} else {
		store = idempotency.NewMemory(window)
	}
	return idempotency.NewKeys(idempotency.Options{
		Store:  store,
		Window: window,
		NewID: func() idempotency.ID {
			return idempotency.ID{Node: b.id, Number: b.lastMessage.Add(1)}
		},
		Alive:   func(node string) bool { return b.mesh != nil && b.mesh.HasNode(cluster.NodeID(node)) },
		Observe: func(o idempotency.Outcome) { b.metrics.keyed.WithLabelValues(string(o)).Inc() },
		Logger:  b.log,
	})
}

// emitOnce sends a message with a key, unless that has been done. Unlike other messages, it
// always waits for the other nodes, so that a repeat knows whom it hasn't reached.
func (b *Broker) emitOnce(ctx context.Context, ns *namespace, t Target, m Message) (Report, error) {
	if b.keys == nil {
		return Report{}, &Error{
			Code: CodeFailedPrecondition, Reason: ReasonKeysDisabled,
			Message: "idempotency keys are turned off; the operator turns them on with --idempotency-window",
		}
	}
	m.Unreported, m.part = false, partWhole
	key := idempotency.Key{Namespace: ns.name, Text: m.IdempotencyKey}
	result, duplicate, err := b.keys.Do(ctx, m.Caller, key, fingerprint(&t, &m), func(ctx context.Context, id idempotency.ID) ([]byte, bool) {
		m.identity = identity{id.Node, id.Number}
		report := b.emitChecked(ctx, ns, t, m)
		return encodeReport(&report), !report.Partial && len(report.Unrecorded) == 0
	})
	if err != nil {
		return Report{}, b.keyError(err)
	}
	report := decodeReport(result)
	report.Duplicate = duplicate
	return report, nil
}

// keyError returns the error for a key whose message wasn't sent.
func (b *Broker) keyError(err error) *Error {
	switch {
	case errors.Is(err, idempotency.ErrMismatch):
		const mismatch = "was used for another event or target within the last %s; choose a new key for each event"
		var v violations
		v.add("idempotency_key", mismatch, b.opts.IdempotencyWindow)
		return &Error{Code: CodeInvalidArgument, Reason: ReasonKeyMismatch, Message: fieldsMessage(v), Fields: v}
	case errors.Is(err, idempotency.ErrInProgress):
		return &Error{
			Code: CodeUnavailable, Reason: ReasonKeyInProgress,
			Message: "the first call with this idempotency key is still under way; call again with the same key",
		}
	case errors.Is(err, idempotency.ErrTooMany):
		return &Error{
			Code: CodeResourceExhausted, Reason: ReasonTooManyKeys,
			Message: fmt.Sprintf("this node has remembered as many idempotency keys within %s as it may, or as one API key may; try again later, or have the operator lower --idempotency-window", b.opts.IdempotencyWindow),
		}
	}
	b.log.Debug("an idempotency key can't be claimed", "error", err)
	return &Error{
		Code: CodeUnavailable, Reason: ReasonKeyNotClaimed,
		Message: "the idempotency key can't be claimed, because this node can't reach Redis at the moment; this call has sent nothing, try again with the same key",
	}
}

// fingerprint tells a message with a key and its target from others.
func fingerprint(t *Target, m *Message) idempotency.Fingerprint {
	d := idempotency.NewDigest()
	d.Flag(t.Everyone)
	for _, names := range [][]string{t.Rooms, t.Users, t.Sockets, t.ExceptRooms, t.ExceptUsers, t.ExceptSockets} {
		d.Texts(names)
	}
	d.Text(m.Event)
	d.Bytes(m.Args)
	for _, a := range m.Attachments {
		d.Bytes(a)
	}
	d.Text(m.ConflateKey)
	d.Flag(m.Volatile)
	d.Flag(m.SkipHistory)
	return d.Sum()
}

// encodeReport returns a report as the nodes remember it for a key.
func encodeReport(r *Report) []byte {
	result := &wire.ClaimResult{
		Matched:    uint32(r.Matched), //nolint:gosec // bounded by file descriptors
		Queued:     uint32(r.Queued),  //nolint:gosec // at most as many
		Kept:       uint32(r.Kept),    //nolint:gosec // at most as many
		Partial:    r.Partial,
		Missing:    r.Missing,
		Unrecorded: r.Unrecorded,
	}
	for _, p := range r.Positions {
		result.Positions = append(result.Positions, &wire.RoomPosition{Room: p.Room, Epoch: p.Epoch, Offset: p.Offset})
	}
	return encode(result)
}

func decodeReport(raw []byte) Report {
	var result wire.ClaimResult
	_ = proto.Unmarshal(raw, &result) // a node has signed it
	r := Report{
		Matched:       int(result.GetMatched()),
		Queued:        int(result.GetQueued()),
		Kept:          int(result.GetKept()),
		Unrecorded:    result.GetUnrecorded(),
		PartialResult: PartialResult{Partial: result.GetPartial(), Missing: result.GetMissing()},
	}
	for _, p := range result.GetPositions() {
		r.Positions = append(r.Positions, RoomPosition{Room: p.GetRoom(), Position: history.Position{Epoch: p.GetEpoch(), Offset: p.GetOffset()}})
	}
	r.countDropped()
	return r
}
