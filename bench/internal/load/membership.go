package load

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

	"github.com/salabroker/sala/bench/internal/job"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// modelRooms is how many rooms there are to be in.
	modelRooms = 12
	// sessionRoom is the room that a token names: everyone is in it from the beginning, and again after each connect.
	sessionRoom = "session"
)

// membership is a Membership job that runs: sockets at all servers, and a model of who is in which room.
type membership struct {
	job       *job.Job
	stage     *stage
	conns     []*grpc.ClientConn // to the control APIs
	witnesses *witnesses
	random    *rand.Rand

	rooms  map[string]map[string]bool // the model: the rooms of each socket, by its id
	wrong  int
	reason error // of the first wrong answer
}

// runMembership has random servers change the rooms of random sockets, and compares each answer, and at the end what each
// server lists, with a model that does the same.
func runMembership(ctx context.Context, j *job.Job) (f job.Figures, err error) {
	m := &membership{job: j, random: rand.New(rand.NewPCG(5, 6)), rooms: make(map[string]map[string]bool)}
	if m.stage, err = newStage(ctx, j); err != nil {
		return nil, err
	}
	defer m.stage.close()
	if err := m.stage.together(ctx); err != nil {
		return nil, err
	}
	for i := range m.stage.nodes {
		conn, err := m.stage.control(i)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		m.conns = append(m.conns, conn)
	}
	if m.witnesses, err = newWitnesses(ctx, m.stage, j.Clients, sessionRoom); err != nil {
		return nil, err
	}
	defer m.witnesses.stop()
	for _, w := range m.witnesses.list {
		m.rooms[w.now().id] = map[string]bool{sessionRoom: true}
	}
	for n := range j.Calls {
		if err := m.step(ctx); err != nil {
			return nil, fmt.Errorf("operation %d: %w", n+1, err)
		}
	}
	apart, err := m.apart(ctx)
	if err != nil {
		return nil, err
	}
	f = job.Figures{job.Clients: float64(len(m.rooms)), job.Ops: float64(j.Calls), job.Wrong: float64(m.wrong), job.Apart: float64(apart)}
	return f, errors.Join(m.reason, m.stage.broken())
}

// step does one random thing by way of a random server.
func (m *membership) step(ctx context.Context) error {
	node := m.random.IntN(len(m.conns))
	ctx, conn := authorized(ctx, m.stage.jobOf(node)), m.conns[node]
	switch n := m.random.IntN(100); {
	case n < 50:
		selector, meant := m.choose()
		rooms := m.someRooms()
		answer, err := salav1.NewSocketServiceClient(conn).Join(ctx, &salav1.JoinRequest{Selector: selector, Rooms: rooms})
		for _, id := range meant {
			for _, room := range rooms {
				m.rooms[id][room] = true
			}
		}
		return m.answered(err, "join", answer, len(meant), answer.GetMatched())
	case n < 80:
		selector, meant := m.choose()
		rooms := m.someRooms()
		answer, err := salav1.NewSocketServiceClient(conn).Leave(ctx, &salav1.LeaveRequest{Selector: selector, Rooms: rooms})
		for _, id := range meant {
			for _, room := range rooms {
				delete(m.rooms[id], room)
			}
		}
		return m.answered(err, "leave", answer, len(meant), answer.GetMatched())
	case n < 90:
		room := m.room()
		meant := m.in(room)
		answer, err := salav1.NewRoomServiceClient(conn).ClearRoom(ctx, &salav1.ClearRoomRequest{Room: room})
		for _, id := range meant {
			delete(m.rooms[id], room)
		}
		return m.answered(err, "clear", answer, len(meant), answer.GetRemoved())
	default:
		id := m.socket()
		answer, err := salav1.NewSocketServiceClient(conn).Disconnect(ctx, &salav1.DisconnectRequest{Selector: &salav1.Selector{Sockets: []string{id}}})
		if err := m.answered(err, "disconnect", answer, 1, answer.GetMatched()); err != nil {
			return err
		}
		return m.comeBack(ctx, id)
	}
}

// partial is an answer that may lack nodes.
type partial interface {
	fmt.Stringer
	GetPartial() bool
}

// answered compares an answer with the model's.
func (m *membership) answered(err error, what string, answer partial, want int, got uint32) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if answer.GetPartial() || int(got) != want {
		m.wrong++
		if m.reason == nil {
			m.reason = fmt.Errorf("%s answered %v rather than %d", what, answer, want)
		}
	}
	return nil
}

// comeBack waits until the client that had a socket has another.
func (m *membership) comeBack(ctx context.Context, id string) error {
	delete(m.rooms, id)
	for begin := time.Now(); time.Since(begin) < m.job.Patience; {
		for _, w := range m.witnesses.list {
			if s := w.connected(); s != nil && m.rooms[s.id] == nil && s.id != id {
				m.rooms[s.id] = map[string]bool{sessionRoom: true}
				return nil
			}
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("a client that was disconnected did not come back")
}

// choose returns some sockets: one by its id, or the members of a room, and who they are by the model.
func (m *membership) choose() (*salav1.Selector, []string) {
	if m.random.IntN(3) > 0 {
		id := m.socket()
		return &salav1.Selector{Sockets: []string{id}}, []string{id}
	}
	room := m.room()
	return &salav1.Selector{Rooms: []string{room}}, m.in(room)
}

func (m *membership) socket() string {
	ids := slices.Sorted(maps.Keys(m.rooms))
	return ids[m.random.IntN(len(ids))]
}

func (m *membership) room() string { return "model-" + strconv.Itoa(m.random.IntN(modelRooms)) }

func (m *membership) someRooms() []string {
	rooms := []string{m.room(), m.room(), m.room()}
	return rooms[:1+m.random.IntN(len(rooms))]
}

// in returns the members of a room by the model.
func (m *membership) in(room string) (ids []string) {
	for id, rooms := range m.rooms {
		if rooms[room] {
			ids = append(ids, id)
		}
	}
	return ids
}

// apart returns how many sockets are not as in the model, by what each server lists, and rooms likewise.
func (m *membership) apart(ctx context.Context) (n int, err error) {
	for node, conn := range m.conns {
		ctx := authorized(ctx, m.stage.jobOf(node))
		sockets, err := salav1.NewSocketServiceClient(conn).ListSockets(ctx, &salav1.ListSocketsRequest{PageSize: 1000})
		if err != nil {
			return n, err
		}
		rooms, err := salav1.NewRoomServiceClient(conn).ListRooms(ctx, &salav1.ListRoomsRequest{PageSize: 1000})
		if err != nil {
			return n, err
		}
		if sockets.GetPartial() || rooms.GetPartial() {
			return n, fmt.Errorf("server %d lists only a part", node+1)
		}
		n += m.compareSockets(sockets.GetSockets()) + m.compareRooms(rooms.GetRooms())
	}
	return n, nil
}

func (m *membership) compareSockets(sockets []*salav1.Socket) int {
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

func (m *membership) compareRooms(rooms []*salav1.Room) int {
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

// different returns how many keys haven't the same value in both.
func different[V comparable](a, b map[string]V) (n int) {
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
