package clustertest

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Sentinels are a Redis, its replica, and three sentinels that choose the master. Servers and
// sentinels have different passwords.
type Sentinels struct {
	// Servers are the two servers. The first is the master at first.
	Servers [2]*Redis
	// Watch are the sentinels.
	Watch [3]*Redis
}

const (
	masterName       = "the-master"
	serverPassword   = "password-of-servers"
	sentinelPassword = "password-of-sentinels"
)

// StartSentinels runs them until the test ends.
func StartSentinels(t testing.TB) *Sentinels {
	t.Helper()
	s := &Sentinels{}
	auth := []string{"--requirepass", serverPassword, "--masterauth", serverPassword, "--repl-diskless-sync-delay", "0"}
	s.Servers[0] = Start(t, auth...)
	s.Servers[1] = Start(t, append(auth, "--replicaof", fmt.Sprintf("127.0.0.1 %d", s.Servers[0].Port))...)
	for i := range s.Watch {
		s.Watch[i] = startSentinel(t, s.Servers[0].Port)
	}
	for _, w := range s.Watch {
		w.await("the sentinels to know each other", func() bool {
			about, err := w.Do("INFO sentinel")
			return err == nil && strings.Contains(about, "status=ok") &&
				strings.Contains(about, fmt.Sprintf("slaves=1,sentinels=%d", len(s.Watch)))
		})
	}
	return s
}

func startSentinel(t testing.TB, master int) *Redis {
	t.Helper()
	config := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor %[1]s 127.0.0.1 %[2]d 2\nsentinel auth-pass %[1]s %[3]s\n"+
		"sentinel down-after-milliseconds %[1]s 1000\nsentinel failover-timeout %[1]s 3000\nsentinel sentinel-pass %[4]s\n",
		masterName, master, serverPassword, sentinelPassword)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &Redis{Port: FreePort(t), t: t, password: sentinelPassword}
	w.args = []string{
		config, "--sentinel", "--port", strconv.Itoa(w.Port), "--bind", "127.0.0.1", "--dir", t.TempDir(),
		"--requirepass", sentinelPassword,
	}
	t.Cleanup(w.Kill)
	w.Restart()
	return w
}

// URL returns the URL for a bus that finds the master through the sentinels.
func (s *Sentinels) URL() string {
	q := url.Values{"master_set": {masterName}, "sentinel_password": {sentinelPassword}}
	for _, w := range s.Watch[1:] {
		q.Add("addr", fmt.Sprintf("127.0.0.1:%d", w.Port))
	}
	return fmt.Sprintf("redis://:%s@127.0.0.1:%d/?%s", serverPassword, s.Watch[0].Port, q.Encode())
}

// Failover makes a sentinel replace the master by the replica, as an operator does.
func (s *Sentinels) Failover() {
	w := s.Watch[0]
	w.await("the sentinels to begin a failover", func() bool { // it fails while a server isn't ready
		_, err := w.Do("SENTINEL FAILOVER " + masterName)
		return err == nil
	})
}

// Master returns the server that is the master, also according to the sentinels; nil if there is
// none.
func (s *Sentinels) Master() *Redis {
	for _, server := range s.Servers {
		role, err := server.Do("INFO replication")
		if err == nil && strings.Contains(role, "role:master") {
			about, err := s.Watch[0].Do("INFO sentinel")
			if err == nil && strings.Contains(about, fmt.Sprintf("address=127.0.0.1:%d,", server.Port)) {
				return server
			}
		}
	}
	return nil
}

// AwaitMaster waits until a server other than before is the master, and returns it.
func (s *Sentinels) AwaitMaster(before *Redis) *Redis {
	var now *Redis
	s.Watch[0].await("another master", func() bool {
		now = s.Master()
		return now != nil && now != before
	})
	return now
}
