package clustertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// startTimeout bounds how long a server may take to answer.
const startTimeout = 20 * time.Second

// Redis is a redis-server of a test, on a free port. It keeps no data across restarts.
type Redis struct {
	// Port is its port on the loopback interface.
	Port int

	t        testing.TB
	password string
	args     []string
	process  *exec.Cmd // nil while it is down
}

// Start runs a redis-server until the test ends.
func Start(t testing.TB, args ...string) *Redis {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("redis-server is missing: run `make deps`, or install the Debian package redis-server")
	}
	r := &Redis{Port: FreePort(t), t: t}
	if i := slices.Index(args, "--requirepass"); i >= 0 {
		r.password = args[i+1]
	}
	r.args = append([]string{
		"--port", strconv.Itoa(r.Port), "--bind", "127.0.0.1", "--dir", t.TempDir(),
		"--save", "", "--appendonly", "no", "--daemonize", "no",
	}, args...)
	t.Cleanup(r.Kill)
	r.Restart()
	return r
}

// StartCluster runs a Redis Cluster of three masters until the test ends.
func StartCluster(t testing.TB) []*Redis {
	t.Helper()
	const masters, slots = 3, 16384
	nodes := make([]*Redis, masters)
	buses := make([]int, masters)
	for i := range nodes {
		buses[i] = FreePort(t)
		nodes[i] = Start(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(buses[i]))
		nodes[i].Must(fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", i*slots/masters, (i+1)*slots/masters-1))
	}
	for _, node := range nodes[1:] {
		node.Must(fmt.Sprintf("CLUSTER MEET 127.0.0.1 %d %d", nodes[0].Port, buses[0]))
	}
	AwaitCluster(nodes)
	return nodes
}

// AwaitCluster waits until all nodes of a Redis Cluster report that it works.
func AwaitCluster(nodes []*Redis) {
	for _, node := range nodes {
		node.await("the cluster to work", func() bool {
			info, err := node.Do("CLUSTER INFO")
			return err == nil && strings.Contains(info, "cluster_state:ok") &&
				strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", len(nodes)))
		})
	}
}

// FreePort returns a free port of the loopback interface. It is none of those that systems give to
// outgoing connections and to listeners on port 0, so that nothing takes it before a server has
// started, or while it is restarted.
func FreePort(t testing.TB) int {
	t.Helper()
	var err error
	for range 100 {
		port := 15_000 + rand.IntN(17_000) //nolint:gosec // it needn't be a secret
		var l net.Listener
		l, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal(err)
	return 0
}

// URL returns the server's URL.
func (r *Redis) URL() string { return fmt.Sprintf("redis://127.0.0.1:%d", r.Port) }

// Kill ends the server as kill -9 does. It does nothing if the server is down.
func (r *Redis) Kill() {
	if r.process == nil {
		return
	}
	if err := r.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.t.Errorf("kill redis-server: %v", err)
	}
	_ = r.process.Wait() // it was killed, which is an error
	r.process = nil
}

// Restart starts the server again, on the same port and without data, and waits until it answers.
func (r *Redis) Restart() {
	r.t.Helper()
	r.Kill()
	// The server outlives the test's context, which ends before the cleanups that need it.
	r.process = exec.CommandContext(context.WithoutCancel(r.t.Context()), "redis-server", r.args...) //nolint:gosec // a test's own
	if err := r.process.Start(); err != nil {
		r.t.Fatalf("redis-server: %v", err)
	}
	r.await("redis-server to answer", func() bool {
		pong, err := r.Do("PING")
		return err == nil && pong == "PONG"
	})
}

// Must is [Redis.Do] that fails the test on an error.
func (r *Redis) Must(command string) string {
	r.t.Helper()
	answer, err := r.Do(command)
	if err != nil {
		r.t.Fatalf("redis %s: %v", command, err)
	}
	return answer
}

// Do sends a command, as words separated by spaces, and returns its result, which must be a string
// or a number.
func (r *Redis) Do(command string) (string, error) {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(
		context.WithoutCancel(r.t.Context()), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.Port)))
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	in := bufio.NewReader(conn)
	if r.password != "" {
		if _, err := io.WriteString(conn, "AUTH "+r.password+"\r\n"); err != nil {
			return "", err
		}
		if _, err := in.ReadString('\n'); err != nil { // +OK; otherwise the command is refused
			return "", err
		}
	}
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		return "", err
	}
	line, err := in.ReadString('\n')
	if err != nil || len(line) < 3 {
		return "", errors.Join(errors.New("no answer"), err)
	}
	kind, text := line[0], strings.TrimRight(line[1:], "\r\n")
	switch kind {
	case '-':
		return "", errors.New(text)
	case '$':
		size, err := strconv.Atoi(text)
		if err != nil || size < 0 {
			return "", err
		}
		body := make([]byte, size)
		_, err = io.ReadFull(in, body)
		return string(body), err
	default:
		return text, nil
	}
}

// await polls until done returns true.
func (r *Redis) await(what string, done func() bool) {
	r.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(startTimeout); !done(); {
		select {
		case <-timeout:
			r.t.Fatalf("timed out waiting for %s", what)
		case <-tick.C:
		}
	}
}
