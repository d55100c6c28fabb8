// Package server runs the servers under test: processes of their own, which end with the one that has started them.
package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

const (
	// startTimeout is how long a server may take until it listens.
	startTimeout = 10 * time.Second
	// stopTimeout is how long it may take to end before it is killed.
	stopTimeout = 15 * time.Second
	// logTail is how much of a server's output is quoted if it ends.
	logTail = 600
)

// Server is a server that runs. Its methods may be called concurrently.
type Server struct {
	target  job.Target
	log     string // the file with its output
	process *os.Process
	cancel  context.CancelFunc
	ended   chan struct{} // closed when the process has ended
	code    int           // its exit code, then
}

// Start starts a server and waits until it listens. It ends with ctx, in good order. Its output is added to the log.
func Start(ctx context.Context, c *job.Command) (*Server, error) {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own descriptor
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	EndWithUs(cmd)
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	s := &Server{target: c.Target, log: c.Log, process: cmd.Process, cancel: cancel, ended: make(chan struct{})}
	s.target.PID, s.target.Log = cmd.Process.Pid, c.Log
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		s.code = cmd.ProcessState.ExitCode()
		close(s.ended)
	}()
	if err := s.ready(ctx, c); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%s did not start: %w", c.Name, err)
	}
	return s, nil
}

// EndWithUs makes a command end in good order with its context, and with this process at the latest.
func EndWithUs(cmd *exec.Cmd) {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// ready waits until the server listens everywhere and says that it is ready.
func (s *Server) ready(ctx context.Context, c *job.Command) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("it isn't ready"))
	defer cancel()
	for _, address := range c.Wait {
		if err := s.await(ctx, func() bool { return listens(ctx, address) }); err != nil {
			return err
		}
	}
	if c.Ready == "" {
		return nil
	}
	return s.await(ctx, func() bool { return answers(ctx, c.Ready) })
}

func (s *Server) await(ctx context.Context, done func() bool) error {
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for !done() {
		select {
		case <-retry.C:
		case <-s.ended:
			return fmt.Errorf("it has ended: %s", s.Tail())
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", context.Cause(ctx), s.Tail())
		}
	}
	return nil
}

func answers(ctx context.Context, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

func listens(ctx context.Context, address string) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// Target returns where the server can be reached, and its process.
func (s *Server) Target() job.Target { return s.target }

// Ended returns a channel that is closed when the process has ended.
func (s *Server) Ended() <-chan struct{} { return s.ended }

// ExitCode waits until the process has ended and returns its exit code, -1 if a signal has ended it.
func (s *Server) ExitCode() int {
	<-s.ended
	return s.code
}

// Stop ends the server in good order and waits until it is gone.
func (s *Server) Stop() {
	_ = s.process.Signal(syscall.SIGCONT) // or one that is frozen would not hear of it
	s.cancel()
	<-s.ended
}

// Kill ends the server at once and waits until it is gone.
func (s *Server) Kill() {
	_ = s.process.Kill() // unless it has ended
	<-s.ended
}

// Signal sends the process a signal.
func (s *Server) Signal(signal syscall.Signal) error { return s.process.Signal(signal) }

// Tail returns the last of what the server has said.
func (s *Server) Tail() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-logTail):]))
}

// The ports that servers get are below those that the kernel gives to connections, so that nobody has a server's port when
// it is started again.
const firstPort, lastPort = 10_000, 32_000

// FreeAddresses returns so many addresses on which nobody listens.
func FreeAddresses(n int) ([]string, error) {
	addresses := make([]string, n)
	for i := range addresses {
		listener, err := listen()
		if err != nil {
			return nil, err
		}
		defer listener.Close() // not before all are found, so that they differ
		addresses[i] = listener.Addr().String()
	}
	return addresses, nil
}

// listen listens on a free port.
func listen() (listener net.Listener, err error) {
	for range 100 {
		port := firstPort + rand.N(lastPort-firstPort)
		if listener, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return listener, nil
		}
	}
	return nil, err
}
