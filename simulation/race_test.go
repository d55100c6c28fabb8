//go:build race

package simulation

// defaultSeeds is how many seeds a test run simulates. The race detector makes each of
// them slower.
const defaultSeeds = 60
