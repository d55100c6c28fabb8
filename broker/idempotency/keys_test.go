package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/idempotency"
)

// newKeys returns keys over a store, which give each message the next number of a node.
func newKeys(store idempotency.Store, node string, change func(*idempotency.Options)) *idempotency.Keys {
	var last uint64
	var mu sync.Mutex
	o := idempotency.Options{
		Store: store, Window: window,
		NewID: func() idempotency.ID {
			mu.Lock()
			defer mu.Unlock()
			last++
			return idempotency.ID{Node: node, Number: last}
		},
		Alive: func(string) bool { return true },
	}
	if change != nil {
		change(&o)
	}
	return idempotency.NewKeys(o)
}

// sent is a message that takes a while to send.
func sent(after time.Duration, result string) idempotency.Send {
	return func(context.Context, idempotency.ID) ([]byte, bool) {
		<-time.After(after)
		return []byte(result), true
	}
}

func never(t *testing.T) idempotency.Send {
	return func(context.Context, idempotency.ID) ([]byte, bool) {
		t.Error("it is sent")
		return nil, true
	}
}

var aKey = idempotency.Key{Namespace: "/", Text: "a"}

// Repeats wait for a first call that is under way, at its node and at another, and get its result.
func TestRepeatsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := idempotency.NewMemory(window)
		nodes := []*idempotency.Keys{newKeys(store, "ONE", nil), newKeys(store, "TWO", nil)}
		var all sync.WaitGroup
		all.Go(func() {
			if _, duplicate, err := nodes[0].Do(t.Context(), "web", aKey, fingerprintOf(1, 0), sent(2*time.Second, "first")); err != nil || duplicate {
				t.Errorf("the first call: %t, %v", duplicate, err)
			}
		})
		synctest.Wait()
		for i := range 6 {
			all.Go(func() {
				result, duplicate, err := nodes[i%2].Do(t.Context(), "web", aKey, fingerprintOf(1, 0), never(t))
				if err != nil || !duplicate || string(result) != "first" {
					t.Errorf("a repeat: %q, %t, %v", result, duplicate, err)
				}
			})
		}
		all.Wait()
	})
}

// A caller's deadline ends the wait for a first call.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := idempotency.NewMemory(window)
		nodes := []*idempotency.Keys{newKeys(store, "ONE", nil), newKeys(store, "TWO", nil)}
		var first sync.WaitGroup
		first.Go(func() {
			_, _, _ = nodes[0].Do(t.Context(), "web", aKey, fingerprintOf(1, 0), sent(2*time.Second, "first"))
		})
		synctest.Wait()
		for _, node := range nodes {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, _, err := node.Do(ctx, "web", aKey, fingerprintOf(1, 0), never(t)); !errors.Is(err, idempotency.ErrInProgress) {
				t.Errorf("%v, want ErrInProgress", err)
			}
			cancel()
		}
		first.Wait()
	})
}

// A message is sent to the end although its caller has gone.
func TestCallerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newKeys(idempotency.NewMemory(window), "ONE", nil)
		ctx, cancel := context.WithCancel(t.Context())
		result, _, err := keys.Do(ctx, "web", aKey, fingerprintOf(1, 0), func(ctx context.Context, _ idempotency.ID) ([]byte, bool) {
			cancel()
			if ctx.Err() != nil {
				t.Error("the message is given up")
			}
			return []byte("sent"), true
		})
		if err != nil || string(result) != "sent" {
			t.Errorf("%q, %v", result, err)
		}
		if result, duplicate, err := keys.Do(t.Context(), "web", aKey, fingerprintOf(1, 0), never(t)); err != nil || !duplicate || string(result) != "sent" {
			t.Errorf("a repeat: %q, %t, %v", result, duplicate, err)
		}
	})
}

// A claim of a node that is gone is taken over at once, with its identity. That of a node that is
// only slow is taken over after a while.
func TestTakeOver(t *testing.T) {
	for name, alive := range map[string]bool{"gone": false, "slow": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := idempotency.NewMemory(window)
				first := idempotency.Claim{Fingerprint: fingerprintOf(1, 0), ID: idempotency.ID{Node: "ONE", Number: 7}, Time: time.Now()}
				if _, _, err := store.Claim(t.Context(), aKey, first); err != nil {
					t.Fatal(err)
				}
				keys := newKeys(store, "TWO", func(o *idempotency.Options) {
					o.Alive = func(node string) bool { return node == "ONE" && alive }
				})
				began := time.Now()
				_, duplicate, err := keys.Do(t.Context(), "web", aKey, fingerprintOf(1, 0), func(_ context.Context, id idempotency.ID) ([]byte, bool) {
					if id != first.ID {
						t.Errorf("the identity is %v, want %v", id, first.ID)
					}
					return nil, true
				})
				if err != nil || duplicate {
					t.Errorf("%t, %v", duplicate, err)
				}
				if waited := time.Since(began) > time.Second; waited != alive {
					t.Errorf("it waited %v", time.Since(began))
				}
				if _, duplicate, err := keys.Do(t.Context(), "web", aKey, fingerprintOf(1, 0), never(t)); err != nil || !duplicate {
					t.Errorf("a repeat: %t, %v", duplicate, err)
				}
			})
		})
	}
}

// A node makes no more claims than its limits allow, and three quarters of them for one owner, until
// the window has passed.
func TestQuota(t *testing.T) {
	for name, change := range map[string]func(*idempotency.Options){
		"keys":  func(o *idempotency.Options) { o.MaxKeys = 4 },
		"bytes": func(o *idempotency.Options) { o.MaxBytes = 4000 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				keys := newKeys(idempotency.NewMemory(window), "ONE", change)
				result := string(make([]byte, 900))
				claim := func(owner string, i int) error {
					key := idempotency.Key{Namespace: "/", Text: fmt.Sprint(i)}
					_, _, err := keys.Do(t.Context(), owner, key, fingerprintOf(i, 0), sent(0, result))
					return err
				}
				wantFull := func(owner string) {
					t.Helper()
					if err := claim(owner, 99); !errors.Is(err, idempotency.ErrTooMany) {
						t.Errorf("%v, want ErrTooMany", err)
					}
				}
				for i := range 3 {
					if err := claim("web", i); err != nil {
						t.Fatalf("claim %d: %v", i, err)
					}
					<-time.After(time.Second)
				}
				wantFull("web")
				if err := claim("other", 3); err != nil {
					t.Errorf("of another owner: %v", err)
				}
				wantFull("other")
				<-time.After(window - 10*time.Second)
				wantFull("web")
				<-time.After(20 * time.Second)
				for i := range 3 {
					if err := claim("web", 100+i); err != nil {
						t.Errorf("after the window: %v", err)
					}
				}
			})
		})
	}
}
