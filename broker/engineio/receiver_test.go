package engineio

import (
	"errors"
	"strings"
	"testing"
)

// What a client sent may be in the value of a panic, and stays out of the log.
func TestPanicsAreDescribedWithoutTheirValue(t *testing.T) {
	const secret = "what a client sent"
	for _, value := range []any{secret, errors.New(secret), []byte(secret)} {
		if got := describePanic(value); strings.Contains(got, secret) || got == "" {
			t.Errorf("%T is described as %q", value, got)
		}
	}
	defer func() {
		if got := describePanic(recover()); !strings.Contains(got, "index out of range") {
			t.Errorf("a runtime error is described as %q", got)
		}
	}()
	few := make([]int, 1)
	few[len(secret)]++
}
