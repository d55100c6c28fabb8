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
	"syscall"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/server"
)

// child is this program in a process of its own, with a job of its own.
type child struct {
	cmd  *exec.Cmd
	hear func(job.Handed) // gets each event that it notes; nil if it is no backend
	// connected holds what it has said so and nobody has heard yet: at first that it is connected, later that it is so again.
	connected chan struct{}
	ended     chan struct{} // closed when it has ended and all that it noted is read

	// Of the reading goroutine until ended is closed.
	figures job.Figures // its result
	failure error       // why it ended, as far as it could say
}

// startChild starts a process and waits until it is connected. What it notes it writes at once, so none of that is lost with it.
func startChild(ctx context.Context, j job.Job, hear func(job.Handed)) (*child, error) {
	input, err := json.Marshal(&j)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, program), hear: hear, connected: make(chan struct{}, 2), ended: make(chan struct{})}
	c.cmd.Stdin, c.cmd.Stderr = bytes.NewReader(input), os.Stderr
	server.EndWithUs(c.cmd)
	output, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go c.read(output)
	select {
	case <-c.connected:
		return c, nil
	case <-c.ended:
		return nil, fmt.Errorf("a process for %s did not start: %w", j.Kind, c.failure)
	case <-time.After(max(handshakeTimeout, j.Patience)):
		c.kill()
		return nil, fmt.Errorf("a process for %s isn't connected in time", j.Kind)
	}
}

// read keeps what the process notes until it ends.
func (c *child) read(output io.Reader) {
	defer close(c.ended)
	notes := json.NewDecoder(output)
	for {
		var note job.Note
		err := notes.Decode(&note)
		switch {
		case err != nil:
			c.failure = errors.Join(c.failure, c.cmd.Wait())
			return
		case note.Error != "":
			c.failure = errors.New(note.Error)
		case note.Connected:
			c.connected <- struct{}{}
		case note.Handed != nil:
			c.hear(*note.Handed)
		case note.Figures != nil:
			c.figures = note.Figures
		}
	}
}

// kill ends the process as kill -9 does and waits until it is gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // unless it has ended
	<-c.ended
}

// end tells the process to end and returns its result.
func (c *child) end() (job.Figures, error) {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // unless it has ended
	<-c.ended
	return c.figures, c.failure
}
