package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/cluster/redis"
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
	if code, _, stderr := a.call(t, "rooms"); code != 0 || !strings.Contains(stderr, "sala: warning: the result is incomplete") {
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
	n.err.line(t, "can't connect to Redis; trying again", `"level":"WARN"`)
	n.err.line(t, "can pose as a node", `"level":"WARN"`)
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

// metric returns the value of a metric without labels, as text.
func (n *node) metric(t *testing.T, name string) string {
	t.Helper()
	_, body := get(t, "http://"+n.http+"/metrics", "")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// TestClusterRefused: a Redis that takes connections and refuses a part of what a node
// needs. The node finds out, says why, and is ready again when it is let.
func TestClusterRefused(t *testing.T) {
	const may = "ACL SETUSER node on >secret ~* &* +@all"
	for name, test := range map[string]struct {
		refuse, allow string
		says          string // in /readyz and in the log
		connected     string
	}{
		"PUBLISH":    {"ACL SETUSER node -publish", may, "NOPERM", "0"},
		"SUBSCRIBE":  {"ACL SETUSER node -subscribe", may, "NOPERM", "0"},
		"a channel":  {"ACL SETUSER node resetchannels &sala:node:*", may, "NOPERM", "0"},
		"SET":        {"ACL SETUSER node -set", may, "NOPERM", "1"},
		"memory":     {"CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "OOM", "1"},
		"writes":     {"CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", "NOREPLICAS", "1"},
		"a password": {"ACL SETUSER node resetpass >another", may, "WRONGPASS", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			redis := clustertest.Start(t)
			redis.Must(may)
			n := plain(t, "--redis-url", strings.Replace(redis.URL(), "//", "//node:secret@", 1), "--log-level", "info")
			ready := "http://" + n.http + "/readyz"
			eventually(t, "the node is ready", func() bool { status, _ := get(t, ready, ""); return status == http.StatusOK })
			redis.Must(test.refuse)
			if name != "a channel" { // a user that may no longer hear a channel is disconnected by Redis itself
				_, _ = redis.Do("CLIENT KILL USER node")
			}
			eventually(t, "the node isn't ready and says why", func() bool {
				status, body := get(t, ready, "")
				return status == http.StatusServiceUnavailable && strings.Contains(body, test.says) &&
					n.metric(t, "sala_cluster_connected") == test.connected
			})
			if status, body := get(t, ready+"?local=1", ""); status != http.StatusOK {
				t.Errorf("/readyz?local=1: %d %s", status, body)
			}
			n.err.line(t, test.says)
			redis.Must(test.allow)
			eventually(t, "the node is ready again", func() bool {
				status, _ := get(t, ready, "")
				return status == http.StatusOK && n.metric(t, "sala_cluster_connected") == "1"
			})
		})
	}
}

// silent is a node that says nothing but that it is there.
type silent struct{}

func (silent) Deliver(cluster.Delivery) []byte { return nil }
func (silent) Answer(context.Context, cluster.NodeID, []byte) ([]byte, error) {
	return nil, nil
}
func (silent) NodeJoined(cluster.Node) {}
func (silent) NodeLeft(cluster.Node)   {}
func (silent) NodeLost(cluster.Node)   {}
func (silent) Rejoined()               {}

// TestClusterClocks: nodes whose clocks differ can't hear each other. Each says so.
func TestClusterClocks(t *testing.T) {
	server := clustertest.Start(t)
	n := plain(t, "--redis-url", server.URL(), "--cluster-key", clusterKey)
	bus, err := redis.New(redis.Options{URL: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	other, err := cluster.New(cluster.Options{
		Bus: bus, Handler: silent{}, Keys: [][]byte{[]byte(clusterKey)},
		Now: func() time.Time { return time.Now().Add(-time.Minute) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- other.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	ready := "http://" + n.http + "/readyz"
	eventually(t, "the node isn't ready and says why", func() bool {
		status, body := get(t, ready, "")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "clock") && strings.Contains(body, "1m0s behind")
	})
	n.err.line(t, "clock", "1m0s behind", string(other.ID()))
	if code, out, _ := n.call(t, "nodes", "-o", "json"); code != 0 || !strings.Contains(out, `"partial": true`) || !strings.Contains(out, string(other.ID())) {
		t.Errorf("nodes: %d %s", code, out)
	}
	if got := n.metric(t, "sala_cluster_connected"); got != "0" {
		t.Errorf("sala_cluster_connected is %s", got)
	}
}

// TestRevokeOnReadOnlyRedis: a revocation that Redis doesn't store says so, holds at the
// nodes that are there or come meanwhile, and is stored when Redis lets it.
func TestRevokeOnReadOnlyRedis(t *testing.T) {
	server := clustertest.Start(t)
	args := []string{"--redis-url", server.URL(), "--cluster-key", clusterKey}
	first := plain(t, args...)
	eventually(t, "the node is ready", func() bool { status, _ := get(t, "http://"+first.http+"/readyz", ""); return status == http.StatusOK })
	code, out, stderr := first.call(t, "token", "ana", "-o", "json")
	var issued struct{ Token, TokenID string }
	if err := json.Unmarshal([]byte(out), &issued); code != 0 || err != nil {
		t.Fatalf("token: %d %s %s", code, out, stderr)
	}
	revoked := func(n *node) bool {
		_, _, stderr := n.call(t, "token", "verify", issued.Token)
		return strings.Contains(stderr, "TOKEN_REVOKED")
	}
	if revoked(first) {
		t.Fatal("the token is revoked before anybody has")
	}
	server.Must("CONFIG SET min-replicas-to-write 1")
	code, out, stderr = first.call(t, "token", "revoke", issued.TokenID, "-o", "json")
	if code != 0 || !strings.Contains(out, `"notStored": true`) || !strings.Contains(out, `"partial": false`) {
		t.Errorf("token revoke: %d %s %s", code, out, stderr)
	}
	if code, _, stderr = first.call(t, "token", "revoke", issued.TokenID); code != 0 || !strings.Contains(stderr, "has not stored the revocation") {
		t.Errorf("token revoke: %d %s", code, stderr)
	}
	first.err.line(t, "can't be stored for nodes that start later", "NOREPLICAS")
	if got := first.metric(t, "sala_cluster_unstored_revocations"); got != "1" {
		t.Errorf("%q revocations are unstored, want 1", got)
	}
	second := plain(t, args...)
	eventually(t, "a node that starts meanwhile knows", func() bool { return revoked(second) })
	server.Must("CONFIG SET min-replicas-to-write 0")
	for _, n := range []*node{first, second} {
		eventually(t, "it is stored", func() bool { return n.metric(t, "sala_cluster_unstored_revocations") == "0" })
		if code := n.stop(); code != 0 {
			t.Errorf("the exit code is %d", code)
		}
	}
	third := plain(t, args...)
	eventually(t, "a node that starts later knows", func() bool { return revoked(third) })
}
