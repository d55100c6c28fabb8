// Command floor does the least that a server can do for the benchmarks: it accepts WebSockets,
// knows which of them are in which room, and writes each frame, which it builds once, to one after
// the other, or by io_uring to many at once. It reads nothing, sends no pings, and waits for a client
// that does not read; with io_uring such a client loses messages.
package main

import (
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/salabroker/sala/bench/line"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where clients connect")
	control := flag.String("control", "127.0.0.1:0", "where messages are published")
	batched := flag.Bool("io-uring", false, "write to many connections with one system call")
	flag.Parse()
	if err := run(*listen, *control, *batched); err != nil {
		slog.Error("floor ended", "error", err)
		os.Exit(1)
	}
}

func run(listen, control string, batched bool) error {
	members, err := newRooms()
	if err != nil {
		return err
	}
	if batched {
		if members.ring, err = newRing(); err != nil {
			return err
		}
	}
	publisher, err := net.Listen("tcp", control)
	if err != nil {
		return err
	}
	server := &http.Server{
		Addr:              listen,
		Handler:           http.HandlerFunc(members.accept),
		ReadHeaderTimeout: 10 * time.Second,
	}
	ended := make(chan error, 3)
	go func() { ended <- server.ListenAndServe() }()
	go func() { ended <- members.watch() }()
	go func() { ended <- line.Serve(publisher, members.publish) }()
	return <-ended
}

// publish writes consecutive messages to the same room in one go.
func (m *rooms) publish(batch []line.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var frames []byte
	for i, message := range batch {
		frames = appendFrame(frames, message.Payload)
		if i+1 < len(batch) && batch[i+1].Room == message.Room {
			continue
		}
		if m.ring != nil {
			m.ring.send(m.members[message.Room], frames)
		} else {
			for fd := range m.members[message.Room] {
				writeAll(fd, frames)
			}
		}
		frames = frames[:0]
	}
}

// appendFrame appends the WebSocket frame of a Socket.IO event, as the Socket.IO servers send it.
func appendFrame(b, payload []byte) []byte {
	const head, tail = `42["m",`, `]`
	size := len(head) + len(payload) + len(tail)
	const finText = 0x81
	switch {
	case size < 126:
		b = append(b, finText, byte(size))
	default:
		b = append(b, finText, 126, byte(size>>8), byte(size))
	}
	b = append(b, head...)
	b = append(b, payload...)
	return append(b, tail...)
}
