package broker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/presence"
)

// A user may have sockets at several nodes. So a page of users is the first of what all
// nodes have, and counting users takes two rounds. In the first one nodes only count. In
// the second one, those rooms that have users at several nodes are counted again by the
// digests of the users' names.

// PresentUser is a user who is there.
type PresentUser struct {
	// User is the user's name.
	User string
	// Sockets is the number of the user's sockets that are there.
	Sockets int
	// Data is that of the socket that connected last; empty for none.
	Data json.RawMessage
}

// RoomCount is how many are in a room.
type RoomCount struct {
	// Room is the room; empty for a whole namespace.
	Room string
	// Users is the number of different users, Sockets that of all sockets, including
	// those without a user.
	Users, Sockets int
}

// RoomCounts has the counts of rooms, in the order of the call.
type RoomCounts struct {
	Counts []RoomCount
	PartialResult
}

// maxDigests bounds how many digests of users one call may collect, 8 bytes each. The
// probability that two of as many users have the same digest is 10⁻⁸.
const maxDigests = 500_000

// listUsers returns a page of users on all nodes.
func (b *Broker) listUsers(ctx context.Context, query *wire.ListUsers) ([]PresentUser, PartialResult) {
	replies, partial := callAll[wire.Users](ctx, b, &wire.Op{Op: &wire.Op_ListUsers{ListUsers: query}})
	for _, reply := range replies { // a node of an earlier release knows no prefix
		reply.Users = slices.DeleteFunc(reply.GetUsers(), func(u *wire.User) bool { return !strings.HasPrefix(u.GetUser(), query.GetPrefix()) })
	}
	return mergeUsers(append(replies, b.localUsers(query)), int(query.GetLimit())), partial
}

// beforePrefix returns a name that sorts before all that begin with prefix, and close to
// them. A node of an earlier release, which knows no prefix, begins there.
func beforePrefix(prefix string) string {
	last, size := utf8.DecodeLastRuneInString(prefix)
	if size == 0 || last == 0 || last == utf8.RuneError {
		return ""
	}
	last--
	if utf16.IsSurrogate(last) {
		last = 0xD7FF
	}
	return prefix[:len(prefix)-size] + string(last) + strings.Repeat(string(utf8.MaxRune), 8)
}

// localUsers returns a page of the users of this node.
func (b *Broker) localUsers(q *wire.ListUsers) *wire.Users {
	list := &wire.Users{}
	ns, ok := b.namespaces[q.GetNamespace()]
	if !ok {
		return list
	}
	for _, u := range ns.index.Users(q.GetRoom(), q.GetPrefix(), q.GetAfter(), int(q.GetLimit())) {
		w := &wire.User{User: u.User}
		for _, s := range u.Members {
			if s.isShadow() { // the node that has it counts it
				continue
			}
			w.Sockets++
			if connected := s.connectTime.UnixNano(); !q.GetNamesOnly() && connected >= w.GetConnectedUnixNs() {
				w.ConnectedUnixNs, w.Data = connected, s.shownData()
			}
		}
		list.Users = append(list.Users, w)
	}
	return list
}

// socketsIn returns the sockets of this node that are in a room, or in the namespace if
// room is empty.
func (b *Broker) socketsIn(namespace, room string) []*socket {
	ns, ok := b.namespaces[namespace]
	switch {
	case !ok:
		return nil
	case room == "":
		return ns.index.Select(nil, Target{Everyone: true})
	}
	return ns.index.InRoom(room)
}

// mergeUsers returns the first users of several nodes, ordered by name.
func mergeUsers(parts []*wire.Users, limit int) []PresentUser {
	merged := make(map[string]*wire.User)
	for _, part := range parts {
		for _, u := range part.GetUsers() {
			if m := merged[u.GetUser()]; m != nil {
				m.Sockets += u.GetSockets()
				if u.GetConnectedUnixNs() > m.GetConnectedUnixNs() {
					m.ConnectedUnixNs, m.Data = u.GetConnectedUnixNs(), u.GetData()
				}
			} else {
				merged[u.GetUser()] = u
			}
		}
	}
	users := make([]PresentUser, 0, len(merged))
	for _, u := range merged {
		// A user whose only socket is just moving between nodes has none at either.
		users = append(users, PresentUser{User: u.GetUser(), Sockets: max(int(u.GetSockets()), 1), Data: u.GetData()})
	}
	slices.SortFunc(users, func(a, b PresentUser) int { return cmp.Compare(a.User, b.User) })
	return users[:min(len(users), limit)]
}

// countUsers counts the users and sockets of rooms on all nodes; an empty name stands for
// the namespace. The error is a *[Error].
func (b *Broker) countUsers(ctx context.Context, namespace string, rooms []string) (RoomCounts, error) {
	query := &wire.CountUsers{Namespace: namespace, Rooms: rooms}
	parts, partial := b.countAll(ctx, query)
	result := RoomCounts{Counts: make([]RoomCount, len(rooms)), PartialResult: partial}
	var shared []string  // rooms with users at several nodes
	var positions []int  // of these
	digests := uint64(0) // that they have
	for i, name := range rooms {
		c, nodes := RoomCount{Room: name}, 0
		for _, part := range parts {
			there := part.GetCounts()[i]
			c.Sockets += int(there.GetSockets())
			c.Users += int(there.GetUsers())
			if there.GetUsers() > 0 {
				nodes++
			}
		}
		result.Counts[i] = c
		if nodes > 1 {
			shared, positions, digests = append(shared, name), append(positions, i), digests+uint64(c.Users) //nolint:gosec // it isn't negative
		}
	}
	if len(shared) == 0 {
		return result, nil
	}
	if digests > maxDigests {
		return RoomCounts{}, &Error{
			Code: CodeResourceExhausted, Reason: ReasonTooManyUsers,
			Message: fmt.Sprintf("the rooms have about %d users at several nodes, and at most %d can be counted in one call; count fewer rooms, or list the users", digests, maxDigests),
		}
	}
	query = &wire.CountUsers{Namespace: namespace, Rooms: shared, Digests: true, Seed: rand.Uint64()} //nolint:gosec // nobody can know it in advance
	parts, missing := b.countAll(ctx, query)
	for i := range shared {
		c := &result.Counts[positions[i]]
		c.Sockets, c.Users = countDigests(parts, i)
	}
	result.Partial = result.Partial || missing.Partial
	for _, node := range missing.Missing {
		if !slices.Contains(result.Missing, node) {
			result.miss(node)
		}
	}
	return result, nil
}

// countAll returns the counts of all nodes.
func (b *Broker) countAll(ctx context.Context, q *wire.CountUsers) ([]*wire.UserCounts, PartialResult) {
	replies, partial := callAll[wire.UserCounts](ctx, b, &wire.Op{Op: &wire.Op_CountUsers{CountUsers: q}})
	complete := slices.DeleteFunc(replies, func(part *wire.UserCounts) bool { return len(part.GetCounts()) != len(q.GetRooms()) })
	partial.Partial = partial.Partial || len(complete) < len(replies)
	return append(complete, b.countLocalUsers(q)), partial
}

// countDigests adds up one room of several nodes. A user with sockets at several of them
// counts once.
func countDigests(parts []*wire.UserCounts, room int) (sockets, users int) {
	var all []uint64
	for _, part := range parts {
		c := part.GetCounts()[room]
		sockets += int(c.GetSockets())
		all = append(all, c.GetDigests()...)
	}
	slices.Sort(all)
	return sockets, len(slices.Compact(all))
}

// countLocalUsers counts the users and sockets of this node.
func (b *Broker) countLocalUsers(q *wire.CountUsers) *wire.UserCounts {
	counts := &wire.UserCounts{Counts: make([]*wire.UserCount, len(q.GetRooms()))}
	ns := b.namespaces[q.GetNamespace()]
	for i, name := range q.GetRooms() {
		c := &wire.UserCount{}
		counts.Counts[i] = c
		if ns == nil {
			continue
		}
		sockets, users := ns.index.CountUsers(name)
		if q.GetDigests() || b.takingOver.any() {
			members := b.socketsIn(ns.name, name)
			if q.GetDigests() {
				c.Digests = userDigests(members, q.GetSeed())
			}
			// A shadow counts at the node that has the socket.
			sockets = len(slices.DeleteFunc(members, (*socket).isShadow))
		}
		c.Sockets, c.Users = uint32(sockets), uint32(users) //nolint:gosec // bounded by file descriptors
	}
	return counts
}

// userDigests returns a digest of the name of each user, some of them repeatedly. They
// depend on the seed, so that nobody can choose names with the same one.
func userDigests(sockets []*socket, seed uint64) []uint64 {
	digests := make([]uint64, 0, len(sockets))
	input := binary.LittleEndian.AppendUint64(nil, seed)
	for _, s := range sockets {
		if s.user != "" {
			sum := sha256.Sum256(append(input, s.user...))
			digests = append(digests, binary.LittleEndian.Uint64(sum[:]))
		}
	}
	slices.Sort(digests)
	return slices.Compact(digests)
}

// findLocalUsers returns those of the users who have a socket at this node.
func (b *Broker) findLocalUsers(q *wire.FindUsers) *wire.FoundUsers {
	found := &wire.FoundUsers{}
	ns, ok := b.namespaces[q.GetNamespace()]
	if !ok {
		return found
	}
	for _, user := range q.GetUsers() {
		if len(ns.index.OfUser(user, "")) > 0 {
			found.Users = append(found.Users, user)
		}
	}
	return found
}

// roomUsers is what a client gets that asks who is in a room.
type roomUsers struct {
	Users []roomUser `json:"users"`
	// More says that there are more users than these, ordered by name.
	More bool `json:"more,omitempty"`
	// Partial says that a node didn't answer, so that users there may be missing.
	Partial bool `json:"partial,omitempty"`
}

type roomUser struct {
	User string `json:"user"`
}

// acceptedWithUsers is the answer to a join that asks who is there.
type acceptedWithUsers struct {
	OK bool `json:"ok"`
	roomUsers
}

// checkPresenceIn refuses a client that may not see who is in a room.
func (b *Broker) checkPresenceIn(s *socket, name string) *Error {
	if !b.offersPresence(name) {
		return denied(ReasonPresenceDenied, "the room %q doesn't offer presence; the operator lists the rooms that do under rooms.presence_rooms", name)
	}
	return checkPresence(s.grant(), name)
}

// usersForMember returns who is in a room that the socket has just joined.
func (b *Broker) usersForMember(s *socket, name string) roomUsers {
	c := s.client.Load()
	if c == nil { // nobody gets the answer
		return roomUsers{Users: []roomUser{}}
	}
	ctx := doneContext(c.conn.Done())
	return b.roomLists.Get(presence.Place{Namespace: s.ns.name, Room: name}, func() roomUsers {
		query := &wire.ListUsers{Namespace: s.ns.name, Room: name, Limit: maxUsersForMember + 1, NamesOnly: true}
		users, partial := b.listUsers(context.WithoutCancel(ctx), query) // others may wait for it as well
		there := roomUsers{Users: []roomUser{}, Partial: partial.Partial, More: len(users) > maxUsersForMember}
		for _, u := range users[:min(len(users), maxUsersForMember)] {
			there.Users = append(there.Users, roomUser{u.User})
		}
		return there
	})
}

// maxUsersForMember bounds the users in the answer to a join.
const maxUsersForMember = 1000
