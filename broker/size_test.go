package broker

import (
	"testing"
	"unsafe"
)

// Each connection has one of these, so what grows here grows with the number of idle clients. The
// bounds are those of the allocator's size classes, on 64 bits.
func TestSizesOfWhatEachClientNeeds(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("the bounds are those of 64 bits")
	}
	for name, tt := range map[string]struct{ size, most uintptr }{
		"client":  {unsafe.Sizeof(client{}), 192},
		"socket":  {unsafe.Sizeof(socket{}), 240},
		"session": {unsafe.Sizeof(session{}), 224},
	} {
		if tt.size > tt.most {
			t.Errorf("%s has %d bytes, want at most %d: put what few clients need behind a pointer", name, tt.size, tt.most)
		}
	}
}
