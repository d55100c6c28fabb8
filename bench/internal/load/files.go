package load

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/server"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// scarcity is a Files job that runs.
type scarcity struct {
	job     *job.Job
	dialer  *dialer
	watch   *watch
	figures job.Figures
}

// withFiles has a server start with so many open files and no more.
func withFiles(c job.Command, files int) job.Command {
	c.Args = append([]string{"-c", "ulimit -n " + strconv.Itoa(files) + ` && exec "$0" "$@"`, c.Path}, c.Args...)
	c.Path = "/bin/sh"
	return c
}

// runFiles has far more clients come than a server has files for, and looks at whether the control API can still be reached over new
// connections, and at what those notice who were there before.
func runFiles(ctx context.Context, j *job.Job) (job.Figures, error) {
	command := withFiles(j.Servers[0], j.Files)
	node, err := server.Start(ctx, &command)
	if err != nil {
		return nil, err
	}
	defer node.Stop()
	alone := *j
	alone.Target = node.Target()
	s := &scarcity{job: &alone, figures: job.Figures{}}
	if s.dialer, err = newDialer(alone.Target.Listen); err != nil {
		return nil, err
	}
	if s.watch, err = newWatch(ctx, s.job); err != nil {
		return nil, err
	}
	defer s.watch.pool.close()
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	f := s.figures
	s.watch.judge(f)
	for _, example := range s.watch.examples {
		slog.Warn("out of files: " + example)
	}
	f[job.Clients] = float64(j.Dropped)
	f[job.Faulty], err = faulty(s.job)
	return f, err
}

// run has the crowd come, calls while it is there, and waits until new clients get in behind it.
func (s *scarcity) run(ctx context.Context) error {
	crowd := make([]*stream, 0, s.job.Dropped)
	leave := func() {
		for _, one := range crowd {
			one.close()
		}
		crowd = nil
	}
	defer leave()
	for range s.job.Dropped {
		one, err := s.dialer.dial()
		if err != nil {
			return err
		}
		crowd = append(crowd, one)
	}
	for n := range s.job.Calls {
		s.call(ctx, uint64(n+1))
		if err := pause(ctx, s.job.Every); err != nil {
			return err
		}
	}
	if _, err := openSession(s.dialer, client{}); err == nil {
		return fmt.Errorf("the server takes clients though it has %d connections and %d files", s.job.Dropped, s.job.Files)
	}
	leave()
	begin := time.Now()
	for {
		one, err := openSession(s.dialer, client{})
		if err == nil {
			one.close()
			break
		}
		if time.Since(begin) > s.job.Patience {
			return fmt.Errorf("no client gets in any more: %w", err)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	s.figures[job.Resumed] = time.Since(begin).Seconds()
	return s.watch.settle(ctx, stopping)
}

// call emits to those who were there before, over a new connection, and asks over another one whether the server is alive.
func (s *scarcity) call(ctx context.Context, n uint64) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	begin := time.Now()
	s.figures[job.Accepted]++
	if err := s.emit(ctx, n); err != nil {
		s.refused(err)
	} else {
		s.watch.said(0, n)
	}
	if err := s.alive(ctx); err != nil {
		s.refused(err)
	}
	s.figures[job.Slowest] = max(s.figures[job.Slowest], millis(time.Since(begin)))
}

func (s *scarcity) refused(err error) {
	s.figures[job.Refused]++
	slog.Warn("out of files: " + err.Error())
}

func (s *scarcity) emit(ctx context.Context, n uint64) error {
	conn, err := dialControl(s.job)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = salav1.NewMessageServiceClient(conn).Emit(authorized(ctx, s.job), newEmit(everyone, newPayload(n<<8, 0)))
	return err
}

func (s *scarcity) alive(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.job.Target.HTTP+"/livez", nil)
	if err != nil {
		return err
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("/livez: %s", answer.Status)
	}
	return nil
}
