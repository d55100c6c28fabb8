package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster/clustertest"
)

const clusterKey = "a key of the tests' cluster, long enough"

// eventually waits until a condition that nobody announces holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatalf("waited for long enough until %s", what)
		}
	}
}

func (n *node) nodes(t *testing.T) int {
	t.Helper()
	code, out, stderr := n.call(t, "nodes")
	if code != 0 {
		t.Fatalf("nodes: %s", stderr)
	}
	return strings.Count(out, "\n") - 1
}

// TestCluster runs two nodes on a Redis, takes that away and brings it back.
func TestCluster(t *testing.T) {
	redis := clustertest.Start(t)
	args := []string{"--redis-url", redis.URL(), "--cluster-key", clusterKey}
	a, b := plain(t, args...), plain(t, args...)
	for _, n := range []*node{a, b} {
		eventually(t, "the nodes know each other", func() bool { return n.nodes(t) == 2 })
	}
	b.connect(t, "ben", "lobby")
	if code, out, stderr := a.call(t, "rooms"); code != 0 || !strings.Contains(out, "lobby  1") || stderr != "" {
		t.Errorf("rooms: %d\n%s\n%s", code, out, stderr)
	}
	if status, body := get(t, "http://"+a.http+"/readyz", ""); status != http.StatusOK {
		t.Errorf("/readyz: %d %s", status, body)
	}

	redis.Kill()
	ready := "http://" + a.http + "/readyz"
	eventually(t, "the node isn't ready", func() bool {
		status, body := get(t, ready, "")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "--redis-url")
	})
	if status, body := get(t, ready+"?local=1", ""); status != http.StatusOK {
		t.Errorf("/readyz?local=1: %d %s", status, body)
	}
	if code, _, stderr := a.call(t, "rooms"); code != 0 || !strings.Contains(stderr, "sala: warning: this is not all of it") {
		t.Errorf("rooms: %d %s", code, stderr)
	}
	if code, out, _ := a.call(t, "rooms", "-o", "json"); code != 0 || !strings.Contains(out, `"partial": true`) {
		t.Errorf("rooms as JSON: %d %s", code, out)
	}
	a.err.line(t, "disconnected from Redis", `"level":"WARN"`)

	redis.Restart()
	eventually(t, "the node is ready", func() bool { status, _ := get(t, ready, ""); return status == http.StatusOK })
	eventually(t, "all rooms are listed", func() bool {
		_, out, stderr := a.call(t, "rooms")
		return strings.Contains(out, "lobby  1") && stderr == ""
	})
	if code := b.stop(); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
	a.err.line(t, "node left")
	if n := a.nodes(t); n != 1 {
		t.Errorf("%d nodes are left", n)
	}
}

// A node starts without its Redis, says so, and finds it when it comes.
func TestClusterWithoutRedis(t *testing.T) {
	port := clustertest.FreePort(t)
	const secret = "not-to-be-seen"
	n := plain(t, "--redis-url", fmt.Sprintf("redis://:%s@127.0.0.1:%d", secret, port), "--log-level", "debug")
	n.err.line(t, "can't connect to Redis; trying on", `"level":"WARN"`)
	n.err.line(t, "can speak as a node", `"level":"WARN"`)
	if status, body := get(t, "http://"+n.http+"/readyz", ""); status != http.StatusServiceUnavailable || !strings.HasPrefix(body, "isolated: ") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	n.connect(t, "ana", "lobby")
	if code, out, _ := n.call(t, "rooms"); code != 0 || !strings.Contains(out, "lobby") {
		t.Errorf("rooms: %d %s", code, out)
	}
	if code := n.stop(); code != 0 || strings.Contains(n.err.String(), secret) {
		t.Errorf("the exit code is %d, and the log\n%s", code, n.err.String())
	}
}
