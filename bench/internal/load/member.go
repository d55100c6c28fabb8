package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/server"
)

// member is a backend in a process of its own, this program's child.
type member struct {
	cmd     *exec.Cmd
	killed  time.Time     // when it was about to be; zero if it wasn't
	started chan struct{} // closed when it has subscribed
	ended   chan struct{} // closed when it has ended and all that it noted is read
	count   atomic.Int64  // how many events it was handed

	// Of the reading goroutine until ended is closed.
	handed  []job.Handed
	failure error // why it ended, as far as it could say
}

// startMember starts a backend and waits until it has subscribed. What it notes it writes at once, so none of that is lost with it.
func startMember(ctx context.Context, j job.Job) (*member, error) {
	j.Kind = job.Backend
	input, err := json.Marshal(&j)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	m := &member{cmd: exec.CommandContext(ctx, program), started: make(chan struct{}), ended: make(chan struct{})}
	m.cmd.Stdin, m.cmd.Stderr = bytes.NewReader(input), os.Stderr
	server.EndWithUs(m.cmd)
	output, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	go m.read(output)
	select {
	case <-m.started:
		return m, nil
	case <-m.ended:
		return nil, fmt.Errorf("a backend did not start: %w", m.failure)
	case <-time.After(handshakeTimeout):
		m.kill()
		return nil, errors.New("a backend has not subscribed in time")
	}
}

// read keeps what the backend notes until it ends.
func (m *member) read(output io.Reader) {
	defer close(m.ended)
	notes := json.NewDecoder(output)
	for {
		var note job.Note
		err := notes.Decode(&note)
		switch {
		case err != nil:
			m.failure = errors.Join(m.failure, m.cmd.Wait())
			return
		case note.Error != "":
			m.failure = errors.New(note.Error)
		case note.Connected:
			close(m.started)
		case note.Handed != nil:
			m.handed = append(m.handed, *note.Handed)
			m.count.Add(1)
		}
	}
}

// kill ends the backend as kill -9 does and waits until it is gone.
func (m *member) kill() {
	_ = m.cmd.Process.Kill() // unless it has ended
	<-m.ended
}

// alive returns an error if the backend has ended.
func (m *member) alive() error {
	select {
	case <-m.ended:
		return fmt.Errorf("a backend ended by itself: %w", m.failure)
	default:
		return nil
	}
}
