package connections

import (
	"net"
	"testing"

	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/chaos/internal/observe"
)

// A client that is reset leaves no connection behind, whatever its last step was.
func TestResetClientsLeaveNoConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := &resetClient{round: &resetsRound{target: &process.Target{Listen: listener.Addr().String()}}}
	for range 2 {
		if _, err := c.dial(); err != nil {
			t.Fatal(err)
		}
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if n := c.reset(); n != 2 {
		t.Errorf("%d connections were reset, want 2", n)
	}
	if n, err := observe.Established(listener.Addr().String()); err != nil || n != 0 {
		t.Errorf("the kernel has %d, %v", n, err)
	}
}
