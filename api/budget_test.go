package api

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/auth"
)

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100, 10)
		first, second, third := &auth.Caller{}, &auth.Caller{}, &auth.Caller{}
		for _, step := range []struct {
			by    *auth.Caller
			bytes int64
			want  bool
		}{
			{first, 40, true},
			{first, 11, false}, // more than its share
			{second, 50, true},
			{third, 11, false}, // more than there is
			{third, 10, true},
		} {
			if got := b.try(step.by, step.bytes); got != step.want {
				t.Errorf("%d bytes: %t, want %t", step.bytes, got, step.want)
			}
		}
		taken := make(chan error)
		go func() { taken <- b.take(t.Context(), first, 10, time.Minute) }()
		synctest.Wait()
		b.give(third, 10)
		if err := <-taken; err != nil {
			t.Errorf("after room was made: %v", err)
		}
		failed := apierror.Classify(b.take(t.Context(), third, 50, time.Second))
		if failed.Code != codes.ResourceExhausted || failed.Reason != apierror.ReasonTooManyRequests || failed.Retry <= 0 {
			t.Errorf("without room: %+v", failed)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.take(ctx, third, 50, time.Second); err == nil {
			t.Error("it is taken for a call that has ended")
		}
		b.give(first, 50)
		if b.owe(second, 1); !b.owes(second) || b.owes(first) {
			t.Error("it isn't known who holds more than its share")
		}
		b.give(second, 2)
		if b.owes(second) || b.debtors.Load() != 0 {
			t.Error("who holds less than its share owes something")
		}
		b.give(second, 49)
		if b.used != 0 || len(b.of) != 0 || len(b.waiting) != 0 {
			t.Errorf("what is left: %d bytes, %d callers, %d waiting", b.used, len(b.of), len(b.waiting))
		}
	})
}

// A caller that waits for its own share keeps nobody else waiting.
func TestBudgetIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100, 10)
		greedy, other := &auth.Caller{}, &auth.Caller{}
		if !b.try(greedy, 50) {
			t.Fatal("it isn't granted")
		}
		waits := make(chan error, 1)
		go func() { waits <- b.take(t.Context(), greedy, 50, time.Minute) }()
		synctest.Wait()
		if err := b.take(t.Context(), other, 50, time.Second); err != nil {
			t.Errorf("the other: %v", err)
		}
		b.give(other, 50)
		b.give(greedy, 50)
		if err := <-waits; err != nil {
			t.Errorf("the one that waited: %v", err)
		}
	})
}
