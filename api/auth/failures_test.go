package auth

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/api/apierror"
)

func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, wrong := newFailures(), errors.New("wrong")
		spend := func(peer string) {
			t.Helper()
			for i := range failuresAtOnce {
				if err := f.note(peer, wrong); !errors.Is(err, wrong) {
					t.Fatalf("failure %d: %v", i, err)
				}
			}
			if err := f.note(peer, wrong); apierror.Classify(err).Retry != time.Second/failuresPerSecond {
				t.Fatalf("one too many: %v", err)
			}
		}
		if err := f.check("192.0.2.1:1"); err != nil {
			t.Errorf("of an address without failures: %v", err)
		}
		spend("192.0.2.1:1")
		spend("[2001:db8::1]:1")
		for peer, blocked := range map[string]bool{
			"192.0.2.1:2": true, "[::ffff:192.0.2.1]:2": true, "192.0.2.1": true, "192.0.2.2:1": false, "192.0.2.2": false,
			"[2001:db8::ffff]:2": true, "[2001:db8:0:1::1]:1": false,
		} {
			if got := f.check(peer) != nil; got != blocked {
				t.Errorf("%s is blocked: %t, want %t", peer, got, blocked)
			}
		}
		<-time.After(time.Second)
		if f.check("192.0.2.1:1") != nil {
			t.Error("nothing is forgiven")
		}
	})
}

func TestFailuresAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, wrong := newFailures(), errors.New("wrong")
		fail := func(from, to int) (refused int) {
			for i := from; i < to; i++ {
				if err := f.note(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255), wrong); !errors.Is(err, wrong) {
					refused++
				}
			}
			return refused
		}
		if refused := fail(0, maxFailing); refused != 0 {
			t.Errorf("%d addresses are refused at their first failure", refused)
		}
		// The rest is one.
		if refused := fail(maxFailing, maxFailing+2*failuresAtOnce); refused != failuresAtOnce {
			t.Errorf("%d of the rest are refused", refused)
		}
		if len(f.from) != maxFailing {
			t.Errorf("%d addresses are remembered", len(f.from))
		}
		<-time.After(time.Minute)
		if fail(maxFailing, maxFailing+1); len(f.from) != 1 {
			t.Errorf("%d addresses are remembered when all but one have been quiet", len(f.from))
		}
	})
}
