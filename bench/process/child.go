package process

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
)

// ChildArgument is the argument with which a program that calls [ServeChild] starts itself as a
// child.
const ChildArgument = "child"

// Role is what a child does with its configuration. It calls notify as it goes and returns its
// result, for which any JSON will do. A role that runs until it gets SIGTERM returns when ctx
// does.
type Role func(ctx context.Context, config json.RawMessage, notify func(note any)) (result any, err error)

// NewRole returns a role with a configuration of its own type.
func NewRole[Config any](run func(ctx context.Context, config Config, notify func(note any)) (any, error)) Role {
	return func(ctx context.Context, text json.RawMessage, notify func(any)) (any, error) {
		var config Config
		if err := json.Unmarshal(text, &config); err != nil {
			return nil, fmt.Errorf("the configuration: %w", err)
		}
		return run(ctx, config, notify)
	}
}

// Ready is the note of a child that is prepared.
type Ready struct{}

// order is what a child reads from its standard input.
type order struct {
	Role   string
	Config json.RawMessage
}

// line is what a child writes to its standard output, one object a line. A result or an error is
// the last.
type line struct {
	Ready  bool            `json:",omitempty"`
	Note   json.RawMessage `json:",omitempty"`
	Result json.RawMessage `json:",omitempty"`
	Error  string          `json:",omitempty"`
}

// ServeChild is the main function of a child: it reads an order, carries it out, and writes the
// result.
func ServeChild(ctx context.Context, in io.Reader, out io.Writer, roles map[string]Role) error {
	lines := json.NewEncoder(out)
	var failed error // writing
	write := func(l line) {
		if err := lines.Encode(l); err != nil {
			failed = err
		}
	}
	encode := func(v any) json.RawMessage {
		text, err := json.Marshal(v)
		if err != nil {
			failed = err
		}
		return text
	}
	notify := func(note any) {
		if _, ready := note.(Ready); ready {
			write(line{Ready: true})
			return
		}
		write(line{Note: encode(note)})
	}
	result, err := serve(ctx, in, roles, notify)
	if err != nil {
		write(line{Error: err.Error()})
	} else {
		write(line{Result: encode(result)})
	}
	return failed
}

func serve(ctx context.Context, in io.Reader, roles map[string]Role, notify func(any)) (any, error) {
	var o order
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return nil, fmt.Errorf("reading the order: %w", err)
	}
	role, ok := roles[o.Role]
	if !ok {
		return nil, fmt.Errorf("no such role: %q", o.Role)
	}
	return role(ctx, o.Config, notify)
}

// Child is this program in another process, for work whose CPU time or file descriptors must be its
// own. Its methods are safe for concurrent use.
type Child struct {
	role  string
	cmd   *exec.Cmd
	note  func(json.RawMessage)
	ready chan struct{} // holds each Ready that nobody has received yet
	ended chan struct{} // closed when the process has ended and all its output is read

	// The reading goroutine owns these until ended is closed.
	result json.RawMessage
	failed error
}

// StartChild starts a child in a role. Each of its notes goes to note, from one goroutine; nil if
// it has none. The child ends with ctx, and with this process at the latest.
func StartChild(ctx context.Context, role string, config any, note func(json.RawMessage)) (*Child, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	input, err := json.Marshal(order{Role: role, Config: text})
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &Child{
		role: role, cmd: exec.CommandContext(ctx, program, ChildArgument), note: note,
		ready: make(chan struct{}, 2), ended: make(chan struct{}),
	}
	c.cmd.Stdin, c.cmd.Stderr = bytes.NewReader(input), os.Stderr
	endWithParent(c.cmd)
	output, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go c.read(output)
	return c, nil
}

// read keeps what the child writes until it ends.
func (c *Child) read(output io.Reader) {
	defer close(c.ended)
	lines := json.NewDecoder(output)
	for {
		var l line
		err := lines.Decode(&l)
		switch {
		case err != nil:
			c.failed = errors.Join(c.failed, c.cmd.Wait())
			return
		case l.Error != "":
			c.failed = errors.New(l.Error)
		case l.Ready:
			c.ready <- struct{}{}
		case l.Note != nil:
			c.note(l.Note)
		default:
			c.result = l.Result
		}
	}
}

// Ready returns a channel that receives a value each time that the child is ready.
func (c *Child) Ready() <-chan struct{} { return c.ready }

// Ended returns a channel that is closed when the child has ended.
func (c *Child) Ended() <-chan struct{} { return c.ended }

// AwaitReady waits until the child is ready. If that takes longer than timeout it kills the child.
func (c *Child) AwaitReady(timeout time.Duration) error {
	select {
	case <-c.ready:
		return nil
	case <-c.ended:
		return fmt.Errorf("the %s process did not start: %w", c.role, c.failed)
	case <-time.After(timeout):
		c.Kill()
		return fmt.Errorf("the %s process isn't ready after %v", c.role, timeout)
	}
}

// Err returns why a child ended that nobody has ended; nil if it runs.
func (c *Child) Err() error {
	select {
	case <-c.ended:
		return fmt.Errorf("the %s process ended by itself: %w", c.role, c.failed)
	default:
		return nil
	}
}

// Wait waits until the child ends and stores its result in result.
func (c *Child) Wait(result any) error {
	<-c.ended
	if c.failed != nil {
		return c.failed
	}
	if c.result == nil {
		return fmt.Errorf("the %s process ended without a result", c.role)
	}
	return json.Unmarshal(c.result, result)
}

// Stop sends the child SIGTERM and stores its result in result.
func (c *Child) Stop(result any) error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	return c.Wait(result)
}

// Kill ends the child as kill -9 does and waits until it is gone.
func (c *Child) Kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.ended
}
