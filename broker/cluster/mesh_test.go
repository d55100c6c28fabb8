package cluster_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
)

// If messages are lost, a result still has an answer of or the name of every node, in time, and
// none twice.
func TestLossyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := clustertest.NewExchange()
		all := make([]*clustertest.Node, 4)
		for i := range all {
			bus := &clustertest.Lossy{Bus: x.Bus(), Loss: 0.1, Random: rand.New(rand.NewPCG(uint64(i), 3))}
			// Heartbeats get lost, too. That isn't the subject here.
			all[i] = clustertest.StartNode(t, cluster.Options{Bus: bus, DeadAfter: time.Hour})
		}
		<-time.After(time.Minute)
		room := cluster.RoomTopic("/", "lobby")
		for _, node := range all {
			node.AwaitNodes(all...)
			node.Join(room)
		}
		partial := 0
		for i := range 500 {
			ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
			start := time.Now()
			var result cluster.Result
			var err error
			if i%2 == 0 {
				result, err = all[0].CallAll(ctx, nil)
			} else {
				result, err = all[0].PublishAndWait(ctx, cluster.Route{Topic: room}, nil)
			}
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			answered := make(map[cluster.NodeID]int)
			for _, reply := range result.Replies {
				answered[reply.Node]++
			}
			// The echo of the caller itself may be lost, too. Then one more is missing than there
			// are.
			if missing := len(result.Missing) + result.Unnamed; len(answered) != len(result.Replies) ||
				len(answered)+missing < 3 || len(answered)+missing > 4 {
				t.Fatalf("%d of 3 nodes answered, %d are missing", len(answered), missing)
			}
			if took := time.Since(start); took > 250*time.Millisecond {
				t.Fatalf("it took %v", took)
			}
			if result.Partial() {
				partial++
			}
		}
		if partial == 0 || partial == 500 {
			t.Errorf("%d of 500 were partial: the test shows nothing", partial)
		}
	})
}

// The messages that wait for a stuck bus are bounded. Further ones are refused.
func TestSlowBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := clustertest.NewExchange()
		a, b := start(t, x), start(t, x)
		<-a.Ready()
		<-b.Ready()
		room := cluster.RoomTopic("/", "lobby")
		b.Join(room)
		synctest.Wait()
		a.bus.Freeze()
		accepted := 0
		payload := make([]byte, 1<<20)
		for ; ; accepted++ {
			err := a.Publish(cluster.Route{Topic: room}, payload)
			if errors.Is(err, cluster.ErrOverloaded) {
				break
			}
			if err != nil || accepted > 100 {
				t.Fatalf("after %d MiB: %v", accepted, err)
			}
		}
		a.bus.Thaw()
		synctest.Wait()
		if got := len(b.Deliveries()); got != accepted {
			t.Errorf("%d of %d that were accepted arrived", got, accepted)
		}
		if err := a.Publish(cluster.Route{Topic: room}, payload); err != nil {
			t.Errorf("Publish after that: %v", err)
		}
	})
}

// A node answers a bounded number of calls at once, and refuses more.
func TestBusyNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := startAll(t, clustertest.NewExchange(), 2)
		release := make(chan struct{})
		all[1].OnCall(func(context.Context, cluster.NodeID, []byte) ([]byte, error) { <-release; return nil, nil })
		results := make(chan cluster.Result)
		const calls = 100
		for i := range calls {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				result, err := all[0].CallAll(ctx, []byte(strconv.Itoa(i)))
				if err != nil {
					t.Errorf("CallAll: %v", err)
				}
				results <- result
			}()
		}
		synctest.Wait()
		close(release)
		refused := 0
		for range calls {
			if result := <-results; result.Partial() {
				refused++
			}
		}
		if refused != calls-64 || all[1].Lost(cluster.LostBusy) != refused {
			t.Errorf("%d of %d calls were refused and %d counted, want %d", refused, calls, all[1].Lost(cluster.LostBusy), calls-64)
		}
	})
}

// While no message of a node has come since the bus is back, it is missing by name: it isn't known
// whether it is subscribed.
func TestMissingAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := clustertest.NewExchange()
		freezer := &clustertest.Freezer{Bus: x.Bus()}
		a := clustertest.StartNode(t, cluster.Options{Bus: x.Bus()})
		b := clustertest.StartNode(t, cluster.Options{Bus: freezer})
		a.AwaitNodes(b)
		b.AwaitNodes(a)
		report := func(want ...cluster.NodeID) {
			t.Helper()
			synctest.Wait()
			result, err := a.PublishAndWait(t.Context(), cluster.Route{Topic: cluster.RoomTopic("/", "lobby")}, nil)
			if err != nil || !slices.Equal(result.Missing, want) || result.Partial() != (len(want) > 0) {
				t.Errorf("the report is %+v, %v; want %q missing", result, err, want)
			}
		}
		report()
		freezer.Freeze()
		x.SetDown(true)
		x.SetDown(false)
		report(b.ID())
		freezer.Thaw()
		<-time.After(2 * time.Second) // its next heartbeat
		report()
	})
}

// slowTable is a bus whose tables are read only when its channel is closed.
type slowTable struct {
	cluster.Bus
	readable chan struct{}
}

func (b *slowTable) Entries(ctx context.Context, table string) (map[string][]byte, error) {
	select {
	case <-b.readable:
		return b.Bus.Entries(ctx, table)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A node that publishes before it knows the others doesn't take the cluster for empty while they
// reconnect. If it learns of none in time, it says that it doesn't know.
func TestMissingBeforeTheOthersAreKnown(t *testing.T) {
	for name, test := range map[string]struct {
		other, learns bool
	}{
		"another node, and it learns of it":      {true, true},
		"another node, and it can't learn of it": {true, false},
		"no other node":                          {false, true},
		"no other node, which it can't learn":    {false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := clustertest.NewExchange()
				var want []cluster.NodeID
				if test.other {
					bus := x.Bus()
					other := clustertest.StartNode(t, cluster.Options{Bus: bus})
					<-time.After(time.Second)
					x.SetFault(bus, clustertest.Severed)
					want = append(want, other.ID())
				}
				slow := &slowTable{Bus: x.Bus(), readable: make(chan struct{})}
				n := clustertest.StartNode(t, cluster.Options{Bus: slow})
				synctest.Wait()
				time.AfterFunc(100*time.Millisecond, func() {
					if test.learns {
						close(slow.readable)
					}
				})
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				result, err := n.PublishAndWait(ctx, cluster.Route{Topic: cluster.RoomTopic("/", "lobby")}, nil)
				switch {
				case err != nil:
					t.Error(err)
				case test.learns && (!slices.Equal(result.Missing, want) || result.Unnamed > 0):
					t.Errorf("the report is %+v, want %q missing", result, want)
				case !test.learns && result.Unnamed == 0:
					t.Errorf("the report is %+v, want an unnamed node", result)
				}
			})
		})
	}
}
