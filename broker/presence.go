package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/grace"
	"github.com/salabroker/sala/broker/presence"
)

// UserQuery says which users [Broker.Users] lists.
type UserQuery struct {
	// Namespace is the namespace; empty means "/".
	Namespace string
	// Room limits the list to one room; empty means the whole namespace.
	Room string
	// Query limits the list to users whose name begins with it.
	Query string
	Page  Page
}

// UserList is a page of users.
type UserList struct {
	// Users are ordered by name.
	Users []PresentUser
	// Next is the token of the next page; empty on the last one.
	Next string
	PartialResult
}

// OnlineUsers has those of some users who are connected, in the order of the call.
type OnlineUsers struct {
	Users []string
	PartialResult
}

// Users lists the users in a room or a namespace, each once whatever the number of
// sockets and nodes. It may be called concurrently; the error is a *[Error].
func (b *Broker) Users(ctx context.Context, q UserQuery) (UserList, error) {
	size, after, err := q.Page.parse(pageOfUsers, 1)
	if err != nil {
		return UserList{}, err
	}
	var v violations
	validateQuery(&v, q.Query)
	if q.Room != "" {
		validateRoom(&v, "room", q.Room)
	}
	if err := v.err(); err != nil {
		return UserList{}, err
	}
	ns, err := b.namespace(q.Namespace)
	if err != nil {
		return UserList{}, err
	}
	// One entry more than the page has says whether there is a next page.
	var list UserList
	query := &wire.ListUsers{
		Namespace: ns.name, Room: q.Room, Prefix: q.Query, After: max(after[0], beforePrefix(q.Query)), Limit: uint32(size) + 1, //nolint:gosec // at most a page and one
	}
	list.Users, list.PartialResult = b.listUsers(ctx, query)
	if n := fittingUsers(list.Users[:min(len(list.Users), size)]); len(list.Users) > n {
		list.Users = list.Users[:n]
		list.Next = pageToken(pageOfUsers, list.Users[n-1].User)
	}
	return list, nil
}

// fittingUsers returns how many of the users fit a page, which stock gRPC clients accept
// only up to 4 MiB.
func fittingUsers(users []PresentUser) int {
	const overhead = 32
	size := 0
	for n, u := range users {
		size += len(u.User) + len(u.Data) + overhead
		if size > maxMessagesBytes && n > 0 {
			return n
		}
	}
	return len(users)
}

// CountUsers counts the users and sockets of up to 1000 rooms; no rooms mean the whole
// namespace, as one count. Each user of a room counts once, whatever the number of
// sockets and nodes. It may be called concurrently; the error is a *[Error]: with the
// reason TOO_MANY_USERS if rooms have members at several nodes and more than 500,000
// users together there.
func (b *Broker) CountUsers(ctx context.Context, namespace string, rooms []string) (RoomCounts, error) {
	ns, err := b.checkNamed(namespace, "rooms", rooms, validateRoom)
	if err != nil {
		return RoomCounts{}, err
	}
	if len(rooms) == 0 {
		rooms = []string{""}
	}
	return b.countUsers(ctx, ns.name, rooms)
}

// Online returns which of up to 1000 users have a socket in the namespace. It may be
// called concurrently; the error is a *[Error].
func (b *Broker) Online(ctx context.Context, namespace string, users []string) (OnlineUsers, error) {
	if len(users) == 0 {
		return OnlineUsers{}, violations{{Field: "users", Description: fmt.Sprintf("name 1 to %d users", maxTargets)}}.err()
	}
	ns, err := b.checkNamed(namespace, "users", users, validateUser)
	if err != nil {
		return OnlineUsers{}, err
	}
	query := &wire.FindUsers{Namespace: ns.name, Users: users}
	replies, partial := callAll[wire.FoundUsers](ctx, b, &wire.Op{Op: &wire.Op_FindUsers{FindUsers: query}})
	found := make(map[string]bool)
	for _, reply := range append(replies, b.findLocalUsers(query)) {
		for _, user := range reply.GetUsers() {
			found[user] = true
		}
	}
	online := OnlineUsers{PartialResult: partial}
	for _, user := range users {
		if found[user] {
			online.Users = append(online.Users, user)
		}
	}
	return online, nil
}

// checkNamed checks the names of a call and returns its namespace.
func (b *Broker) checkNamed(name, field string, names []string, check func(*violations, string, string)) (*namespace, error) {
	var v violations
	validateNames(&v, field, names, check)
	if err := v.err(); err != nil {
		return nil, err
	}
	return b.namespace(name)
}

// newPresence returns what finds out when users come and go.
func newPresence(b *Broker) *presence.Tracker {
	o := presence.Options{Self: b.id, Local: b.localPresence, Announce: b.announcePresence, Dropped: b.presenceDropped}
	if b.recovery != nil {
		o.Window = b.opts.Recovery.Window
	}
	if b.mesh != nil {
		o.Ask, o.Adopt, o.Deposit = b.askPresence, b.handOverLeaves, b.lastWill.Deposit
	}
	return presence.New(o)
}

// presenceDropped is called when too many users come and go at the same time.
func (b *Broker) presenceDropped() {
	b.metrics.presenceDropped.Inc()
	b.presenceFull.Do(func() {
		b.log.Error("too many users come and go at the same time; some changes of presence aren't announced")
	})
}

// askPresence asks the other nodes what they know of users.
func (b *Broker) askPresence(ctx context.Context, q *wire.AskPresence) (answers map[string]*wire.PresenceAnswers, complete bool) {
	op := &wire.Op{Op: &wire.Op_AskPresence{AskPresence: q}}
	result, partial := b.callOthers(ctx, everyNode(), callTimeout, op)
	answers = make(map[string]*wire.PresenceAnswers, len(result.Replies))
	for _, reply := range result.Replies {
		one := cluster.Result{Replies: []cluster.Reply{reply}}
		for _, answer := range decode[wire.PresenceAnswers](one, &partial) {
			answers[string(reply.Node)] = answer
		}
	}
	return answers, !partial.Partial
}

// handOverLeaves hands users who are awaited over to another node. A node that doesn't answer soon may
// have been killed, and there is little time, so the next one is asked besides. Several may take them.
func (b *Broker) handOverLeaves(ctx context.Context, l *wire.AdoptLeaves) bool {
	others := slices.DeleteFunc(b.mesh.Nodes()[1:], func(n cluster.Node) bool { return n.Draining })
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan error, len(others))
	next := time.NewTimer(0)
	defer next.Stop()
	for asked, failed := 0, 0; failed < len(others); {
		select {
		case <-ctx.Done():
			return false
		case err := <-answers:
			if err == nil {
				return true
			}
			failed++
			next.Reset(0)
		case <-next.C:
			if asked == len(others) {
				continue
			}
			node := others[asked].ID
			asked++
			next.Reset(adoptPatience)
			asking.Go(func() {
				notFound := &Error{Code: CodeNotFound, Reason: ReasonNodeNotFound, Message: "the node is gone"}
				answers <- b.callNode(ctx, node, &wire.Op{Op: &wire.Op_AdoptLeaves{AdoptLeaves: l}}, &wire.Count{}, notFound)
			})
		}
	}
	return false
}

// adoptPatience is after how long the next node is asked.
const adoptPatience = 50 * time.Millisecond

// announcePresence publishes that a user has come or left, to backends and to the members
// of the room.
func (b *Broker) announcePresence(c presence.Change) {
	ns, ok := b.namespaces[c.Namespace]
	if !ok {
		return
	}
	kind := eventhub.UserOnline
	switch {
	case c.Room != "" && c.Left:
		kind = eventhub.UserLeft
	case c.Room != "":
		kind = eventhub.UserJoined
	case c.Left:
		kind = eventhub.UserOffline
	}
	if b.events.Wants(kind, ns.name, "") {
		b.publishEvent(&eventhub.Event{Kind: kind, Namespace: ns.name, Room: c.Room, User: c.User, Time: c.Time})
	}
	if c.Room == "" || b.opts.Rooms.PresenceEvent == "" {
		return
	}
	state := "joined"
	if c.Left {
		state = "left"
	}
	args, _ := json.Marshal([]any{map[string]string{"room": c.Room, "user": c.User, "state": state}}) // text always encodes
	m := Message{Event: b.opts.Rooms.PresenceEvent, Args: args}
	b.identify(&m)
	event := &wire.AnnouncePresence{Namespace: ns.name, Room: c.Room, Event: messageToWire(&m)}
	op := &wire.Op{Op: &wire.Op_AnnouncePresence{AnnouncePresence: event}}
	if err := b.tell(b.nodesOf(&Target{Namespace: ns.name, Rooms: []string{c.Room}}), op); err != nil {
		b.log.Debug("other nodes miss an event about presence", "error", err) // the mesh counts it
	}
	b.applyAnnouncePresence(cluster.NodeID(b.id), event)
}

// applyAnnouncePresence sends an event about who is in a room to its members at this node
// whose tokens permit them to see that.
func (b *Broker) applyAnnouncePresence(from cluster.NodeID, a *wire.AnnouncePresence) *wire.Count {
	ns, ok := b.namespaces[a.GetNamespace()]
	if !ok {
		return &wire.Count{}
	}
	members := slices.DeleteFunc(ns.index.InRoom(a.GetRoom()), func(s *socket) bool {
		return checkPresence(s.grant(), a.GetRoom()) != nil
	})
	b.deliver(ns, members, messageFromWire(from, a.GetEvent()))
	return countOf(len(members))
}

// lostInterest describes what anybody wants to learn about lost nodes; see package
// lastwill.
func (b *Broker) lostInterest() string {
	var wanted []string
	if b.events.WantsKind(eventhub.Disconnect) {
		wanted = append(wanted, "disconnects")
	}
	for _, name := range b.namespaceNames {
		if b.tracks(name, "") {
			wanted = append(wanted, "users of "+name)
		}
		if b.tracksRooms(name) {
			wanted = append(wanted, "rooms of "+name)
		}
	}
	return strings.Join(wanted, ", ")
}

// depositedPlaces returns the users that this node deposits.
func (b *Broker) depositedPlaces() []presence.Place { return b.presence.Deposited(b.presentPlaces()) }

// placesLost is called when a node was lost that had these users.
func (b *Broker) placesLost(places []presence.Place) {
	for _, p := range places {
		if b.tracks(p.Namespace, p.Room) {
			b.presence.Lost(p)
		}
	}
}

// closePresence finds out what can be before the node ends, and hands the rest over, also if clients
// have taken all the time that there was: nobody else would find out about these users.
func (b *Broker) closePresence(ctx context.Context) {
	extended, release := grace.Extend(ctx, endGrace)
	defer release()
	limited, cancel := context.WithTimeout(extended, presenceGrace)
	defer cancel()
	b.presence.Close(limited)
}

// presenceGrace is how long that may take.
const presenceGrace = 2 * time.Second
