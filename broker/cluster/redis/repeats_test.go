package redis

import (
	"errors"
	"testing"
	"time"
)

func TestRepeatedErrors(t *testing.T) {
	refused, denied := errors.New("refused"), errors.New("denied")
	now := time.Now()
	var r repeats
	for i, step := range []struct {
		after time.Duration
		err   error
		want  bool
	}{
		{0, refused, true},
		{time.Second, refused, false},
		{time.Second, denied, true},
		{time.Second, refused, true},
		{repeatEvery - 1, refused, false},
		{1, refused, true},
		{repeatEvery - 1, refused, false},
	} {
		now = now.Add(step.after)
		if got := r.isNew(step.err, now); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
}
