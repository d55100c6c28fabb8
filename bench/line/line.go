// Package line is the protocol in which a load generator tells a server other than Sala what to
// publish: over TCP, one message a line, with a tab between the room and the payload, which is JSON
// without line breaks. The protocol is as cheap as possible, so that benchmarks measure the
// server's own work.
package line

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
)

const (
	separator = '\t'
	// bufferSize holds a whole burst, so that a peer sees it as one batch.
	bufferSize = 256 << 10
)

// Message is a payload for a room.
type Message struct {
	Room    string
	Payload []byte
}

// Append appends the message to b in the form that [Serve] reads.
func Append(b []byte, m Message) []byte {
	b = append(b, m.Room...)
	b = append(b, separator)
	b = append(b, m.Payload...)
	return append(b, '\n')
}

// Serve accepts one publisher after the other and calls publish, from one goroutine, with the
// messages that have arrived: at least one. The callee may keep them. Serve returns the listener's
// error.
func Serve(listener net.Listener, publish func([]Message)) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		err = read(bufio.NewReaderSize(conn, bufferSize), publish)
		conn.Close()
		if !errors.Is(err, io.EOF) {
			return err
		}
	}
}

// read reads until the end, where the error is io.EOF.
func read(r *bufio.Reader, publish func([]Message)) error {
	for {
		batch, err := readBatch(r)
		if len(batch) > 0 {
			publish(batch)
		}
		if err != nil {
			return err
		}
	}
}

// readBatch reads a message, and then those that have arrived already.
func readBatch(r *bufio.Reader) ([]Message, error) {
	var batch []Message
	for {
		text, err := r.ReadSlice('\n')
		if err != nil {
			return batch, err
		}
		room, payload, ok := bytes.Cut(bytes.TrimSuffix(text, []byte("\n")), []byte{separator})
		if !ok {
			return batch, errors.New("a line without a tab between room and payload")
		}
		batch = append(batch, Message{Room: string(room), Payload: bytes.Clone(payload)})
		ahead, _ := r.Peek(r.Buffered()) // it is buffered
		if bytes.IndexByte(ahead, '\n') < 0 {
			return batch, nil
		}
	}
}
