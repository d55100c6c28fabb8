package connections

import (
	"testing"
	"time"

	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

func TestDelaysAreThoseOfStockClients(t *testing.T) {
	for attempt, most := range []time.Duration{1500 * time.Millisecond, 3 * time.Second, 5 * time.Second, 5 * time.Second} {
		for range 1000 {
			least := min(time.Duration(float64(firstDelay)*float64(uint(1)<<attempt)*(1-delaySpread)), longestDelay)
			if d := reconnectDelay(attempt); d < least || d > most {
				t.Fatalf("attempt %d: %v is not between %v and %v", attempt, d, least, most)
			}
		}
	}
}

func TestHowSoonClientsAreBack(t *testing.T) {
	r := &reconnecting{clients: make([]reconnectingClient, 200), begin: time.Now().Add(-time.Hour)}
	for i := range 199 {
		r.took = append(r.took, time.Duration(i+1)*time.Second)
	}
	f := results.Figures{}
	r.addTo(f)
	if f[figureBack99] != 198 || f[scenario.Back] < 3600 {
		t.Errorf("got %v and %v s, want 198 and an hour, since one is not connected", f[figureBack99], f[scenario.Back])
	}
}
