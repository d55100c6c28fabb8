package broker

import (
	"encoding/json"
	"time"

	"github.com/salabroker/sala/broker/room"
)

// Page bounds a listing.
type Page struct {
	// Size is how many entries to return at the most; zero means 100.
	Size int
	// Token is what the page before returned; empty for the first page.
	Token string
}

// RoomQuery says which rooms [Broker.ListRooms] lists.
type RoomQuery struct {
	// Namespace limits the list to one namespace; empty means all.
	Namespace string
	// Prefix limits the list to rooms whose name begins with it.
	Prefix string
	// Within limits the list to rooms that one of these holds; none means all.
	Within []room.Area
	Page   Page
}

// RoomInfo is the size of a room.
type RoomInfo struct {
	Name, Namespace string
	// Sockets is how many sockets are in the room.
	Sockets int
	// Users is to how many different users they belong; only from GetRoom.
	Users int
	// Coverage is of GetRoom; a list has its own.
	Coverage
}

// SocketQuery says which sockets [Broker.ListSockets] lists. Filters that are
// set narrow each other.
type SocketQuery struct {
	Namespace, Room, User string
	// Within limits the list to these namespaces; none means all.
	Within []string
	Page   Page
}

// SocketInfo describes a connected socket.
type SocketInfo struct {
	ID, User, Namespace string
	// Node is the id of the node that the client is connected to.
	Node string
	// Rooms is sorted.
	Rooms []string
	// Address is the peer's host and port.
	Address string
	// Transport is "websocket" or "polling".
	Transport   string
	ConnectTime time.Time
	// Data is the JSON that the token's issuer attached; empty if none.
	Data json.RawMessage
}

// NodeState says what a node is doing.
type NodeState uint8

// The states of a node.
const (
	// NodeActive: it takes connections.
	NodeActive NodeState = iota
	// NodeDraining: it is sending its clients away.
	NodeDraining
)

// NodeInfo describes a node of the broker.
type NodeInfo struct {
	ID, Version    string
	Sockets, Rooms int
	State          NodeState
	Uptime         time.Duration
}
