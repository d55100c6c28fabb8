package redishistory_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/cluster/redis"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/history/historytest"
	"github.com/salabroker/sala/broker/history/redishistory"
)

func TestMain(m *testing.M) {
	// After it is closed, the client library looks for moved slots for a moment.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

func TestOneServer(t *testing.T) {
	server := clustertest.Start(t)
	runSuite(t, []*clustertest.Redis{server}, redishistory.Options{})
}

func TestSigned(t *testing.T) {
	server := clustertest.Start(t)
	runSuite(t, []*clustertest.Redis{server}, redishistory.Options{Name: "other", Keys: [][]byte{make([]byte, 32)}})
}

func TestRedisCluster(t *testing.T) {
	runSuite(t, clustertest.StartCluster(t), redishistory.Options{})
}

func runSuite(t *testing.T, servers []*clustertest.Redis, o redishistory.Options) {
	for _, tt := range historytest.Tests() {
		t.Run(tt.Name, func(t *testing.T) {
			for _, server := range servers {
				server.Must("FLUSHALL")
			}
			tt.Run(t, newSubject(t, servers[0], o).Subject)
		})
	}
}

// subject is an engine whose time is the test's.
type subject struct {
	historytest.Subject
	engine *redishistory.Engine
	client rueidis.Client

	mu       sync.Mutex
	now      time.Time
	advanced time.Time // by the real clock, by which keys expire
}

func newSubject(t *testing.T, server *clustertest.Redis, o redishistory.Options) *subject {
	t.Helper()
	s := &subject{now: time.Now(), advanced: time.Now()}
	o.Redis.URL, o.Now, o.Window = server.URL(), s.time, historytest.Window
	s.engine = start(t, o)
	s.client = connect(t, server)
	s.Subject = historytest.Subject{
		Engine: s.engine, Now: s.time,
		Advance: func(d time.Duration) { s.advance(t, d) },
		Lose:    func(r history.Room, p historytest.Part) { s.lose(t, r, p) },

		EmptyKept: time.Minute,
	}
	return s
}

// connect returns a client of the test's own.
func connect(t *testing.T, server *clustertest.Redis) rueidis.Client {
	t.Helper()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.URL()[len("redis://"):]}, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// start starts an engine and waits until it is connected.
func start(t *testing.T, o redishistory.Options) *redishistory.Engine {
	t.Helper()
	e, err := redishistory.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	await(t, "the engine to be connected", func() bool {
		_, err := e.Read(t.Context(), history.Room{Namespace: "/", Name: "first", Messages: 1, TTL: time.Minute}, history.Query{})
		return err == nil
	})
	return e
}

// await waits for something that happens elsewhere.
func await(t *testing.T, what string, happened func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !happened() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

func (s *subject) time() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// advance lets keys expire that have not more than d to live, and shortens the life of others. The time
// since the last advance has passed for the keys already.
func (s *subject) advance(t *testing.T, d time.Duration) {
	t.Helper()
	s.mu.Lock()
	passed := time.Since(s.advanced)
	s.advanced = s.advanced.Add(passed)
	s.now = s.now.Add(passed + d)
	s.mu.Unlock()
	for _, server := range s.client.Nodes() {
		names, err := server.Do(t.Context(), server.B().Keys().Pattern("*").Build()).AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			left, err := server.Do(t.Context(), server.B().Pttl().Key(name).Build()).AsInt64()
			switch {
			case err != nil:
				t.Fatal(err)
			case left == noSuchKey: // it has expired meanwhile
			case left < 0:
				t.Fatalf("the key %q never expires", name)
			case left <= d.Milliseconds():
				err = server.Do(t.Context(), server.B().Del().Key(name).Build()).Error()
			default:
				err = server.Do(t.Context(), server.B().Pexpire().Key(name).Milliseconds(left-d.Milliseconds()).Build()).Error()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// noSuchKey is what PTTL returns for a key that doesn't exist.
const noSuchKey = -2

func (s *subject) lose(t *testing.T, r history.Room, p historytest.Part) {
	t.Helper()
	drop := s.client.B().Del().Key(s.engine.Key(r)).Build()
	if p == historytest.Entries {
		drop = s.client.B().Xtrim().Key(s.engine.Key(r)).Maxlen().Exact().Threshold("0").Build()
	}
	if err := s.client.Do(t.Context(), drop).Error(); err != nil {
		t.Fatal(err)
	}
}

// redisOptions notice everything soon.
func redisOptions(url string) redis.Options {
	return redis.Options{URL: url, Timeout: 500 * time.Millisecond, MaxBackoff: 100 * time.Millisecond}
}
