package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/server"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// stage is a cluster: a Redis, and servers that are one by way of it. They are this process's children.
type stage struct {
	job   *job.Job
	redis *server.Server
	nodes []*server.Server
	// open says for each server whether a load balancer would give it clients, and ready whether it has been so and is
	// still there.
	open, ready []atomic.Bool
}

// newStage starts the servers of a job.
func newStage(ctx context.Context, j *job.Job) (*stage, error) {
	if len(j.Servers) < 2 {
		return nil, errors.New("a cluster needs a Redis and servers")
	}
	n := len(j.Servers) - 1
	s := &stage{job: j, nodes: make([]*server.Server, n), open: make([]atomic.Bool, n), ready: make([]atomic.Bool, n)}
	if err := s.startRedis(ctx); err != nil {
		return nil, err
	}
	for i := range s.nodes {
		if err := s.startNode(ctx, i); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *stage) startRedis(ctx context.Context) (err error) {
	s.redis, err = server.Start(ctx, &s.job.Servers[0])
	return err
}

// startNode starts a server that isn't there, or no longer.
func (s *stage) startNode(ctx context.Context, i int) error {
	node, err := server.Start(ctx, &s.job.Servers[1+i])
	if err == nil {
		s.nodes[i] = node
		s.open[i].Store(true)
		s.ready[i].Store(true)
	}
	return err
}

// killNode ends a server at once.
func (s *stage) killNode(i int) {
	s.open[i].Store(false)
	s.ready[i].Store(false)
	s.nodes[i].Kill()
}

// stopNode ends a server in good order.
func (s *stage) stopNode(i int) {
	s.open[i].Store(false)
	s.nodes[i].Stop()
	s.ready[i].Store(false)
}

// close ends all servers.
func (s *stage) close() {
	var stopping sync.WaitGroup
	for _, node := range s.nodes {
		if node != nil {
			stopping.Go(node.Stop)
		}
	}
	stopping.Wait()
	s.redis.Stop()
}

// broken returns an error if a server has ended by itself.
func (s *stage) broken() error {
	for i, node := range s.nodes {
		select {
		case <-node.Ended():
			return fmt.Errorf("server %d ended: %s", i+1, node.Tail())
		default:
		}
	}
	return nil
}

// jobOf returns the job as if it were about one of the servers alone.
func (s *stage) jobOf(i int) *job.Job {
	j := *s.job
	j.Target = s.job.Servers[1+i].Target
	return &j
}

// control opens a connection to the control API of a server, which comes back soon after the server has.
func (s *stage) control(i int) (*grpc.ClientConn, error) {
	soon := grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond}}
	return grpc.NewClient(s.job.Servers[1+i].Target.Control,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(soon))
}

// together waits until each server of Sala says that it is one of all, and that all of them are ready.
func (s *stage) together(ctx context.Context) error {
	if s.job.Servers[1].Target.Protocol != job.Sala {
		return nil
	}
	for i := range s.nodes {
		conn, err := s.control(i)
		if err != nil {
			return err
		}
		defer conn.Close()
		for answer := (*salav1.ListNodesResponse)(nil); len(answer.GetNodes()) < len(s.nodes); {
			answer, err = salav1.NewClusterServiceClient(conn).ListNodes(authorized(ctx, s.jobOf(i)), &salav1.ListNodesRequest{}, grpc.WaitForReady(true))
			if err != nil {
				return fmt.Errorf("listing the nodes: %w", err)
			}
			if err := pause(ctx, 20*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}
