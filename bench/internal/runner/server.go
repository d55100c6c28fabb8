package runner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
)

const (
	// startTimeout is how long a server may take until it listens.
	startTimeout = 10 * time.Second
	// stopTimeout is how long it may take to end before it is killed.
	stopTimeout = 5 * time.Second
	// logTail is how much of a server's output is quoted if it ends.
	logTail = 600
)

// server is a server that runs.
type server struct {
	target job.Target
	log    string // the file with its output
	cancel context.CancelFunc
	ended  chan struct{} // closed when the process has ended
}

// start starts a server and waits until it listens.
func (r *Runner) start(ctx context.Context, peer string, profile result.Profile) (*server, error) {
	at, err := freeAddresses()
	if err != nil {
		return nil, err
	}
	c := r.command(peer, at)
	if peer == Sala {
		c.args = append(c.args, profile.Args...)
	}
	log, err := os.Create(filepath.Join(r.cfg.Logs, profile.Name+"-"+peer+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own descriptor
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, c.path, c.args...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stdout, cmd.Stderr = log, log
	endWithUs(cmd)
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	s := &server{log: log.Name(), cancel: cancel, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(s.ended)
	}()
	s.target = job.Target{Protocol: c.protocol, PID: cmd.Process.Pid, Listen: at.listen, Control: at.control}
	if peer == Sala {
		s.target.HTTP, s.target.APIKey = at.http, r.apiKey
	}
	if err := s.ready(ctx, c.wait); err != nil {
		s.stop()
		return nil, fmt.Errorf("%s did not start: %w", peer, err)
	}
	return s, nil
}

// endWithUs makes a command end in good order with its context, and with this process at the latest.
func endWithUs(cmd *exec.Cmd) {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// ready waits until the server listens everywhere.
func (s *server) ready(ctx context.Context, addresses []string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("it does not listen"))
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for _, address := range addresses {
		for !listens(ctx, address) {
			select {
			case <-retry.C:
			case <-s.ended:
				return fmt.Errorf("it has ended: %s", s.tail())
			case <-ctx.Done():
				return fmt.Errorf("%w: %s", context.Cause(ctx), s.tail())
			}
		}
	}
	return nil
}

func listens(ctx context.Context, address string) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// stop ends the server and waits until it is gone.
func (s *server) stop() {
	s.cancel()
	<-s.ended
}

// tail returns the last of what the server has said.
func (s *server) tail() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-logTail):]))
}

// freeAddresses returns addresses on which nobody listens.
func freeAddresses() (addresses, error) {
	var at addresses
	for _, address := range []*string{&at.listen, &at.control, &at.http} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return at, err
		}
		defer listener.Close() // not before all are found, so that they differ
		*address = listener.Addr().String()
	}
	return at, nil
}
