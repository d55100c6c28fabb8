// Package server runs a node: its listeners, the broker behind the public listener, and the control
// API behind the others.
//
// [New] binds the listeners and builds everything, or undoes what it has done. [Server.Start]
// serves. [Server.Run] serves until its context ends, then stops the parts in reverse order.
package server
