package load

import (
	"context"
	"testing"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

func TestBurnIsAsMuchAsTheAttack(t *testing.T) {
	burn := burnOf(&job.Job{Kind: job.Hostile, Every: time.Hour}, job.Figures{job.Seconds: 2, job.Blows: 90, job.Refused: 10, job.LoadCPU: 50_000})
	if burn.Kind != job.Burn || burn.Every != 20*time.Millisecond || burn.Think != 500*time.Microsecond {
		t.Errorf("got %v of a processor every %v by a job %q", burn.Think, burn.Every, burn.Kind)
	}
}

func TestBurnTakesWhatItIsTold(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	f, err := runBurn(ctx, &job.Job{Every: 2 * time.Millisecond, Think: 5 * time.Millisecond}, func() {})
	if err != nil || f[job.LoadCPU] < micros(5*time.Millisecond) {
		t.Errorf("got %v, %v", f, err)
	}
}
