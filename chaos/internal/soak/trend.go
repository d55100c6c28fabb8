package soak

import "math"

// Trend is a straight line through values over time, by least squares.
type Trend struct {
	// Slope is how much the values grow in an hour.
	Slope float64 `json:"slope"`
	// Margin is how far the true slope may be from Slope with 95 % confidence, if the rest of the
	// values is chance.
	Margin float64 `json:"margin"`
	// Mean is the mean of the values.
	Mean float64 `json:"mean"`
}

// confidence is within how many standard errors 95 % of all samples lie.
const confidence = 1.96

// trendOf returns the trend of values at times in seconds; the zero trend for fewer than three
// values.
func trendOf(seconds, values []float64) Trend {
	n := float64(len(values))
	if n < 3 {
		return Trend{}
	}
	var t, v float64
	for i := range values {
		t += seconds[i] / n
		v += values[i] / n
	}
	var tt, tv float64
	for i := range values {
		tt += (seconds[i] - t) * (seconds[i] - t)
		tv += (seconds[i] - t) * (values[i] - v)
	}
	slope := tv / tt
	var rest float64
	for i := range values {
		d := values[i] - v - slope*(seconds[i]-t)
		rest += d * d
	}
	const hour = 3600
	return Trend{Slope: slope * hour, Margin: confidence * math.Sqrt(rest/(n-2)/tt) * hour, Mean: v}
}
