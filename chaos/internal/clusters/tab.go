package clusters

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/salabroker/sala/bench/load"
)

// tab is a client that joins and leaves rooms.
type tab struct {
	conn    *load.Conn
	running sync.WaitGroup
	acks    chan string // the packets that answer calls
	ended   chan struct{}
	once    sync.Once
	calls   int

	user, node int
	stays      map[string]*stay // by room; empty for the namespace
	rooms      []string         // that it was in when it ended
}

// openTab connects a client over WebSocket, and reads what it gets until the connection ends.
func openTab(d *load.Dialer, c load.Client) (*tab, error) {
	conn, _, err := load.OpenSocket(d, c)
	if err != nil {
		return nil, err
	}
	t := &tab{conn: conn, acks: make(chan string, 8), ended: make(chan struct{}), stays: make(map[string]*stay)}
	t.running.Go(t.read)
	return t, nil
}

// read answers pings and passes acks on, until the node or close ends the connection.
func (t *tab) read() {
	defer close(t.ended)
	defer func() { _ = unix.Shutdown(t.conn.FD, unix.SHUT_RDWR) }() // it may have ended
	for {
		opcode, payload, err := t.conn.ReadFrame()
		packet := string(payload)
		switch {
		case errors.Is(err, load.ErrTimeout):
		case err != nil || opcode == load.OpClose || packet == disconnectPacket:
			return
		case packet == "2":
			_ = t.conn.WriteMessage([]byte("3")) // if this fails, reading fails next
		case strings.HasPrefix(packet, "43"):
			select {
			case t.acks <- packet:
			default:
			}
		}
	}
}

// call sends an event about a room, and reports whether the node has answered that it did as asked.
func (t *tab) call(event, room string) bool {
	t.calls++
	if t.conn.WriteMessage(fmt.Appendf(nil, `42%d[%q,{"room":%q}]`, t.calls, event, room)) != nil {
		return false
	}
	timeout := time.After(load.HandshakeTimeout)
	for {
		select {
		case packet := <-t.acks:
			if strings.HasPrefix(packet, "43"+strconv.Itoa(t.calls)+"[") {
				return strings.Contains(packet, `"ok":true`)
			}
		case <-t.ended:
			return false
		case <-timeout:
			return false
		}
	}
}

// leave disconnects the socket on purpose.
func (t *tab) leave() {
	_ = t.conn.WriteMessage([]byte(disconnectPacket)) // it may have ended
	t.close()
}

// close breaks the connection.
func (t *tab) close() {
	t.once.Do(func() {
		_ = unix.Shutdown(t.conn.FD, unix.SHUT_RDWR) // it may have ended
		t.running.Wait()
		t.conn.Close()
	})
}
