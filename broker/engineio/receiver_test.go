package engineio

import (
	"errors"
	"strings"
	"testing"

	"github.com/salabroker/sala/broker/panics"
)

// The value of a panic may hold what a client sent, so the log doesn't show it.
func TestPanicsAreDescribedWithoutTheirValue(t *testing.T) {
	const secret = "what a client sent"
	for _, value := range []any{secret, errors.New(secret), []byte(secret)} {
		if got := panics.Describe(value); strings.Contains(got, secret) || got == "" {
			t.Errorf("%T is described as %q", value, got)
		}
	}
	defer func() {
		if got := panics.Describe(recover()); !strings.Contains(got, "index out of range") {
			t.Errorf("a runtime error is described as %q", got)
		}
	}()
	few := make([]int, 1)
	few[len(secret)]++
}
