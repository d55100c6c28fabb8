package recovery

import (
	"bytes"
	"context"
	"maps"
	"math/rand/v2"
	"net"
	"regexp"
	"sync"
	"time"
)

// Ways in which a [Cutter] cuts a connection.
const (
	cutReset       = "reset"              // both sides get RST
	cutClose       = "close"              // both sides get FIN
	cutClientOnly  = "client resets"      // the server notices later
	cutServerOnly  = "server resets"      // the client notices later
	cutSilence     = "silence"            // nothing passes; both sides notice later
	cutSilenceDown = "silence to client"  // what the server sends is lost
	cutSilenceUp   = "silence to server"  // what the client sends is lost
	cutPong        = "after a pong"       // RST when a pong has just passed
	cutLatePong    = "with a late pong"   // the pong passes late, and nothing after it
	cutMidFrame    = "mid-frame"          // RST after a part of what the server sends
	cutConnect     = "around the CONNECT" // RST before, in or shortly after the server's CONNECT
)

// ways are all of them.
func ways() []string {
	return []string{
		cutReset, cutClose, cutClientOnly, cutServerOnly, cutSilence, cutSilenceDown, cutSilenceUp, cutPong, cutLatePong, cutMidFrame, cutConnect,
	}
}

const (
	// halfOpen is how long a connection may stay half-open.
	halfOpen = 1500 * time.Millisecond
	// midFrame is how many bytes may still pass before a cut in the middle of a frame.
	midFrame = 400
	// afterConnect is how many bytes may pass after a CONNECT before a cut: a few events.
	afterConnect = 200
	// frameHeader is how many bytes the header of a WebSocket frame of a CONNECT may have.
	frameHeader = 4
	// latePong is how late a pong may be.
	latePong = 20 * time.Millisecond
)

// Cutter is a TCP proxy that cuts each connection at a random moment, in a random way. Its methods
// are safe for concurrent use.
type Cutter struct {
	listener net.Listener
	next     func() string
	mean     time.Duration
	connect  *regexp.Regexp // finds a CONNECT packet
	running  sync.WaitGroup

	mu      sync.Mutex
	cutting bool
	closed  bool
	links   map[*link]struct{}
	cuts    map[string]int // by way
}

// NewCutter starts a proxy on a free port of loopback. It asks next for the server of each connection; an
// empty address means that there is none. A connection lives for mean on average, while the proxy
// cuts.
func NewCutter(next func() string, mean time.Duration) (*Cutter, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Cutter{
		listener: l, next: next, mean: mean, connect: regexp.MustCompile(`40(/[^,]*,)?\{"sid":"[^}]*\}`),
		links: make(map[*link]struct{}), cuts: make(map[string]int),
	}
	c.running.Go(c.run)
	return c, nil
}

// URL returns where clients connect to.
func (c *Cutter) URL() string { return "http://" + c.listener.Addr().String() }

// Cut starts cutting connections, or stops it.
func (c *Cutter) Cut(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutting = on
}

// Cuts returns how many connections were cut, by way.
func (c *Cutter) Cuts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.cuts)
}

// Stop resets all connections and ends the proxy.
func (c *Cutter) Stop() {
	c.listener.Close()
	c.mu.Lock()
	c.closed = true
	for l := range c.links {
		l.resetBoth()
	}
	c.mu.Unlock()
	c.running.Wait()
}

func (c *Cutter) run() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.running.Go(func() { c.serve(conn.(*net.TCPConn)) })
	}
}

// serve carries one connection.
func (c *Cutter) serve(client *net.TCPConn) {
	address := c.next()
	if address == "" {
		reset(client)
		return
	}
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", address)
	if err != nil {
		reset(client)
		return
	}
	all := ways()
	l := &link{cutter: c, client: client, server: conn.(*net.TCPConn), way: all[rand.IntN(len(all))], remaining: -1}
	if !c.add(l) {
		l.resetBoth()
		return
	}
	defer c.remove(l)
	timer := time.AfterFunc(c.life(), l.expire)
	l.setTimer(timer)
	defer l.stop()
	var up sync.WaitGroup
	up.Go(l.copyUp)
	l.copyDown()
	up.Wait()
}

// life returns how long a connection lives. The moment of its end doesn't depend on its age, so
// that the many short connections of long-polling together are cut as often as one long one.
func (c *Cutter) life() time.Duration { return time.Duration(rand.ExpFloat64() * float64(c.mean)) }

func (c *Cutter) add(l *link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.links[l] = struct{}{}
	l.armed = c.cutting && l.way == cutConnect
	return true
}

func (c *Cutter) remove(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.links, l)
}

// isCutting reports whether connections are to be cut.
func (c *Cutter) isCutting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cutting
}

// count counts a cut.
func (c *Cutter) count(way string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cuts[way]++
}

// reset closes a connection with RST.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0) // it may have ended
	_ = c.Close()
}

// link is a connection that passes through a [Cutter].
type link struct {
	cutter         *Cutter
	client, server *net.TCPConn
	way            string

	mu       sync.Mutex
	timers   []*time.Timer
	armed    bool // the next bytes may bring the moment of the cut
	cut      bool
	lostUp   bool // what the client sends is discarded
	lostDown bool
	// remaining is how many bytes may still pass to the client before the cut; -1 for any number.
	remaining int
}

func (l *link) setTimer(t *time.Timer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timers = append(l.timers, t)
}

func (l *link) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.timers {
		t.Stop()
	}
}

// resetBoth ends the connection. It can be called at any time.
func (l *link) resetBoth() {
	reset(l.client)
	reset(l.server)
}

// expire is called when the connection's life is over.
func (l *link) expire() {
	if !l.cutter.isCutting() {
		l.setTimer(time.AfterFunc(l.cutter.life(), l.expire))
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.way {
	case cutPong, cutLatePong:
		l.armed = true
	case cutMidFrame:
		l.remaining = rand.IntN(midFrame)
	case cutClose:
		l.end(func() { _, _ = l.client.Close(), l.server.Close() })
	case cutClientOnly:
		l.lose(true, true)
		reset(l.client)
	case cutServerOnly:
		l.lose(true, true)
		reset(l.server)
	case cutSilence:
		l.lose(true, true)
	case cutSilenceDown:
		l.lose(false, true)
	case cutSilenceUp:
		l.lose(true, false)
	default: // a connection without a CONNECT, too
		l.end(l.resetBoth)
	}
}

// end counts the cut and carries it out, once. The caller holds mu.
func (l *link) end(how func()) {
	if l.cut {
		return
	}
	l.cut = true
	l.cutter.count(l.way)
	how()
}

// lose makes the connection lose bytes from now on, and ends it later. The caller holds mu.
func (l *link) lose(up, down bool) {
	l.end(func() {
		l.lostUp, l.lostDown = up, down
		l.timers = append(l.timers, time.AfterFunc(rand.N(halfOpen), l.resetBoth))
	})
}

// copyUp carries what the client sends.
func (l *link) copyUp() {
	buffer := make([]byte, 64<<10)
	for {
		n, err := l.client.Read(buffer)
		if err != nil {
			break
		}
		pass, wait, then := l.filterUp(buffer[:n])
		if wait > 0 {
			time.Sleep(wait)
		}
		if len(pass) > 0 {
			if _, err := l.server.Write(pass); err != nil {
				break
			}
		}
		if then != nil {
			then()
			break
		}
	}
	if l.passes(true) {
		_ = l.server.CloseWrite() // it may have ended
	}
}

// filterUp returns which bytes pass, how long they wait, and what comes then.
func (l *link) filterUp(b []byte) (pass []byte, wait time.Duration, then func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.lostUp:
		return nil, 0, nil
	case !l.armed || !isPong(b):
		return b, 0, nil
	case l.way == cutPong:
		l.end(func() {})
		return b, 0, func() {
			time.Sleep(rand.N(200 * time.Microsecond)) // the server is about to read it
			l.resetBoth()
		}
	case l.way == cutLatePong:
		l.end(func() { l.lostDown = rand.IntN(2) == 0 })
		return b, rand.N(latePong), l.resetBoth
	}
	return b, 0, nil
}

// copyDown carries what the server sends.
func (l *link) copyDown() {
	buffer := make([]byte, 64<<10)
	for {
		n, err := l.server.Read(buffer)
		if err != nil {
			break
		}
		pass, then := l.filterDown(buffer[:n])
		if len(pass) > 0 {
			if _, err := l.client.Write(pass); err != nil {
				break
			}
		}
		if then != nil {
			then()
			break
		}
	}
	if l.passes(false) {
		_ = l.client.CloseWrite() // it may have ended
	}
}

// filterDown returns which bytes pass, and what comes then.
func (l *link) filterDown(b []byte) (pass []byte, then func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lostDown {
		return nil, nil
	}
	if l.armed && l.way == cutConnect {
		if from, to, ok := l.cutter.findConnect(b); ok {
			l.armed = false
			l.remaining = []int{from, from + rand.IntN(to-from), to + rand.IntN(afterConnect)}[rand.IntN(3)]
		}
	}
	if l.remaining < 0 {
		return b, nil
	}
	if len(b) < l.remaining {
		l.remaining -= len(b)
		return b, nil
	}
	l.end(func() {})
	return b[:l.remaining], l.resetBoth
}

// passes reports whether the end of one side's bytes is passed on.
func (l *link) passes(up bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if up {
		return !l.lostUp
	}
	return !l.lostDown
}

// isPong finds a client's pong: a masked WebSocket frame, or a POST.
func isPong(b []byte) bool {
	for i := 0; i+7 <= len(b); i++ {
		if b[i] == 0x81 && b[i+1] == 0x81 && b[i+6]^b[i+2] == '3' {
			return true
		}
	}
	return string(b) == "3" || bytes.HasPrefix(b, []byte("POST ")) && bytes.HasSuffix(b, []byte("\r\n\r\n3"))
}

// findConnect finds where a server's CONNECT packet begins, with its frame's header, and where it ends.
func (c *Cutter) findConnect(b []byte) (from, to int, ok bool) {
	at := c.connect.FindIndex(b)
	if at == nil {
		return 0, 0, false
	}
	return max(0, at[0]-frameHeader), at[1], true
}
