//go:build race

package forward_test

// modelSeeds is how many random moves are compared with the model. With many more, the
// race detector runs out of room for stacks and ends the process.
const modelSeeds = 3
