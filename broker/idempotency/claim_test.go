package idempotency

import (
	"bytes"
	"testing"
	"time"
)

// FuzzDecodeClaim reads what may be a claim: others may write to the store, and nodes of other releases
// do. Whatever can be read is written as what reads the same.
func FuzzDecodeClaim(f *testing.F) {
	for _, c := range []Claim{
		{},
		{ID: ID{Node: "ABCDEFGHIJ", Number: 1}, Time: time.UnixMilli(1)},
		{Fingerprint: Fingerprint{1, 2}, ID: ID{Node: "n", Number: 1 << 63}, Time: time.UnixMilli(-1), State: Complete, Result: []byte{8, 1}},
	} {
		f.Add(c.encode())
	}
	f.Add([]byte{0x28, 0x83, 0x02})
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := decodeClaim(raw)
		if err != nil {
			return
		}
		again, err := decodeClaim(c.encode())
		if err != nil || !bytes.Equal(again.encode(), c.encode()) || again.State != c.State || !again.Time.Equal(c.Time) {
			t.Errorf("%+v, then %+v, %v", c, again, err)
		}
	})
}
