package broker

// Coverage says whether all nodes of the broker have contributed to a result.
// On a single node they always have.
type Coverage struct {
	// Partial says that a node has not answered in time, or can't be reached,
	// so that its part is missing.
	Partial bool
	// Missing names the nodes that have not answered, as far as they are
	// known.
	Missing []string
}

// without notes that the answers of some nodes are missing.
func (c *Coverage) without(nodes []string) {
	if len(nodes) > 0 {
		c.Partial, c.Missing = true, append(c.Missing, nodes...)
	}
}

// Outcome counts what became of a call that changes sockets.
type Outcome struct {
	// Matched is how many sockets the call was about.
	Matched int
	// Refused is how many of them it left as they were; only of Join.
	Refused int
	Coverage
}
