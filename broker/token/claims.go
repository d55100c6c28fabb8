package token

import (
	"encoding/json"
	"time"
)

// Claims is what a token says.
type Claims struct {
	// User is who the client is.
	User string
	// ID is the token's id; empty if it was made elsewhere without one.
	ID string
	// IssuedAt is when it was made; zero if it doesn't say.
	IssuedAt time.Time
	// ExpiresAt is when it ends.
	ExpiresAt time.Time
	// Scoped says whether the token carries permissions of Sala's. One that
	// was made elsewhere usually doesn't.
	Scoped bool
	Grant

	notBefore time.Time // when it begins to count; zero if it doesn't say
}

// Grant is what a token allows. It is the value of the claim "sala".
type Grant struct {
	// Namespaces limits where the client may connect; empty means anywhere.
	Namespaces []string `json:"namespaces,omitempty"`
	// Rooms are joined when the client connects.
	Rooms []string `json:"rooms,omitempty"`
	// Join holds patterns of the rooms that the client may join.
	Join []string `json:"join,omitempty"`
	// Publish holds patterns of the rooms that the client may relay into.
	Publish []string `json:"publish,omitempty"`
	// Broadcast says whether the client may relay to everyone.
	Broadcast bool `json:"broadcast,omitempty"`
	// Data is any JSON that backends want to see again.
	Data json.RawMessage `json:"data,omitempty"`
}
