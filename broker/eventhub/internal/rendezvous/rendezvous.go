// Package rendezvous implements rendezvous hashing (highest random weight): a key belongs to the
// candidate with the highest weight. When a candidate goes, its keys spread over all others, and no
// other key moves.
package rendezvous

// Weight returns the weight of a candidate for a key. Either of them may take several arguments:
// the result depends on all three. Nodes compare weights with each other, so the function must
// stay the same.
func Weight(a, b string, n uint64) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211 // of FNV-1a
	h := uint64(offset)
	for i := range len(a) {
		h = (h ^ uint64(a[i])) * prime
	}
	h *= prime // a zero byte between a and b
	for i := range len(b) {
		h = (h ^ uint64(b[i])) * prime
	}
	// The finish of SplitMix64. Without it similar candidates have similar weights.
	h ^= n * 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
