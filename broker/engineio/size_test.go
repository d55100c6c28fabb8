package engineio

import (
	"testing"
	"unsafe"
)

// Each WebSocket connection has one of these, so what grows here grows with the number of idle
// clients. The bounds leave some room, on 64 bits.
func TestSizesOfWhatEachConnectionNeeds(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("the bounds are those of 64 bits")
	}
	for name, tt := range map[string]struct{ size, most uintptr }{
		"Conn":   {unsafe.Sizeof(Conn{}), 416},
		"reader": {unsafe.Sizeof(reader{}), 208},
		"intake": {unsafe.Sizeof(intake{}), 48},
		"link":   {unsafe.Sizeof(link{}), 64},
	} {
		if tt.size > tt.most {
			t.Errorf("%s has %d bytes, want at most %d: put what few connections need behind a pointer", name, tt.size, tt.most)
		}
	}
}
