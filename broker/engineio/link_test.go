package engineio

import (
	"io"
	"net"
	"testing"
)

// closedAfter is a connection whose peer reads what is written, and closes before Write has returned.
type closedAfter struct {
	net.Conn
	peer net.Conn
}

func (c *closedAfter) Write(p []byte) (int, error) {
	read := make(chan error)
	go func() {
		_, err := io.ReadFull(c.peer, make([]byte, len(p)))
		read <- err
	}()
	n, err := c.Conn.Write(p)
	if failed := <-read; failed != nil {
		return n, failed
	}
	_ = c.peer.Close()
	return n, err
}

// A write succeeds if the peer has taken it, and has closed the connection at once. An error would end
// the connection before its reader has handled what the peer had sent.
func TestWriteToAPeerThatCloses(t *testing.T) {
	ours, theirs := net.Pipe()
	l := newLink(&closedAfter{ours, theirs})
	if err := l.write([]byte("last"), patience); err != nil {
		t.Error(err)
	}
	l.close(false)
}
