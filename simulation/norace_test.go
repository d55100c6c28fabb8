//go:build !race

package simulation

// defaultSeeds is how many seeds a test run simulates.
const defaultSeeds = 500
