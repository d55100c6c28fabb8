// Package room keeps who is where and finds whom a message is for.
//
// [Index] is the room index of one namespace: members by id, by user and by
// room, under one lock. A room is there with its first member and gone with
// its last, and there is no moment between the two in which a join can get
// lost. Everything that reads returns copies, so that messages are written to
// connections without the lock; only what has to happen in the very step in
// which a member comes is called under it.
package room
