// Package stats remembers what a node has measured in the last hour, for people who look at it now.
// It isn't a replacement for a monitoring system: a node forgets it when it ends.
//
// A [Recorder] takes a sample every [Step]. It holds at most [MaxSeries] series of [Points] values of
// 4 bytes each: 69 KB.
package stats
