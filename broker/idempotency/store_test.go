package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/cluster/redis"
	"github.com/salabroker/sala/broker/idempotency"
)

const window = time.Minute

func TestMemory(t *testing.T) {
	testStore(t, func(t *testing.T, test func(t *testing.T, a, b idempotency.Store)) {
		synctest.Test(t, func(t *testing.T) {
			store := idempotency.NewMemory(window)
			test(t, store, store)
		})
	})
}

func TestSharedInMemory(t *testing.T) {
	testStore(t, func(t *testing.T, test func(t *testing.T, a, b idempotency.Store)) {
		synctest.Test(t, func(t *testing.T) {
			exchange := clustertest.NewExchange()
			test(t, shared(t, exchange.Bus()), shared(t, exchange.Bus()))
		})
	})
}

// shared returns the store of a node on a bus.
func shared(t *testing.T, bus cluster.Bus) idempotency.Store {
	node := clustertest.StartNode(t, cluster.Options{Bus: bus, Keys: [][]byte{[]byte("a key for tests that is long enough")}})
	<-node.Ready()
	return idempotency.NewShared(node.Mesh, window)
}

// testStore tests a store that two nodes share. run starts one in a bubble.
func testStore(t *testing.T, run func(t *testing.T, test func(t *testing.T, a, b idempotency.Store))) {
	for name, test := range map[string]func(t *testing.T, a, b idempotency.Store){
		"claims once":         testClaim,
		"records":             testRecord,
		"one of many":         testRace,
		"forgets":             testWindow,
		"tells keys apart":    testKeys,
		"keeps large results": testLarge,
	} {
		t.Run(name, func(t *testing.T) { run(t, test) })
	}
}

func TestSharedInRedis(t *testing.T) {
	server := clustertest.Start(t)
	bus := func() cluster.Bus {
		b, err := redis.New(redis.Options{URL: server.URL()})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	a, b := shared(t, bus()), shared(t, bus())
	for name, test := range map[string]func(t *testing.T, a, b idempotency.Store){
		"claims once": testClaim, "records": testRecord, "one of many": testRace, "tells keys apart": testKeys, "keeps large results": testLarge,
	} {
		t.Run(name, func(t *testing.T) {
			server.Must("FLUSHALL")
			test(t, a, b)
		})
	}
}

// numbered returns a claim with a number.
func numbered(n uint64) idempotency.Claim {
	d := idempotency.NewDigest()
	d.Text(fmt.Sprint(n))
	return idempotency.Claim{Fingerprint: d.Sum(), ID: idempotency.ID{Node: "NODENODENO", Number: n}, Time: time.UnixMilli(time.Now().UnixMilli())}
}

// claim claims a key. It returns the number of the claim that is there, or 0.
func claim(t *testing.T, s idempotency.Store, key idempotency.Key, n uint64) uint64 {
	t.Helper()
	there, found, err := s.Claim(t.Context(), key, numbered(n))
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	if found && there.Fingerprint != numbered(there.ID.Number).Fingerprint {
		t.Fatalf("the claim is %+v", there)
	}
	return there.ID.Number
}

func testClaim(t *testing.T, a, b idempotency.Store) {
	key := idempotency.Key{Namespace: "/", Text: "a"}
	if got := claim(t, a, key, 1); got != 0 {
		t.Errorf("a new key has claim %d", got)
	}
	for _, s := range []idempotency.Store{a, b} {
		if got := claim(t, s, key, 2); got != 1 {
			t.Errorf("the claim is %d, want 1", got)
		}
	}
}

func testRecord(t *testing.T, a, b idempotency.Store) {
	key := idempotency.Key{Namespace: "/", Text: "a"}
	claim(t, a, key, 1)
	for _, state := range []idempotency.State{idempotency.Incomplete, idempotency.Complete} {
		c := numbered(1)
		c.State, c.Result = state, []byte(fmt.Sprint("result", state))
		if err := b.Record(t.Context(), key, c); err != nil {
			t.Fatalf("Record: %v", err)
		}
		got, found, err := a.Claim(t.Context(), key, numbered(2))
		if err != nil || !found || got.State != state || string(got.Result) != string(c.Result) || got.ID != c.ID || !got.Time.Equal(c.Time) {
			t.Errorf("the claim is %+v, %t, %v; want %+v", got, found, err, c)
		}
	}
}

func testRace(t *testing.T, a, b idempotency.Store) {
	for round := range 20 {
		key := idempotency.Key{Namespace: "/", Text: fmt.Sprint("race", round)}
		found := make([]bool, 8)
		var all sync.WaitGroup
		for i := range found {
			all.Go(func() {
				_, ok, err := []idempotency.Store{a, b}[i%2].Claim(t.Context(), key, numbered(uint64(i)+1))
				found[i] = ok || err != nil
			})
		}
		all.Wait()
		if first := strings.Count(fmt.Sprint(found), "false"); first != 1 {
			t.Fatalf("%d of %d were first", first, len(found))
		}
	}
}

func testWindow(t *testing.T, a, b idempotency.Store) {
	key, other := idempotency.Key{Namespace: "/", Text: "a"}, idempotency.Key{Namespace: "/", Text: "b"}
	claim(t, a, key, 1)
	claim(t, a, other, 2)
	<-time.After(window / 2)
	for key, state := range map[idempotency.Key]idempotency.State{key: idempotency.Incomplete, other: idempotency.Complete} {
		c, _, err := a.Claim(t.Context(), key, numbered(3))
		c.State = state
		if err := errors.Join(err, a.Record(t.Context(), key, c)); err != nil {
			t.Fatal(err)
		}
	}
	<-time.After(window/2 - time.Second)
	if got := claim(t, b, key, 3); got != 1 {
		t.Errorf("before the end of the window the claim is %d, want 1", got)
	}
	<-time.After(time.Second)
	if got := claim(t, b, key, 4); got != 0 {
		t.Errorf("after the window the claim is %d", got)
	}
	if got := claim(t, b, other, 5); got != 2 {
		t.Errorf("the claim that was completed later is %d, want 2", got)
	}
}

func testKeys(t *testing.T, a, b idempotency.Store) {
	for i, key := range []idempotency.Key{{"/", "a"}, {"/", "A"}, {"/a", ""}, {"/chat", "a"}, {"/", "{a}"}, {"/", "a\x00b"}, {"/", strings.Repeat("k", 255)}} {
		if got := claim(t, a, key, uint64(i)+1); got != 0 {
			t.Errorf("%v has claim %d", key, got)
		}
		if got := claim(t, b, key, 100); got != uint64(i)+1 {
			t.Errorf("%v has claim %d, want %d", key, got, i+1)
		}
	}
}

func testLarge(t *testing.T, a, b idempotency.Store) {
	key := idempotency.Key{Namespace: "/", Text: "a"}
	c := numbered(1)
	c.State, c.Result = idempotency.Complete, []byte(strings.Repeat("x", 1<<20))
	if err := a.Record(t.Context(), key, c); err != nil {
		t.Fatal(err)
	}
	if got, _, err := b.Claim(t.Context(), key, numbered(2)); err != nil || string(got.Result) != string(c.Result) {
		t.Errorf("%d bytes, %v", len(got.Result), err)
	}
}

// unreadable has a value that no node has written.
type unreadable struct{}

func (unreadable) SetNew(context.Context, string, []byte, time.Duration) ([]byte, bool, error) {
	return []byte("\xff"), true, nil
}
func (unreadable) Set(context.Context, string, []byte, time.Duration) error { return nil }

func TestSharedUnreadable(t *testing.T) {
	_, found, err := idempotency.NewShared(unreadable{}, window).Claim(t.Context(), idempotency.Key{}, numbered(1))
	if found || err == nil {
		t.Errorf("found %t, %v", found, err)
	}
}
