package presence_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Thousands of users who lose their connections at the same time cost few calls, a few at a time, and each is
// announced once.
func TestMassDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork(t, 1)
		node := net.add(0)
		net.add(0)
		defer net.stopAll()
		const users = 700 // the index of the test looks at each socket
		var sockets []*socket
		for i := range users {
			sockets = append(sockets, net.connect(node, fmt.Sprint("user", i)))
		}
		pass(10 * time.Second)
		net.mu.Lock()
		net.calls, net.most, net.announced = 0, 0, nil
		net.mu.Unlock()
		for _, s := range sockets {
			net.disconnect(s, true)
		}
		pass(window - time.Millisecond)
		if announced, calls, _ := net.counts(); announced > 0 || calls > 0 {
			t.Errorf("%d users left and %d calls were made before the window had passed", announced, calls)
		}
		pass(10 * time.Second)
		if announced, calls, most := net.counts(); announced != users || calls > 10 || most > 4 {
			t.Errorf("%d users left, with %d calls, %d at a time", announced, calls, most)
		}
	})
}
