// Package roomlist lists the rooms of a cluster that a search finds, or that have the most members.
//
// Each node has its rooms in the order of their names. [Collect] merges these, slice by slice, so
// that it knows the members of a room at all nodes when it comes to the room, and never holds more
// than a slice of each node and the rooms of the list.
package roomlist
