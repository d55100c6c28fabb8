// Package line is how the load generator tells a peer what to publish: over TCP, one message a line, the room and the
// payload (JSON without line breaks) with a tab between them. It is as cheap as it gets, so that what a peer is
// measured by is its own work.
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

// Message is what is to be published.
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

// Serve accepts one publisher after the other and calls publish, from one goroutine, with all messages that are there
// at the time: at least one. They may be kept. It returns the listener's error.
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

// read reads until there is nothing more, for which the error is io.EOF.
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

// readBatch reads a message, and then as many as are there already.
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
		ahead, _ := r.Peek(r.Buffered()) // what is buffered can be peeked at
		if bytes.IndexByte(ahead, '\n') < 0 {
			return batch, nil
		}
	}
}
