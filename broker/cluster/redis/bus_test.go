package redis_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/cluster/redis"
)

func TestBus(t *testing.T) { clustertest.TestBus(t, single) }

func TestMesh(t *testing.T) { clustertest.TestMesh(t, single) }

// Runs both suites on one Redis Cluster.
func TestRedisCluster(t *testing.T) {
	servers := clustertest.StartCluster(t)
	network := sharded(servers)
	t.Run("bus", func(t *testing.T) { clustertest.TestBus(t, network) })
	t.Run("mesh", func(t *testing.T) { clustertest.TestMesh(t, network) })
	t.Run("listen", func(t *testing.T) { testListen(t, servers) })
}

func TestListen(t *testing.T) { testListen(t, []*clustertest.Redis{clustertest.Start(t)}) }

// Publications at any server, on a channel that matches, arrive in order, also after the servers
// were gone.
func testListen(t *testing.T, servers []*clustertest.Redis) {
	b, err := redis.New(redis.Options{URL: servers[0].URL()})
	if err != nil {
		t.Fatal(err)
	}
	in := listener{heard: make(chan string, 100), states: make(chan cluster.State, 100)}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.Listen(ctx, []string{"socket.io#*", "other?"}, in) }()
	defer func() { stop(); <-done }()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-in.heard:
			if got != want {
				t.Errorf("heard was %q, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%q isn't heard", want)
		}
	}
	for range 2 {
		in.await(t, cluster.Connected)
		for _, server := range servers {
			for _, channel := range []string{"socket.io#/#", "socket.i", "other1", "other11", "socket.io#/#room#"} {
				server.Must("PUBLISH " + channel + " hello")
			}
			expect("socket.io#/# hello")
			expect("other1 hello")
			expect("socket.io#/#room# hello")
		}
		for _, server := range servers {
			server.Kill()
		}
		in.await(t, cluster.Disconnected)
		for _, server := range servers {
			server.Restart()
		}
		if len(servers) > 1 {
			clustertest.AwaitCluster(servers)
		}
	}
}

// listener passes messages to a test.
type listener struct {
	heard  chan string
	states chan cluster.State
}

func (l listener) Received(m cluster.Message)   { l.heard <- m.Channel + " " + string(m.Payload) }
func (l listener) StateChanged(s cluster.State) { l.states <- s }
func (l listener) Lost(int)                     {}

func (l listener) await(t *testing.T, want cluster.State) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case got := <-l.states:
			if got == want {
				return
			}
		case <-timeout:
			t.Fatalf("the listener isn't %v", want)
		}
	}
}

// single is a network with one redis-server.
func single(t *testing.T) clustertest.Network {
	server := clustertest.Start(t)
	return clustertest.Network{
		Bus: func() cluster.Bus { return bus(t, server.URL()) },
		SetDown: func(down bool) {
			if down {
				server.Kill()
			} else {
				server.Restart()
			}
		},
		Faulty: func() (cluster.Bus, func(clustertest.Fault)) {
			proxy := clustertest.StartProxy(t, server.Port)
			name := "user" + strconv.Itoa(proxy.Port)
			may := "ACL SETUSER " + name + " on >secret ~* &* +@all"
			server.Must(may)
			url := strings.Replace(proxy.URL(), "//", "//"+name+":secret@", 1)
			return bus(t, url), func(f clustertest.Fault) {
				switch f {
				case clustertest.Severed:
					proxy.Cut()
				case clustertest.Unsubscribed:
					proxy.CutReceiving()
				case clustertest.Deaf:
					proxy.StopReceiving()
				case clustertest.Stalled:
					proxy.StopPublishing()
				case clustertest.Mute:
					server.Must("ACL SETUSER " + name + " -publish")
				default:
					server.Must(may)
					proxy.Heal()
				}
			}
		},
	}
}

// sharded is a network with a Redis Cluster: one for all tests, because it takes seconds to form.
// Each test finds it empty.
func sharded(servers []*clustertest.Redis) func(*testing.T) clustertest.Network {
	return func(t *testing.T) clustertest.Network {
		for _, server := range servers {
			server.Must("FLUSHALL")
		}
		return clustertest.Network{
			Bus: func() cluster.Bus { return bus(t, servers[0].URL()) },
			SetDown: func(down bool) {
				for _, server := range servers {
					if down {
						server.Kill()
					} else {
						server.Restart()
					}
				}
				if !down {
					clustertest.AwaitCluster(servers)
				}
			},
		}
	}
}

func bus(t *testing.T, url string) cluster.Bus {
	t.Helper()
	b, err := redis.New(redis.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
