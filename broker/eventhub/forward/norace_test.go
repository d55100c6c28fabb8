//go:build !race

package forward_test

// modelSeeds is how many random moves are compared with the model.
const modelSeeds = 10
