package attacks

import (
	"context"
	"testing"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

func TestBurnConfigEqualsTheAttack(t *testing.T) {
	got := newBurnConfig(results.Figures{scenario.Seconds: 2, figureAttempts: 90, scenario.Refused: 10, scenario.LoadCPU: 50_000})
	if want := (burnConfig{Every: 20 * time.Millisecond, CPU: 500 * time.Microsecond}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestBurnTakesCPUTime(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	result, err := runBurn(ctx, burnConfig{Every: 2 * time.Millisecond, CPU: 5 * time.Millisecond}, func(any) {})
	if f, _ := result.(results.Figures); err != nil || f[scenario.LoadCPU] < load.Micros(5*time.Millisecond) {
		t.Errorf("got %v, %v", result, err)
	}
}
