package adminui

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/eventhub"
)

// shownSocket is a socket as the page gets it.
type shownSocket struct {
	ID        string    `json:"id"`
	ClientID  string    `json:"clientId"`
	Transport string    `json:"transport"`
	Nsp       string    `json:"nsp"`
	Data      shownData `json:"data"`
	Handshake handshake `json:"handshake"`
	Rooms     []string  `json:"rooms"`
}

// shownData is what the page shows as the socket's data.
type shownData struct {
	User string `json:"user,omitempty"`
	Node string `json:"node"`
	Away bool   `json:"away,omitempty"`
	// Data is what a token or a backend has attached.
	Data json.RawMessage `json:"data,omitempty"`
}

// handshake is how a socket connected. Headers and query stay empty: tokens travel in them, and
// the broker doesn't keep them.
type handshake struct {
	Address string            `json:"address"`
	Headers map[string]string `json:"headers"`
	Query   map[string]string `json:"query"`
	Issued  int64             `json:"issued"` // milliseconds since 1970
	Secure  bool              `json:"secure"`
	Time    string            `json:"time"`
	URL     string            `json:"url"`
	XDomain bool              `json:"xdomain"`
}

// updatedSocket is what may change of a socket.
type updatedSocket struct {
	ID        string    `json:"id"`
	Nsp       string    `json:"nsp"`
	Transport string    `json:"transport"`
	Data      shownData `json:"data"`
}

// socketConnected is the event that adds a socket, which is its first argument.
const socketConnected = "socket_connected"

// update is something that admins get to know.
type update struct {
	namespace string
	event     string
	args      []any
	sent      bool // by a client
}

// mirror holds the sockets as admins have been told about them. The goroutine of the feed changes
// it; its methods may be called concurrently.
type mirror struct {
	mu      sync.Mutex
	sockets map[string]*mirrored // by id
}

type mirrored struct {
	socket *eventhub.Socket // without rooms
	rooms  map[string]bool
}

func newMirror() *mirror { return &mirror{sockets: make(map[string]*mirrored)} }

// has reports whether a namespace has a socket with the id.
func (m *mirror) has(namespace, id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok := m.sockets[id]
	return ok && known.socket.Namespace == namespace
}

// sharing returns the sockets on the same connection as a socket, and itself.
func (m *mirror) sharing(id string) (all []*eventhub.Socket) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok := m.sockets[id]
	if !ok {
		return nil
	}
	client := clientID(known.socket)
	for _, other := range m.sockets {
		if clientID(other.socket) == client {
			all = append(all, other.socket)
		}
	}
	return all
}

// list returns all sockets of the namespaces that sees accepts, ordered by id.
func (m *mirror) list(sees func(namespace string) bool) []shownSocket {
	m.mu.Lock()
	defer m.mu.Unlock()
	shown := []shownSocket{}
	for _, id := range slices.Sorted(maps.Keys(m.sockets)) {
		if known := m.sockets[id]; sees(known.socket.Namespace) {
			shown = append(shown, known.shown())
		}
	}
	return shown
}

// apply changes the mirror by an event, and returns what admins get to know. An event that it has
// been told about already changes nothing.
func (m *mirror) apply(e *eventhub.Event) []update {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := shownTime(e.Time)
	switch e.Kind {
	case eventhub.Disconnect:
		return m.remove(e.Socket.ID, e.Reason, at)
	case eventhub.Message:
		return []update{{e.Namespace, "event_received", []any{e.Namespace, e.Socket.ID, shownArgs(e), at}, true}}
	case eventhub.Connect, eventhub.Away, eventhub.Resumed:
		return m.put(e.Socket, at)
	case eventhub.Join:
		return append(m.put(e.Socket, at), m.join(e.Socket.ID, e.Room, at)...)
	case eventhub.Leave:
		return m.leave(e.Socket.ID, e.Room, at)
	case eventhub.RoomOpened, eventhub.RoomClosed, eventhub.UserOnline, eventhub.UserOffline, eventhub.UserJoined, eventhub.UserLeft:
	}
	return nil
}

// reconcile makes the mirror what a list of all sockets says. Unless the list is complete, sockets
// that it lacks stay.
func (m *mirror) reconcile(list []eventhub.Socket, complete bool) (updates []update) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := shownTime(time.Now())
	listed := make(map[string]bool, len(list))
	for i := range list {
		s := &list[i]
		listed[s.ID] = true
		updates = append(updates, m.put(s, at)...)
		known := m.sockets[s.ID]
		for _, room := range slices.Sorted(maps.Keys(known.rooms)) {
			if !slices.Contains(s.Rooms, room) {
				updates = append(updates, m.leave(s.ID, room, at)...)
			}
		}
		for _, room := range s.Rooms {
			updates = append(updates, m.join(s.ID, room, at)...)
		}
	}
	if !complete {
		return updates
	}
	for _, id := range slices.Sorted(maps.Keys(m.sockets)) {
		if !listed[id] {
			updates = append(updates, m.remove(id, "", at)...)
		}
	}
	return updates
}

// put adds a socket, or changes what is known of it. m.mu is held.
func (m *mirror) put(s *eventhub.Socket, at string) []update {
	known, ok := m.sockets[s.ID]
	if !ok {
		known = &mirrored{socket: s, rooms: make(map[string]bool)}
		m.sockets[s.ID] = known
		return []update{{namespace: s.Namespace, event: socketConnected, args: []any{known.shown(), at}}}
	}
	before := known.socket
	known.socket = s
	if before.Transport == s.Transport && before.Away == s.Away && before.Node == s.Node && string(before.Data) == string(s.Data) {
		return nil
	}
	changed := updatedSocket{ID: s.ID, Nsp: s.Namespace, Transport: s.Transport, Data: dataOf(s)}
	return []update{{namespace: s.Namespace, event: "socket_updated", args: []any{changed}}}
}

// join adds a room to a socket. m.mu is held.
func (m *mirror) join(id, room, at string) []update {
	known, ok := m.sockets[id]
	if !ok || known.rooms[room] || room == id {
		return nil
	}
	known.rooms[room] = true
	return []update{roomUpdate("room_joined", known, room, at)}
}

// leave removes a room from a socket. m.mu is held.
func (m *mirror) leave(id, room, at string) []update {
	known, ok := m.sockets[id]
	if !ok || !known.rooms[room] {
		return nil
	}
	delete(known.rooms, room)
	return []update{roomUpdate("room_left", known, room, at)}
}

// remove removes a socket. The page expects that it leaves its rooms first, its own among them.
// m.mu is held.
func (m *mirror) remove(id, reason, at string) (updates []update) {
	known, ok := m.sockets[id]
	if !ok {
		return nil
	}
	delete(m.sockets, id)
	for _, room := range append(slices.Sorted(maps.Keys(known.rooms)), id) {
		updates = append(updates, roomUpdate("room_left", known, room, at))
	}
	namespace := known.socket.Namespace
	return append(updates, update{namespace: namespace, event: "socket_disconnected", args: []any{namespace, id, cmp.Or(reason, "unknown"), at}})
}

func roomUpdate(event string, known *mirrored, room, at string) update {
	namespace := known.socket.Namespace
	return update{namespace: namespace, event: event, args: []any{namespace, room, known.socket.ID, at}}
}

// shown returns the socket as the page gets it, with its own room, which the page expects.
func (k *mirrored) shown() shownSocket {
	s := k.socket
	return shownSocket{
		ID:        s.ID,
		ClientID:  clientID(s),
		Transport: s.Transport,
		Nsp:       s.Namespace,
		Data:      dataOf(s),
		Handshake: handshake{
			Address: s.Address,
			Headers: map[string]string{},
			Query:   map[string]string{},
			Issued:  s.ConnectTime.UnixMilli(),
			Time:    shownTime(s.ConnectTime),
		},
		Rooms: append([]string{s.ID}, slices.Sorted(maps.Keys(k.rooms))...),
	}
}

func dataOf(s *eventhub.Socket) shownData {
	return shownData{User: s.User, Node: s.Node, Away: s.Away, Data: s.Data}
}

// clientID names the connection of a socket. Its node and its address with the port do, since no
// other connection has both. Behind a proxy the port isn't known, and each socket counts as a
// client of its own.
func clientID(s *eventhub.Socket) string {
	at, err := netip.ParseAddrPort(s.Address)
	if err != nil || at.Port() == 0 {
		return s.ID
	}
	return s.Node + "@" + s.Address
}

// maxShownBytes bounds the arguments of an event that admins see.
const maxShownBytes = 16 << 10

// shownArgs returns the name of an event and its arguments, unless these are too large.
func shownArgs(e *eventhub.Event) any {
	args := e.Args
	if len(args) > maxShownBytes {
		return []string{e.Name, fmt.Sprintf("(%d bytes)", len(args))}
	}
	all := []any{e.Name}
	var rest []json.RawMessage
	_ = json.Unmarshal(args, &rest) // an array, or empty
	for _, arg := range rest {
		all = append(all, arg)
	}
	return all
}

// shownTime returns a time in the format of JavaScript.
func shownTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
