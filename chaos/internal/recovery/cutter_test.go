package recovery

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// echo starts a server that sends back what it receives, and returns its address.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c) // it may be reset
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

func newTestCutter(t *testing.T, mean time.Duration) *Cutter {
	t.Helper()
	address := echo(t)
	c, err := NewCutter(func() string { return address }, mean)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}

func TestCutterPassesEverythingUntilItCuts(t *testing.T) {
	c := newTestCutter(t, time.Millisecond)
	conn, err := net.Dial("tcp", c.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := bytes.Repeat([]byte("0123456789"), 100_000)
	go func() {
		_, _ = conn.Write(sent)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes of %d came back, error %v", len(got), len(sent), err)
	}
	if n := c.Cuts(); len(n) != 0 {
		t.Errorf("it has cut: %v", n)
	}
}

func TestCutterEndsEachConnection(t *testing.T) {
	c := newTestCutter(t, time.Millisecond)
	c.Cut(true)
	const connections = 100
	var clients sync.WaitGroup
	for range connections {
		clients.Go(func() {
			conn, err := net.Dial("tcp", c.listener.Addr().String())
			if err != nil {
				return // it was cut before Dial returned
			}
			defer conn.Close()
			echoed := make([]byte, 1024)
			for err == nil { // until it ends, which is the point
				_, err = conn.Write([]byte("POST / HTTP/1.1\r\n\r\n3")) // with a pong, so that all ways have their moment
				if err == nil {
					_, err = conn.Read(echoed)
				}
			}
		})
	}
	clients.Wait()
	sum := 0
	for _, n := range c.Cuts() {
		sum += n
	}
	if sum != connections {
		t.Errorf("%d connections were cut, want %d: %v", sum, connections, c.Cuts())
	}
}

func TestWaysOfCutting(t *testing.T) {
	pong := []byte{0x81, 0x81, 1, 2, 3, 4, '3' ^ 1}
	event := []byte("\x81\x0a42[\"m\",1]")
	for way, test := range map[string]struct {
		expired    bool // whether the connection's life is over first
		up, down   []byte
		wantUp     bool // whether the bytes pass
		wantDown   bool
		wantEnding bool // whether the filters end the connection
	}{
		cutClientOnly:  {true, pong, event, false, false, false},
		cutServerOnly:  {true, pong, event, false, false, false},
		cutSilence:     {true, pong, event, false, false, false},
		cutSilenceDown: {true, pong, event, true, false, false},
		cutSilenceUp:   {true, pong, event, false, true, false},
		cutPong:        {true, pong, event, true, true, true},
		cutReset:       {false, pong, event, true, true, false},
		cutConnect:     {false, pong, event, true, true, false},
	} {
		t.Run(way, func(t *testing.T) {
			c := newTestCutter(t, time.Hour)
			c.Cut(true)
			l := newTestLink(t, c, way)
			if test.expired {
				l.expire()
			}
			passUp, _, thenUp := l.filterUp(test.up)
			passDown, thenDown := l.filterDown(test.down)
			if (len(passUp) > 0) != test.wantUp || (len(passDown) > 0) != test.wantDown || (thenUp != nil || thenDown != nil) != test.wantEnding {
				t.Errorf("%d and %d bytes pass, ending: %v and %v", len(passUp), len(passDown), thenUp != nil, thenDown != nil)
			}
			l.stop()
		})
	}
}

// newTestLink returns a link between two ends that nobody uses.
func newTestLink(t *testing.T, c *Cutter, way string) *link {
	t.Helper()
	address := echo(t)
	var ends [2]*net.TCPConn
	for i := range ends {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		ends[i] = conn.(*net.TCPConn)
	}
	return &link{cutter: c, client: ends[0], server: ends[1], way: way, remaining: -1}
}

func TestCutsWithinAFrame(t *testing.T) {
	c := newTestCutter(t, time.Hour)
	c.Cut(true)
	for range 200 {
		l := newTestLink(t, c, cutMidFrame)
		l.expire()
		passed := 0
		for i := 0; ; i++ {
			pass, then := l.filterDown(make([]byte, 30))
			passed += len(pass)
			if then != nil {
				break
			}
			if i > midFrame {
				t.Fatal("the connection doesn't end")
			}
		}
		if passed > midFrame {
			t.Fatalf("%d bytes have passed", passed)
		}
		l.resetBoth()
	}
}

func TestCutsAroundTheConnect(t *testing.T) {
	c := newTestCutter(t, time.Hour)
	c.Cut(true)
	connect := []byte("\x81\x2040{\"sid\":\"node.1\",\"pid\":\"node.1~secret\"}")
	event := bytes.Repeat([]byte("\x81\x0a42[\"m\",1]"), 100)
	before, within, after := 0, 0, 0
	for range 400 {
		l := newTestLink(t, c, cutConnect)
		l.armed = true
		if pass, then := l.filterDown([]byte("\x81\x400{\"sid\":\"abc\",\"upgrades\":[]}")); len(pass) == 0 || then != nil {
			t.Fatal("the handshake is cut")
		}
		pass, then := l.filterDown(append(bytes.Clone(connect), event...))
		if then == nil {
			t.Fatal("the connection doesn't end")
		}
		switch {
		case len(pass) == 0:
			before++
		case len(pass) < len(connect):
			within++
		default:
			after++
		}
		l.resetBoth()
	}
	if before == 0 || within == 0 || after == 0 {
		t.Errorf("cut %d times before the CONNECT, %d within and %d after it", before, within, after)
	}
}

func TestPongs(t *testing.T) {
	for text, want := range map[string]bool{
		"3": true, "4": false, "POST /socket.io/ HTTP/1.1\r\nHost: x\r\n\r\n3": true, "POST /socket.io/ HTTP/1.1\r\nHost: x\r\n\r\n42[3]": false,
		"\x81\x81\x01\x02\x03\x042": true, "\x81\x81\x01\x02\x03\x043": false, "\x81\x82\x01\x02\x03\x0422": false,
	} {
		if got := isPong([]byte(text)); got != want {
			t.Errorf("%q is a pong: %v", text, got)
		}
	}
}
