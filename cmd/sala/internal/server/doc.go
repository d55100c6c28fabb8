// Package server runs one broker: the listeners, the realtime broker behind the
// public one, and the control API behind the other two.
//
// [New] binds all listeners and builds everything, or undoes what it began.
// [Server.Start] serves. [Server.Run] serves until its context ends and then stops
// in the order opposite to the one in which things were put together.
package server
