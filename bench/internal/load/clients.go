package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/salabroker/sala/bench/internal/job"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// everyone is the room that all clients are in where there is only one.
	everyone = "everyone"
	// maxTokens bounds how many tokens are issued; further clients take the first ones again.
	maxTokens = 15_000
	// issuers is how many tokens are asked for at a time.
	issuers = 8
)

// newClients returns the clients of a job, with a token each where the server wants one: issued by the server, through
// its API, before anything is measured.
func newClients(ctx context.Context, j *job.Job, roomsOf func(client int) []string) ([]client, error) {
	clients := make([]client, j.Clients)
	for i := range clients {
		clients[i].rooms = roomsOf(i)
	}
	if j.Target.Protocol != job.Sala {
		return clients, nil
	}
	conn, err := dialControl(j)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, fail := context.WithCancelCause(authorized(ctx, j))
	defer fail(nil)
	tokens := salav1.NewTokenServiceClient(conn)
	issued := min(len(clients), maxTokens)
	var workers sync.WaitGroup
	for w := range issuers {
		workers.Go(func() {
			for i := w; i < issued; i += issuers {
				answer, err := tokens.IssueToken(ctx, &salav1.IssueTokenRequest{User: "user-" + strconv.Itoa(i), Rooms: clients[i].rooms})
				if err != nil {
					fail(fmt.Errorf("issuing a token: %w", err))
					return
				}
				clients[i].token = answer.GetToken()
			}
		})
	}
	workers.Wait()
	for i := issued; i < len(clients); i++ {
		clients[i].token = clients[i-issued].token
	}
	return clients, context.Cause(ctx)
}

func dialControl(j *job.Job) (*grpc.ClientConn, error) {
	return grpc.NewClient(j.Target.Control, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// authorized returns a context whose calls carry the API key.
func authorized(ctx context.Context, j *job.Job) context.Context {
	if j.Target.APIKey == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+j.Target.APIKey)
}

// layout says who is in which room.
type layout struct {
	rooms   []string
	members [][]int    // by room
	of      [][]string // by client
}

// roomsOf returns the rooms of a client.
func (l *layout) roomsOf(client int) []string { return l.of[client] }

// newLayout puts everyone into one room, or spreads rooms of so many members over the clients, each of whom gets as
// many as the others. It is the same layout every time.
func newLayout(j *job.Job) *layout {
	if j.Rooms <= 1 {
		l := &layout{rooms: []string{everyone}, members: [][]int{make([]int, j.Clients)}, of: make([][]string, j.Clients)}
		for i := range j.Clients {
			l.members[0][i], l.of[i] = i, l.rooms
		}
		return l
	}
	l := &layout{of: make([][]string, j.Clients)}
	r := rand.New(rand.NewPCG(1, 2))
	var order []int // who is next; a fresh order for each round
	for room := range j.Rooms {
		name := "room-" + strconv.Itoa(room)
		if len(order) < j.Members {
			order = r.Perm(j.Clients)
		}
		l.rooms, l.members = append(l.rooms, name), append(l.members, order[:j.Members])
		for _, i := range order[:j.Members] {
			l.of[i] = append(l.of[i], name)
		}
		order = order[j.Members:]
	}
	return l
}
