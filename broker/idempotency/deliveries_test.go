package idempotency_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/idempotency"
)

func TestDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := idempotency.NewDeliveries[int](window)
		n := 0
		once := func(node string, number, part uint64) int {
			return d.Once(idempotency.ID{Node: node, Number: number}, part, func() int { n++; return n })
		}
		for _, step := range []struct {
			node         string
			number, part uint64
			want         int
		}{{"ONE", 1, 1, 1}, {"ONE", 1, 1, 1}, {"TWO", 1, 1, 2}, {"ONE", 2, 1, 3}, {"ONE", 1, 2, 4}, {"ONE", 1, 1, 1}} {
			if got := once(step.node, step.number, step.part); got != step.want {
				t.Errorf("%+v: %d", step, got)
			}
		}
		<-time.After(window - time.Second)
		if got := once("ONE", 1, 1); got != 1 {
			t.Errorf("within the window it is delivered again: %d", got)
		}
		<-time.After(window + 2*time.Second)
		if got := once("ONE", 1, 1); got != 5 {
			t.Errorf("after two windows it isn't forgotten: %d", got)
		}
	})
}

// Many calls at once deliver a message once, and all of them get the result.
func TestDeliveriesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := idempotency.NewDeliveries[string](window)
		var delivered atomic.Int32
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				got := d.Once(idempotency.ID{Node: "ONE", Number: 1}, 1, func() string {
					delivered.Add(1)
					<-time.After(time.Second)
					return "there"
				})
				if got != "there" {
					t.Errorf("the result is %q", got)
				}
			})
		}
		all.Wait()
		if n := delivered.Load(); n != 1 {
			t.Errorf("it is delivered %d times", n)
		}
	})
}

// The memory is bounded, and the last deliveries are in it.
func TestDeliveriesBounded(t *testing.T) {
	d := idempotency.NewDeliveries[bool](window)
	fresh := func(number uint64) (fresh bool) {
		d.Once(idempotency.ID{Node: "ONE", Number: number}, 1, func() bool { fresh = true; return true })
		return fresh
	}
	const last = 400_000
	for n := range uint64(last) {
		fresh(n + 1)
	}
	if fresh(last) || fresh(last-100_000) {
		t.Error("a recent delivery is forgotten")
	}
	if !fresh(1) {
		t.Error("the first of many deliveries is still known")
	}
}
