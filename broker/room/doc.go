// Package room keeps who is in which room and finds the members that a message is for.
//
// [Index] is the room index of one namespace. It holds the members by id, by user and by room,
// under one lock. A room exists from its first member to its last. No join can get lost in between:
// rooms open and close in the same step in which members join and leave. All methods that read
// return copies, so callers write messages to connections without holding the lock.
//
// [Pattern] and [Area] say which rooms a client or an API key may reach.
//
//	index.go    members join and leave rooms
//	room.go     a room, its members, and the rooms of a member
//	user.go     the members of a user
//	select.go   whom a [Target] selects
//	list.go     pages of rooms and members
//	order.go    pages of users
//	pattern.go  patterns of room names
//	area.go     a namespace, or some of its rooms
package room
