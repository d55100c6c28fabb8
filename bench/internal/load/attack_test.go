package load

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

func TestAttacksHaveNamesOfTheirOwn(t *testing.T) {
	seen := make(map[string]bool)
	for _, a := range attacks {
		if a.name == "" || seen[a.name] || a.lines == 0 || a.every < time.Millisecond {
			t.Errorf("%q: the name isn't its own, there are no connections, or it isn't bounded", a.name)
		}
		seen[a.name] = true
	}
}

func TestGrabsHaveNamesOfTheirOwn(t *testing.T) {
	seen := make(map[string]bool)
	for _, g := range grabs {
		if g.name == "" || seen[g.name] || g.workers == 0 || float64(g.workers)/g.every.Seconds() > 1000 {
			t.Errorf("%q: the name isn't its own, there are no workers, or it isn't bounded", g.name)
		}
		seen[g.name] = true
	}
}

func TestFragmentsNeverEnd(t *testing.T) {
	blow := fragments("x")
	message := append(blow(0), blow(1)...)
	for n := 0; len(message) > 0; n++ {
		if final := message[0]&0x80 != 0; final {
			t.Fatalf("fragment %d is the last", n)
		}
		if first := message[0] == opText; first != (n == 0) {
			t.Fatalf("fragment %d has the opcode %d", n, message[0])
		}
		size := 6 + int(message[1]&0x7F)
		message = message[size:]
	}
}

// An attacker that the server closes the connection of comes again, and counts that.
func TestAttackersComeAgain(t *testing.T) {
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
	d, err := newDialer(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a := &attacker{
		attack: attack{lines: 1, every: time.Millisecond, open: openTCP, blow: func(int) []byte { return []byte("bad") }},
		dialer: d, clients: make([]client, 1), figures: job.Figures{}, scratch: make([]byte, 10),
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); a.run(ctx) }()
	for range 3 {
		if text := <-got; !bytes.Equal(text, []byte("bad")) {
			t.Errorf("the server got %q", text)
		}
	}
	cancel()
	<-done
	if a.figures[job.Gone] < 2 || a.figures[job.Blows] < 3 || a.figures[job.Connects] < 3 {
		t.Errorf("counted %v", a.figures)
	}
}

func TestFaultyLinesOfALog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	text := "level=INFO msg=fine\nlevel=ERROR msg=panic\npanic: no\nlevel=WARN msg=odd\n"
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := faulty(&job.Job{Target: job.Target{Log: log}}); n != 2 || err != nil {
		t.Errorf("%v lines say that the server is at fault (%v), want 2", n, err)
	}
	if _, err := faulty(&job.Job{}); err == nil {
		t.Errorf("a log that isn't there: got no error")
	}
}
