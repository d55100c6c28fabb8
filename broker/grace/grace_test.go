package grace

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestWait(t *testing.T) {
	for name, c := range map[string]struct {
		takes, ctx, more time.Duration
		want             bool
		after            time.Duration
	}{
		"ends by itself":          {takes: time.Second, ctx: time.Minute, more: time.Second, want: true, after: time.Second},
		"ends when it is cut off": {takes: 5 * time.Second, ctx: 4 * time.Second, more: 2 * time.Second, want: true, after: 5 * time.Second},
		"doesn't end":             {takes: time.Hour, ctx: 4 * time.Second, more: 2 * time.Second, after: 6 * time.Second},
		"had no time":             {takes: time.Hour, more: time.Second, after: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.ctx)
				defer cancel()
				begin := time.Now()
				got := Wait(ctx, c.more, func() { <-time.After(c.takes) })
				if took := time.Since(begin); got != c.want || took != c.after {
					t.Errorf("%t after %v, want %t after %v", got, took, c.want, c.after)
				}
				<-time.After(c.takes) // the abandoned goroutine ends, too
			})
		})
	}
}

func TestExtend(t *testing.T) {
	for name, c := range map[string]struct{ ctx, more, after time.Duration }{
		"of a context that ends later": {ctx: 4 * time.Second, more: time.Second, after: 5 * time.Second},
		"of one that has ended":        {more: time.Second, after: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.ctx)
				defer cancel()
				begin := time.Now()
				extended, release := Extend(ctx, c.more)
				defer release()
				<-extended.Done()
				if took := time.Since(begin); took != c.after {
					t.Errorf("it ended after %v, want %v", took, c.after)
				}
				if why := context.Cause(extended); !errors.Is(why, context.DeadlineExceeded) {
					t.Errorf("it ended because of %v", why)
				}
			})
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	extended, release := Extend(ctx, time.Hour)
	release()
	if extended.Err() == nil {
		t.Error("it goes on after its release")
	}
}
