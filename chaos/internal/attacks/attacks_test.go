package attacks

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

func TestAttacksHaveUniqueNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, a := range attacks() {
		if a.name == "" || seen[a.name] || a.connections == 0 || a.every < time.Millisecond {
			t.Errorf("%q: the name is not unique, there are no connections, or the attack is not bounded", a.name)
		}
		seen[a.name] = true
	}
}

func TestGreedyCallersHaveUniqueNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, g := range greedyCallers() {
		if g.name == "" || seen[g.name] || g.workers == 0 || float64(g.workers)/g.every.Seconds() > 1000 {
			t.Errorf("%q: the name is not unique, there are no workers, or they are not bounded", g.name)
		}
		seen[g.name] = true
	}
}

func TestFragmentsNeverEnd(t *testing.T) {
	payload := fragments("x")
	message := append(payload(0), payload(1)...)
	for n := 0; len(message) > 0; n++ {
		if final := message[0]&0x80 != 0; final {
			t.Fatalf("fragment %d is the last", n)
		}
		if first := message[0] == load.OpText; first != (n == 0) {
			t.Fatalf("fragment %d has the opcode %d", n, message[0])
		}
		size := 6 + int(message[1]&0x7F)
		message = message[size:]
	}
}

// An attacker whose connection the server closes connects again, and counts that.
func TestAttackersConnectAgain(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	got := make(chan []byte, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 3)
			n, _ := conn.Read(b)
			got <- b[:n]
			conn.Close()
		}
	}()
	d, err := load.NewDialer(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a := &Attacker{
		attack: attack{connections: 1, every: time.Millisecond, open: openTCP, payload: func(int) []byte { return []byte("bad") }},
		dialer: d, clients: make([]load.Client, 1), figures: results.Figures{}, scratch: make([]byte, 10),
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); a.Run(ctx) }()
	for range 3 {
		if text := <-got; !bytes.Equal(text, []byte("bad")) {
			t.Errorf("the server got %q", text)
		}
	}
	cancel()
	<-done
	if a.figures[scenario.Gone] < 2 || a.figures[figureAttempts] < 3 || a.figures[scenario.Connects] < 3 {
		t.Errorf("counted %v", a.figures)
	}
}
