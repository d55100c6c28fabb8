package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/salabroker/sala/bench/process"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// Everyone is the room of all clients where there is only one room.
	Everyone = "everyone"
	// maxTokens bounds how many tokens are issued. Further clients share the first ones.
	maxTokens = 15_000
	// issuers is how many tokens are requested at a time.
	issuers = 8
)

// Client is a client that is to connect.
type Client struct {
	Rooms []string
	Token string
	// Recover asks for a session, with which the client could return.
	Recover bool
}

// NewClients returns n clients with the rooms that roomsOf returns for each. Sala issues their
// tokens; other servers check none.
func NewClients(ctx context.Context, t *process.Target, n int, roomsOf func(client int) []string) ([]Client, error) {
	clients := make([]Client, n)
	for i := range clients {
		clients[i].Rooms = roomsOf(i)
	}
	if t.APIKey == "" {
		return clients, nil
	}
	conn, err := t.DialControl()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	tokens := salav1.NewTokenServiceClient(conn)
	issued := min(n, maxTokens)
	err = InParallel(t.Authorize(ctx), issuers, issued, func(ctx context.Context, i int) error {
		answer, err := tokens.IssueToken(ctx, &salav1.IssueTokenRequest{User: "user-" + strconv.Itoa(i), Rooms: clients[i].Rooms})
		if err != nil {
			return fmt.Errorf("issuing a token: %w", err)
		}
		clients[i].Token = answer.GetToken()
		return nil
	})
	for i := issued; i < n; i++ {
		clients[i].Token = clients[i-issued].Token
	}
	return clients, err
}

// InRooms returns a function for [NewClients] that puts all clients into the same rooms.
func InRooms(rooms ...string) func(int) []string { return func(int) []string { return rooms } }

// layout says which client is in which room.
type layout struct {
	rooms    []string
	members  [][]int    // by room
	byClient [][]string // rooms
}

func (l *layout) roomsOf(client int) []string { return l.byClient[client] }

// newLayout puts all clients into one room, or spreads rooms of equal size over them so that all
// clients are in equally many. The layout is the same every time.
func newLayout(clients, rooms, members int) *layout {
	l := &layout{byClient: make([][]string, clients)}
	if rooms <= 1 {
		l.rooms, l.members = []string{Everyone}, [][]int{make([]int, clients)}
		for i := range clients {
			l.members[0][i], l.byClient[i] = i, l.rooms
		}
		return l
	}
	r := rand.New(rand.NewPCG(1, 2))
	var next []int // clients that get the next rooms; a new permutation once all have had one
	for room := range rooms {
		name := "room-" + strconv.Itoa(room)
		if len(next) < members {
			next = r.Perm(clients)
		}
		l.rooms, l.members = append(l.rooms, name), append(l.members, next[:members])
		for _, i := range next[:members] {
			l.byClient[i] = append(l.byClient[i], name)
		}
		next = next[members:]
	}
	return l
}
