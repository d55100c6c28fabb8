package api

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// An encoded message that waits for its reader takes at most twice its size, and a small one 1 KiB
// more.
func TestBuffersFitMessages(t *testing.T) {
	codec := newCodec()
	for _, size := range []int{0, 1, 500, 1100, 2000, 3000, 5000, 9000, 15_000, 17_000, 33_000, 50_000, 1_000_000, 1_100_000} {
		message := &salav1.Ack{ArgsJson: strings.Repeat("x", size)}
		want, err := proto.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // a pool returns buffers of earlier messages
			got, err := codec.Marshal(message)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Materialize(), want) {
				t.Errorf("%d bytes aren't encoded as protobuf does", size)
			}
			taken := 0
			for _, buffer := range got {
				taken += cap(buffer.ReadOnlyData())
			}
			if taken > 2*len(want)+1<<10 {
				t.Errorf("a message of %d bytes takes %d", len(want), taken)
			}
			got.Free()
		}
	}
}
