package history_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/history"
)

// FuzzDecode decodes what may be an entry. Whatever decodes is encoded to what decodes to the same.
func FuzzDecode(f *testing.F) {
	for _, e := range []history.Entry{
		{},
		{Event: "e", Args: json.RawMessage("[1]"), Time: time.UnixMilli(1), ID: history.Identity{Node: "ABCDEFGHIJ", Number: 300}},
		{Event: "e", Args: json.RawMessage("[]"), Attachments: [][]byte{{1}, nil, {2, 3}}, IdempotencyKey: "k", Time: time.UnixMilli(-1)},
	} {
		b := e.Encode()
		f.Add(b)
		f.Add(b[:len(b)-1])
		f.Add(append(b[:len(b):len(b)], 0))
	}
	f.Add([]byte{0x22, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := history.Parse(1, b)
		if err != nil {
			return
		}
		e := r.Entry()
		if event, args := r.Message(); string(event) != e.Event || string(args) != string(e.Args) || !r.Is(e.ID) || r.Hash() != e.ID.Hash() {
			t.Errorf("%+v, but %q, %q", e, event, args)
		}
		again, err := history.Parse(1, e.Encode())
		if err != nil || !reflect.DeepEqual(again.Entry(), e) {
			t.Errorf("%+v, then %+v, %v", e, again, err)
		}
	})
}

// An encoded entry has no byte to spare, because memory is full of them.
func TestEncodeIsTight(t *testing.T) {
	for _, n := range []int{0, 1, 126, 127, 128, 129, 16_383, 16_384, 100_000} {
		e := history.Entry{Event: "e", Args: make([]byte, n), Attachments: [][]byte{make([]byte, n)}, ID: history.Identity{Node: "n", Number: uint64(n)}}
		b := e.Encode()
		if cap(b) != len(b) {
			t.Errorf("%d bytes have place for %d", len(b), cap(b))
		}
	}
}
