// Package process starts what a benchmark or a fault run consists of: the servers under test,
// Redis, and children of the load generator. All of them end with the process that started them. It
// also reads how much CPU and memory they use.
//
//	server.go   a server and its life: start, signal, stop, kill
//	target.go   where a server is reached, and its control API
//	sala.go     the command lines of Sala and Redis
//	cluster.go  a Redis and nodes that share it
//	child.go    this program in another process
//	usage.go    CPU time and resident memory
//	machine.go  what all processors do
package process

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
)

const (
	// startTimeout bounds how long a server may take until it is ready.
	startTimeout = 10 * time.Second
	// stopTimeout bounds how long a process may take to end before it is killed.
	stopTimeout = 15 * time.Second
	// logTail is how many bytes of a server's output errors quote.
	logTail = 600
)

// Command is how a server is started.
type Command struct {
	Name string   // for messages
	Path string   // of the program
	Args []string // without the program's name
	Env  []string // added to the environment
	Wait []string // the addresses on which the server listens once it has started
	// Ready is a URL that answers 200 once the server may get clients; empty if it may as soon as
	// it listens.
	Ready string
	Log   string // the file to which the server's output is appended
	// Target is where the server is reached. Its PID and its log are set when the server starts.
	Target Target
}

// Server is a running server. Its methods are safe for concurrent use.
type Server struct {
	name    string
	target  Target
	process *os.Process
	cancel  context.CancelFunc
	ended   chan struct{} // closed when the process has ended
	code    int           // its exit code, then
}

// Start starts a server and waits until it is ready. The server is stopped when ctx ends.
func Start(ctx context.Context, c *Command) (*Server, error) {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own descriptor
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	endWithParent(cmd)
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	s := &Server{name: c.Name, target: c.Target, process: cmd.Process, cancel: cancel, ended: make(chan struct{})}
	s.target.PID, s.target.Log = cmd.Process.Pid, c.Log
	go func() {
		_ = cmd.Wait() // the log says how it ended
		s.code = cmd.ProcessState.ExitCode()
		close(s.ended)
	}()
	if err := s.ready(ctx, c); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%s did not start: %w", c.Name, err)
	}
	return s, nil
}

// endWithParent makes a command get SIGTERM when its context ends, and SIGKILL when this process
// does.
func endWithParent(cmd *exec.Cmd) {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// ready waits until the server listens on all addresses and its readiness URL answers 200.
func (s *Server) ready(ctx context.Context, c *Command) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("it is not ready"))
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

// Target returns where the server is reached.
func (s *Server) Target() *Target { return &s.target }

// Ended returns a channel that is closed when the process has ended.
func (s *Server) Ended() <-chan struct{} { return s.ended }

// Err returns an error with the end of the server's output if the server has ended, and nil while it runs.
func (s *Server) Err() error {
	select {
	case <-s.ended:
		return fmt.Errorf("%s ended by itself: %s", s.name, s.Tail())
	default:
		return nil
	}
}

// ExitCode waits until the process has ended and returns its exit code, -1 if a signal has ended
// it.
func (s *Server) ExitCode() int {
	<-s.ended
	return s.code
}

// Stop sends SIGTERM, and SIGKILL if that takes too long, and waits until the server is gone.
func (s *Server) Stop() {
	_ = s.process.Signal(syscall.SIGCONT) // a process that is stopped would not get SIGTERM
	s.cancel()
	<-s.ended
}

// Kill ends the server as kill -9 does and waits until it is gone.
func (s *Server) Kill() {
	_ = s.process.Kill() // it may have ended
	<-s.ended
}

// Signal sends the process a signal.
func (s *Server) Signal(signal syscall.Signal) error { return s.process.Signal(signal) }

// Tail returns the end of the server's output.
func (s *Server) Tail() string {
	text, err := os.ReadFile(s.target.Log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-logTail):]))
}

// Servers get ports below the kernel's ephemeral range, so that no connection takes a server's port
// while the server restarts.
const firstPort, lastPort = 10_000, 32_000

// FreeAddresses returns n different addresses of the loopback interface on which nobody listens.
func FreeAddresses(n int) ([]string, error) {
	addresses := make([]string, n)
	for i := range addresses {
		listener, err := listen()
		if err != nil {
			return nil, err
		}
		defer listener.Close() // after all are found, so that they differ
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
