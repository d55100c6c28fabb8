package results

import "slices"

// Spread is a figure over the runs of a profile. N is the number of runs that have it.
type Spread struct {
	Median, Min, Max float64
	N                int
}

// Source says where a figure comes from.
type Source struct {
	Profile, Peer, Figure string
}

// Spread returns a figure over all its runs.
func (s *Set) Spread(from Source) Spread {
	var values []float64
	for _, value := range s.byRun(from) {
		values = append(values, value)
	}
	return newSpread(values)
}

// Ratio returns the ratio of one figure to another, over the runs that have both. It divides
// figures of the same run, since those were measured within a short time.
func (s *Set) Ratio(of, to Source) Spread {
	var ratios []float64
	base := s.byRun(to)
	for run, value := range s.byRun(of) {
		if b := base[run]; b > 0 {
			ratios = append(ratios, value/b)
		}
	}
	return newSpread(ratios)
}

func (s *Set) byRun(from Source) map[int]float64 {
	values := make(map[int]float64)
	for _, sample := range s.Samples {
		if sample.Profile != from.Profile || sample.Peer != from.Peer {
			continue
		}
		if value, ok := sample.Figures[from.Figure]; ok {
			values[sample.Run] = value
		}
	}
	return values
}

func newSpread(values []float64) Spread {
	n := len(values)
	if n == 0 {
		return Spread{}
	}
	slices.Sort(values)
	return Spread{Median: (values[(n-1)/2] + values[n/2]) / 2, Min: values[0], Max: values[n-1], N: n}
}
