package broker

import (
	"context"
	"encoding/json"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// Update replaces what backends see as the data of the sockets that t selects,
// as long as they are connected. Data is any JSON; null takes it away. It may be
// called concurrently; the error is a *[Error].
func (b *Broker) Update(ctx context.Context, t Target, data json.RawMessage) (Outcome, error) {
	var v violations
	if len(data) == 0 {
		v.add("data", "is missing; null takes away what is there")
	}
	validateData(&v, "data", data)
	ns, err := b.checkSelector(&t, v)
	if err != nil {
		return Outcome{}, err
	}
	if string(data) == "null" {
		data = nil
	}
	target := t.fanout()
	return b.command(ctx, ns, &target, &wire.Order{Order: &wire.Order_Update{
		Update: &wire.Update{Target: targetTo(ns.name, &target), Data: data},
	}}), nil
}

func (s *socket) update(data json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.updated = true
	s.showData(data)
}

// showData has backends see data with the socket.
func (s *socket) showData(data json.RawMessage) {
	if len(data) == 0 {
		s.data.Store(nil)
		return
	}
	s.data.Store(&data)
}

// shownData returns what backends see with the socket.
func (s *socket) shownData() json.RawMessage {
	if data := s.data.Load(); data != nil {
		return *data
	}
	return nil
}

// maxDataBytes bounds what backends can attach to a token or a socket.
const maxDataBytes = 4 << 10

// validateData accepts no data too.
func validateData(v *violations, field string, data json.RawMessage) {
	if len(data) > maxDataBytes {
		v.add(field, "has %d bytes, at most %d are allowed", len(data), maxDataBytes)
	} else if len(data) > 0 && !json.Valid(data) {
		v.add(field, "is not valid JSON")
	}
}
