package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/zishang520/socket.io/clients/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

const (
	// maxPending is how many emits may wait for their acks. Further lines aren't read until then.
	maxPending = 1000
	// parentInterval is how often the client looks whether "sala connect" has been killed.
	parentInterval = time.Second
	// closeTimeout is how long the connection may take to close.
	closeTimeout = 2 * time.Second
)

// client is a connected client. All of its fields belong to the goroutine of [client.loop], except
// happened, through which the library's goroutines report to it.
type client struct {
	options *options
	socket  *socket.Socket
	sending sync.WaitGroup // counts what is being sent over long-polling
	out     *printer

	happened chan func() error // what the loop is to do
	done     chan struct{}     // closed when nobody receives from happened any more

	connected bool
	connects  int
	pending   int // emits without an ack
	events    int // printed
	finished  bool
}

// follow connects and prints what happens. It returns nil at the end of the input, of ctx or of
// --count events.
func follow(ctx context.Context, o *options, in io.Reader, out *printer) error {
	c := &client{options: o, out: out, happened: make(chan func() error), done: make(chan struct{})}
	begun := make(chan struct{})
	s, err := o.dial(begun, &c.sending)
	if err != nil {
		return err
	}
	c.socket = s
	c.listen()
	var lines chan typed
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !o.NoInput {
		lines = make(chan typed)
		go readLines(ctx, in, lines)
	}
	s.Connect()
	close(begun)
	err = c.loop(ctx, lines)
	close(c.done)
	c.close()
	var unreachable *unreachableError
	if errors.As(err, &unreachable) {
		return o.explain(ctx, unreachable.cause)
	}
	return err
}

// report hands the loop something to do, and waits until it has taken it: a client that prints slowly
// reads slowly.
func (c *client) report(do func() error) {
	select {
	case c.happened <- do:
	case <-c.done:
	}
}

// listen subscribes to what the library reports.
func (c *client) listen() {
	on := func(emitter interface {
		On(types.EventName, ...types.EventListener) error
	}, name types.EventName, do func(args []any) error) {
		_ = emitter.On(name, func(args ...any) { c.report(func() error { return do(args) }) })
	}
	on(c.socket, "connect", func([]any) error { return c.onConnect() })
	on(c.socket, "disconnect", c.onDisconnect)
	on(c.socket, "connect_error", c.onConnectError)
	on(c.socket.Io(), "reconnect_attempt", func(args []any) error {
		attempt, _ := first(args).(uint64)
		return c.out.print(fact{Kind: kindReconnecting, Attempt: int(attempt)}) //nolint:gosec // a small number
	})
	c.socket.OnAny(func(args ...any) { c.report(func() error { return c.onEvent(args) }) })
}

// loop does what happens until the client has finished.
func (c *client) loop(ctx context.Context, lines <-chan typed) error {
	parent := os.Getppid()
	look := time.NewTicker(parentInterval)
	defer look.Stop()
	for {
		ready := lines
		if !c.connected || c.pending >= maxPending {
			ready = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			if os.Getppid() != parent {
				return errors.New("sala connect was killed")
			}
		case do := <-c.happened:
			if err := do(); err != nil {
				return err
			}
		case line, ok := <-ready:
			if !ok {
				lines, c.finished = nil, true
				break
			}
			if err := c.send(line); err != nil {
				return err
			}
		}
		if c.finished && c.pending == 0 || c.options.Count > 0 && c.events >= c.options.Count {
			return nil
		}
	}
}

// send emits a typed line, and prints its ack.
func (c *client) send(line typed) error {
	if line.err != nil {
		return c.warn(line.err.Error())
	}
	return c.emit(line.event, line.args)
}

func (c *client) emit(event string, args []any) error {
	answered := func(answer []any, err error) {
		c.report(func() error {
			c.pending--
			f := fact{Kind: kindAck, Event: event, Args: answer}
			if err != nil {
				f.Message = "no ack: " + err.Error()
			}
			return c.out.print(f)
		})
	}
	c.pending++
	if err := c.socket.Timeout(c.options.Timeout).Emit(event, append(args, answered)...); err != nil {
		c.pending--
		return c.warn("not sent: " + err.Error())
	}
	return nil
}

func (c *client) warn(message string) error {
	return c.out.print(fact{Kind: kindWarning, Message: message})
}

func (c *client) onConnect() error {
	c.connected = true
	f := fact{Kind: kindConnect, Socket: c.socket.Id()}
	if c.connects > 0 {
		recovered := c.socket.Recovered()
		f.Recovered = &recovered
	}
	c.connects++
	if err := c.out.print(f); err != nil {
		return err
	}
	if f.Recovered != nil && *f.Recovered {
		return nil // it is still in its rooms
	}
	for _, room := range c.options.Join {
		if err := c.emit(c.options.JoinEvent, []any{map[string]any{"room": room}}); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) onDisconnect(args []any) error {
	c.connected = false
	reason, _ := first(args).(string)
	if err := c.out.print(fact{Kind: kindDisconnect, Reason: reason}); err != nil {
		return err
	}
	if !c.socket.Active() {
		return errors.New("the broker has disconnected the client")
	}
	return nil
}

// onConnectError ends a client that is refused, and one that has never been connected.
func (c *client) onConnectError(args []any) error {
	err, _ := first(args).(error)
	var refused *types.ExtendedError
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("the broker refused the client: %s", quote(refusal(refused)))
	case !c.socket.Active():
		return fmt.Errorf("the broker refused the client: %w", err)
	case c.connects == 0:
		return &unreachableError{cause: err}
	}
	return c.warn(fmt.Sprintf("can't reconnect yet: %s", quote(err.Error())))
}

// refusal returns the code and the message.
func refusal(err *types.ExtendedError) string {
	data, _ := err.Data.(map[string]any)
	if code, ok := data["code"].(string); ok {
		return code + ": " + err.Message
	}
	return err.Message
}

// onEvent prints an event, and answers it if the user wishes so.
func (c *client) onEvent(args []any) error {
	name, _ := first(args).(string)
	args = args[min(1, len(args)):]
	f := fact{Kind: kindEvent, Event: name, Args: args}
	if len(args) > 0 {
		if answer, ok := args[len(args)-1].(func([]any, error)); ok {
			f.Args, f.NeedsAck = args[:len(args)-1], true
			if err := c.answer(answer); err != nil {
				return err
			}
		}
	}
	c.events++
	return c.out.print(f)
}

func (c *client) answer(answer func([]any, error)) error {
	if len(c.options.Ack) == 0 {
		return nil
	}
	value, err := parseValues(string(c.options.Ack))
	if err != nil {
		return err
	}
	answer(value, nil)
	return nil
}

// close disconnects and waits until the connection is closed and nothing is being sent, so that the
// broker learns that the client has left on purpose.
func (c *client) close() {
	engine := c.socket.Io().Engine()
	closed := make(chan struct{})
	if engine != nil && c.connected {
		_ = engine.Once("close", func(...any) { close(closed) })
	} else {
		close(closed)
	}
	c.socket.Disconnect()
	sent := make(chan struct{})
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-closed:
	case <-timer.C:
		return
	}
	go func() {
		c.sending.Wait()
		close(sent)
	}()
	select {
	case <-sent:
	case <-timer.C:
	}
}

func first(args []any) any {
	if len(args) == 0 {
		return nil
	}
	return args[0]
}
