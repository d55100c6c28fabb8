package clusters

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Membership changes which sockets of a cluster are in which rooms, and compares that with a model.
type Membership struct {
	// Clients is how many clients are connected to each node.
	Clients int
	Calls   int
}

// NewMembership returns the scenario.
func NewMembership(quick bool) scenario.Scenario {
	return &Membership{traffic(quick).Clients, rounds(quick, 1000, 100)}
}

// Info implements [scenario.Scenario].
func (s *Membership) Info() scenario.Info {
	return scenario.Info{
		Name:  "membership",
		Title: "Membership compared with a model",
		Description: fmt.Sprintf("Three nodes share one Redis and have %d clients each. %d random calls, each to a random node, make sockets, or the members "+
			"of rooms, join and leave rooms, clear rooms, and disconnect sockets, whose clients reconnect to any node. Each answer must count what "+
			"a model counts that does the same. In the end each node must list exactly the model's sockets and rooms.", s.Clients, s.Calls),
		Limits: []scenario.Limit{
			scenario.Zero(figureWrong, "answers with another count, or partial"),
			scenario.Zero(figureApart, "sockets and rooms that a node lists differently"),
		},
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%.0f calls, %.0f sockets at the end", f[figureOps], f[scenario.Clients])
		},
	}
}

const (
	// modelRooms is how many rooms there are to join.
	modelRooms = 12
	// sessionRoom is the room that a token names: a socket is in it from the start, and again after
	// each connect.
	sessionRoom = "session"
)

// membershipRun is a run of [Membership].
type membershipRun struct {
	cluster *testCluster
	timeout time.Duration
	conns   []*grpc.ClientConn // to the nodes' control APIs
	clients *clusterClients
	random  *rand.Rand

	rooms  map[string]map[string]bool // the model: the rooms of each socket, by its id
	wrong  int
	reason error // the first wrong answer
}

// Run implements [scenario.Scenario].
func (s *Membership) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	commands, err := env.Cluster()
	if err != nil {
		return nil, err
	}
	m := &membershipRun{timeout: env.Timeout, random: rand.New(rand.NewPCG(5, 6)), rooms: make(map[string]map[string]bool)}
	if m.cluster, err = startCluster(ctx, commands); err != nil {
		return nil, err
	}
	defer m.cluster.Stop()
	for i := range m.cluster.Nodes {
		conn, err := m.cluster.dialControl(i)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		m.conns = append(m.conns, conn)
	}
	if m.clients, err = connectClients(ctx, m.cluster, s.Clients, sessionRoom); err != nil {
		return nil, err
	}
	defer m.clients.stop()
	for _, c := range m.clients.list {
		m.rooms[c.last().id] = map[string]bool{sessionRoom: true}
	}
	for n := range s.Calls {
		if err := m.step(ctx); err != nil {
			return nil, fmt.Errorf("call %d: %w", n+1, err)
		}
	}
	apart, err := m.compare(ctx)
	if err != nil {
		return nil, err
	}
	f := results.Figures{
		scenario.Clients: float64(len(m.rooms)), figureOps: float64(s.Calls), figureWrong: float64(m.wrong), figureApart: float64(apart),
	}
	return f, errors.Join(m.reason, m.cluster.Err())
}

// step makes a random call to a random node.
func (m *membershipRun) step(ctx context.Context) error {
	node := m.random.IntN(len(m.conns))
	ctx, conn := m.cluster.target(node).Authorize(ctx), m.conns[node]
	switch n := m.random.IntN(100); {
	case n < 50:
		selector, matched := m.choose()
		rooms := m.someRooms()
		answer, err := salav1.NewSocketServiceClient(conn).Join(ctx, &salav1.JoinRequest{Selector: selector, Rooms: rooms})
		for _, id := range matched {
			for _, room := range rooms {
				m.rooms[id][room] = true
			}
		}
		return m.check(err, "join", answer, len(matched), answer.GetMatched())
	case n < 80:
		selector, matched := m.choose()
		rooms := m.someRooms()
		answer, err := salav1.NewSocketServiceClient(conn).Leave(ctx, &salav1.LeaveRequest{Selector: selector, Rooms: rooms})
		for _, id := range matched {
			for _, room := range rooms {
				delete(m.rooms[id], room)
			}
		}
		return m.check(err, "leave", answer, len(matched), answer.GetMatched())
	case n < 90:
		room := m.room()
		matched := m.in(room)
		answer, err := salav1.NewRoomServiceClient(conn).ClearRoom(ctx, &salav1.ClearRoomRequest{Room: room})
		for _, id := range matched {
			delete(m.rooms[id], room)
		}
		return m.check(err, "clear", answer, len(matched), answer.GetRemoved())
	default:
		id := m.socket()
		answer, err := salav1.NewSocketServiceClient(conn).Disconnect(ctx, &salav1.DisconnectRequest{Selector: &salav1.Selector{Sockets: []string{id}}})
		if err := m.check(err, "disconnect", answer, 1, answer.GetMatched()); err != nil {
			return err
		}
		return m.awaitReconnect(ctx, id)
	}
}

// partialAnswer is an answer that may lack nodes.
type partialAnswer interface {
	fmt.Stringer
	GetPartial() bool
}

// check compares an answer with the model.
func (m *membershipRun) check(err error, what string, answer partialAnswer, want int, got uint32) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if answer.GetPartial() || int(got) != want {
		m.wrong++
		if m.reason == nil {
			m.reason = fmt.Errorf("%s answered %v, not %d", what, answer, want)
		}
	}
	return nil
}

// awaitReconnect waits until the client that had a socket has another one.
func (m *membershipRun) awaitReconnect(ctx context.Context, id string) error {
	delete(m.rooms, id)
	for begin := time.Now(); time.Since(begin) < m.timeout; {
		for _, client := range m.clients.list {
			if c := client.connected(); c != nil && m.rooms[c.id] == nil && c.id != id {
				m.rooms[c.id] = map[string]bool{sessionRoom: true}
				return nil
			}
		}
		if err := load.Sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("a client that was disconnected did not reconnect")
}

// choose returns a selector of one socket or of the members of a room, and the sockets that it
// matches in the model.
func (m *membershipRun) choose() (*salav1.Selector, []string) {
	if m.random.IntN(3) > 0 {
		id := m.socket()
		return &salav1.Selector{Sockets: []string{id}}, []string{id}
	}
	room := m.room()
	return &salav1.Selector{Rooms: []string{room}}, m.in(room)
}

func (m *membershipRun) socket() string {
	ids := slices.Sorted(maps.Keys(m.rooms))
	return ids[m.random.IntN(len(ids))]
}

func (m *membershipRun) room() string { return "model-" + strconv.Itoa(m.random.IntN(modelRooms)) }

func (m *membershipRun) someRooms() []string {
	rooms := []string{m.room(), m.room(), m.room()}
	return rooms[:1+m.random.IntN(len(rooms))]
}

// in returns the members of a room in the model.
func (m *membershipRun) in(room string) (ids []string) {
	for id, rooms := range m.rooms {
		if rooms[room] {
			ids = append(ids, id)
		}
	}
	return ids
}

// compare returns how many sockets and rooms the nodes list differently from the model.
func (m *membershipRun) compare(ctx context.Context) (n int, err error) {
	for node, conn := range m.conns {
		ctx := m.cluster.target(node).Authorize(ctx)
		sockets, err := salav1.NewSocketServiceClient(conn).ListSockets(ctx, &salav1.ListSocketsRequest{PageSize: 1000})
		if err != nil {
			return n, err
		}
		rooms, err := salav1.NewRoomServiceClient(conn).ListRooms(ctx, &salav1.ListRoomsRequest{PageSize: 1000})
		if err != nil {
			return n, err
		}
		if sockets.GetPartial() || rooms.GetPartial() {
			return n, fmt.Errorf("node %d lists only a part", node+1)
		}
		n += m.compareSockets(sockets.GetSockets()) + m.compareRooms(rooms.GetRooms())
	}
	return n, nil
}

func (m *membershipRun) compareSockets(sockets []*salav1.Socket) int {
	listed := make(map[string]string, len(sockets))
	for _, s := range sockets {
		listed[s.GetId()] = strings.Join(slices.Sorted(slices.Values(s.GetRooms())), " ")
	}
	model := make(map[string]string, len(m.rooms))
	for id, rooms := range m.rooms {
		model[id] = strings.Join(slices.Sorted(maps.Keys(rooms)), " ")
	}
	return different(listed, model)
}

func (m *membershipRun) compareRooms(rooms []*salav1.Room) int {
	listed, model := make(map[string]uint32), make(map[string]uint32)
	for _, r := range rooms {
		listed[r.GetName()] = r.GetSockets()
	}
	for _, rooms := range m.rooms {
		for room := range rooms {
			model[room]++
		}
	}
	return different(listed, model)
}

// different returns how many keys do not have the same value in both maps.
func different[K, V comparable](a, b map[K]V) (n int) {
	for key, value := range a {
		if other, ok := b[key]; !ok || other != value {
			n++
		}
	}
	for key := range b {
		if _, ok := a[key]; !ok {
			n++
		}
	}
	return n
}
