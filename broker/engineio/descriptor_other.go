//go:build !linux

package engineio

// ownsDescriptors is false on systems where nobody has tried it.
const ownsDescriptors = false
