package cluster

import (
	"bytes"
	"testing"
	"time"
)

// requestNode returns a node that isn't running, with these keys, whose clock is off by skew.
func requestNode(t *testing.T, skew time.Duration, keys ...string) *Mesh {
	t.Helper()
	o := Options{Bus: nowhereBus{}, Handler: noHandler{}, Now: func() time.Time { return time.Now().Add(skew) }}
	for _, key := range keys {
		o.Keys = append(o.Keys, bytes.Repeat([]byte(key), MinKeyBytes))
	}
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// asNode is how other nodes know m.
func asNode(m *Mesh) Node { return Node{ID: m.id, requestKey: string(m.requests.key)} }

func TestRequests(t *testing.T) {
	for name, tt := range map[string]struct {
		from, to *Mesh
		want     LossReason
	}{
		"with a key":             {requestNode(t, 0, "k"), requestNode(t, 0, "k"), ""},
		"without":                {requestNode(t, 0), requestNode(t, 0), ""},
		"signed with the new":    {requestNode(t, 0, "n", "o"), requestNode(t, 0, "o", "n"), ""},
		"with another key":       {requestNode(t, 0, "k"), requestNode(t, 0, "x"), LostBadMAC},
		"with a key too many":    {requestNode(t, 0, "k"), requestNode(t, 0), LostBadMAC},
		"without the key":        {requestNode(t, 0), requestNode(t, 0, "k"), LostBadMAC},
		"its clock is fast":      {requestNode(t, 31*time.Second, "k"), requestNode(t, 0, "k"), LostClock},
		"its clock is slow":      {requestNode(t, -31*time.Second, "k"), requestNode(t, 0, "k"), LostClock},
		"its clock differs less": {requestNode(t, 29*time.Second, "k"), requestNode(t, 0, "k"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			proof, err := tt.from.SealRequest(asNode(tt.to), "GET x", []byte("hello"))
			if err != nil {
				t.Fatal(err)
			}
			from, payload, reason := tt.to.OpenRequest(proof, "GET x")
			if reason != tt.want || reason == "" && (from != tt.from.id || string(payload) != "hello") {
				t.Errorf("it is opened as %q from %q, %q; want %q", payload, from, reason, tt.want)
			}
		})
	}
}

// A proof is good for one request with its subject at its node.
func TestRequestsAreBound(t *testing.T) {
	for name, keys := range map[string][]string{"with a key": {"k"}, "without": nil} {
		t.Run(name, func(t *testing.T) {
			from, to, other := requestNode(t, 0, keys...), requestNode(t, 0, keys...), requestNode(t, 0, keys...)
			seal := func() []byte {
				proof, err := from.SealRequest(asNode(to), "GET x", nil)
				if err != nil {
					t.Fatal(err)
				}
				return proof
			}
			first, second, third := seal(), seal(), seal()
			for what, open := range map[string]func() LossReason{
				"another subject": func() LossReason { _, _, reason := to.OpenRequest(first, "GET y"); return reason },
				"another node":    func() LossReason { _, _, reason := other.OpenRequest(first, "GET x"); return reason },
				"itself":          func() LossReason { _, _, reason := from.OpenRequest(first, "GET x"); return reason },
			} {
				if reason := open(); reason != LostBadMAC {
					t.Errorf("%s: %q", what, reason)
				}
			}
			for i := range first {
				changed := bytes.Clone(first)
				changed[i] ^= 0x40
				if _, _, reason := to.OpenRequest(changed, "GET x"); reason == "" && i != 1 { // unused flags have no meaning
					t.Errorf("with byte %d changed it is accepted", i)
				}
			}
			for _, proof := range [][]byte{nil, {frameVersion}, first[:40]} {
				if _, _, reason := to.OpenRequest(proof, "GET x"); reason == "" {
					t.Errorf("%x is accepted", proof)
				}
			}
			for _, proof := range [][]byte{third, second} { // in another order
				if _, _, reason := to.OpenRequest(proof, "GET x"); reason != "" {
					t.Errorf("it isn't accepted: %q", reason)
				}
				if _, _, reason := to.OpenRequest(proof, "GET x"); reason != LostReplayed {
					t.Errorf("when it comes again: %q", reason)
				}
			}
		})
	}
}

// What goes over the bus proves nothing about a request.
func TestMessagesAreNoRequests(t *testing.T) {
	from, to := requestNode(t, 0, "k"), requestNode(t, 0, "k")
	e := from.envelope()
	frame, err := from.sealer.seal(to.nodeChannel(to.id), e)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, reason := to.OpenRequest(frame, ""); reason != LostBadMAC {
		t.Errorf("a message is opened: %q", reason)
	}
	frame, err = from.sealer.seal(to.requestChannel(to.id, "GET x"), testEnvelope())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, reason := to.OpenRequest(frame, "GET x"); reason != LostMalformed {
		t.Errorf("an envelope with another content is opened: %q", reason)
	}
}

// nowhereBus is a bus that never connects.
type nowhereBus struct{ Bus }

func (nowhereBus) Lane(string) int { return 0 }

// noHandler is never called.
type noHandler struct{ Handler }
