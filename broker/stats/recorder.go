package stats

import (
	"context"
	"sync"
	"time"
)

const (
	// Step is the time between two points.
	Step = 10 * time.Second
	// Points is how many points a series has at most: an hour.
	Points = 360
	// MaxSeries bounds the series of a recorder.
	MaxSeries = 48
)

// Value is the value of a series at a point.
type Value struct {
	// Name is what the series is about, Label which of several; Label may be empty.
	Name, Label string
	Value       float64
}

// Series is a part of a series.
type Series struct {
	Name, Label string
	// Values are the values, the oldest first.
	Values []float32
}

// Recorder keeps the series of a node. The zero value is ready. Its methods may be called
// concurrently.
type Recorder struct {
	mu     sync.Mutex
	series []*series // in the order in which they have begun
	taken  int       // points so far
	end    time.Time // of the newest point
}

// series is a ring of values: the point n is at n % Points.
type series struct {
	name, label string
	ring        [Points]float32
}

// Run takes a sample every [Step] until ctx ends.
func (r *Recorder) Run(ctx context.Context, sample func(now time.Time) []Value) {
	ticker := time.NewTicker(Step)
	defer ticker.Stop()
	sample(time.Now()) // what the first point is compared with
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			r.add(now, sample(now))
		}
	}
}

// add adds a point. A series that has no value is 0 there. Series beyond [MaxSeries] are left out.
func (r *Recorder) add(now time.Time, values []Value) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.taken % Points
	r.taken++
	r.end = now
	for _, s := range r.series {
		s.ring[at] = 0
	}
	for _, v := range values {
		if s := r.seriesOf(v.Name, v.Label); s != nil {
			s.ring[at] = float32(v.Value)
		}
	}
}

// seriesOf returns a series, a new one if there is none yet; nil if there are too many. The caller
// holds mu.
func (r *Recorder) seriesOf(name, label string) *series {
	for _, s := range r.series {
		if s.name == name && s.label == label {
			return s
		}
	}
	if len(r.series) == MaxSeries {
		return nil
	}
	s := &series{name: name, label: label}
	r.series = append(r.series, s)
	return s
}

// Newest returns up to so many of the newest points of each series, and the time of the newest one;
// zero if there is none.
func (r *Recorder) Newest(points int) (all []Series, end time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := max(min(points, r.taken, Points), 0)
	for _, s := range r.series {
		values := make([]float32, n)
		for i := range values {
			values[i] = s.ring[(r.taken-n+i)%Points]
		}
		all = append(all, Series{s.name, s.label, values})
	}
	return all, r.end
}
