package clusters

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// presenceUsers is how many users there are, each with any number of tabs, and presenceRooms how
	// many rooms they join.
	presenceUsers, presenceRooms = 15, 3
	// maxTabs bounds how many tabs are open.
	maxTabs = 60
	// presenceWindow is how long users may take to return whose connection was lost.
	presenceWindow = time.Second
	// stepsPerFault is after how many steps something fails, and stepsMeanwhile how many steps there
	// are while it does.
	stepsPerFault, stepsMeanwhile = 40, 5
	// toldBy is the node whose events are recorded. It isn't killed, since its events would end.
	toldBy = 2
)

// Figures about presence.
const (
	figurePlaces    = "places"          // users in rooms and in the namespace
	figureEvents    = "presence_events" // that users have come or gone
	figureWrongLeft = "wrongly_left"    // events that a user has left who was there
	figureListed    = "listed_apart"    // places whose users a node lists differently from the model
	figureLastTold  = "told_apart"      // places whose last event is wrong
)

// Presence compares who is where, and what a backend was told about that, with a model, while nodes
// and Redis fail.
type Presence struct{ Steps int }

// NewPresence returns the scenario.
func NewPresence(quick bool) scenario.Scenario { return &Presence{rounds(quick, 1000, 170)} }

// Info implements [scenario.Scenario].
func (s *Presence) Info() scenario.Info {
	return scenario.Info{
		Name:  "presence",
		Title: "Presence compared with a model",
		Description: fmt.Sprintf("Three nodes share one Redis. %d times a tab of one of %d users connects to a random node, disconnects, loses its connection, or joins or "+
			"leaves one of %d rooms. Every %d steps something fails, in turn: a node is killed (`kill -9`), half of all tabs lose their connections at once, a "+
			"node gets `SIGTERM` and ends, or Redis is killed. The server is started again after %d more steps. Half of the tabs of such a node connect again "+
			"elsewhere, to the same rooms. A backend records the events about users. In the end each node must list the model's users, with as many "+
			"sockets, and none of the events may have said that a user has left who was there then. The last event about each user in each place must be "+
			"true, except where a user had come less than a second before a node was killed: what a node has just learned may be lost with it.",
			s.Steps, presenceUsers, presenceRooms, stepsPerFault, stepsMeanwhile),
		Limits: []scenario.Limit{
			scenario.Zero(figureWrongLeft, "events that a user has left while a socket remained"),
			scenario.Zero(figureListed, "users that a node lists differently from the model"),
			scenario.Zero(figureLastTold, "users in places about whom the last event isn't true"),
		},
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%.0f steps, %.0f faults; %.0f events about %.0f users in places", f[figureOps], f[scenario.Kills], f[figureEvents], f[figurePlaces])
		},
	}
}

// Run implements [scenario.Scenario].
func (s *Presence) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	dir, err := os.MkdirTemp("", "sala-faults-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	config := filepath.Join(dir, "sala.yaml")
	if err := os.WriteFile(config, []byte("rooms: {presence_rooms: [\"**\"]}\n"), 0o600); err != nil {
		return nil, err
	}
	commands, err := env.Cluster("--config", config, "--recovery-window", presenceWindow.String())
	if err != nil {
		return nil, err
	}
	p := &presenceRun{random: rand.New(rand.NewPCG(7, 8)), model: newPresenceModel()}
	if p.cluster, err = startCluster(ctx, commands); err != nil {
		return nil, err
	}
	defer p.cluster.Stop()
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	defer p.stop()
	for n := range s.Steps {
		if err := p.advance(ctx, n); err != nil {
			return nil, fmt.Errorf("step %d: %w", n+1, err)
		}
	}
	if err := p.repair(ctx); err != nil {
		return nil, err
	}
	f := results.Figures{figureOps: float64(s.Steps), scenario.Kills: float64(p.faults)}
	if err := p.compare(ctx, env.Timeout, f); err != nil {
		return nil, err
	}
	if len(p.model.examples) > 0 {
		return f, errors.New(strings.Join(p.model.examples, "; "))
	}
	return f, p.cluster.Err()
}

// presenceRun is a run of [Presence].
type presenceRun struct {
	cluster *testCluster
	clients []load.Client // the users
	dialers []*load.Dialer
	conns   []*grpc.ClientConn // to the nodes' control APIs
	random  *rand.Rand
	tabs    []*tab
	model   *presenceModel
	told    *toldUsers

	faults int
	broken func(context.Context) error // repairs what has failed; nil if nothing has
}

// prepare has the users' tokens issued, and subscribes to the events about them.
func (p *presenceRun) prepare(ctx context.Context) (err error) {
	for i := range p.cluster.Nodes {
		conn, err := p.cluster.dialControl(i)
		if err != nil {
			return err
		}
		p.conns = append(p.conns, conn)
		dialer, err := load.NewDialer(p.cluster.target(i).Listen)
		if err != nil {
			return err
		}
		p.dialers = append(p.dialers, dialer)
	}
	for i := range presenceUsers {
		token, err := salav1.NewTokenServiceClient(p.conns[0]).IssueToken(p.cluster.target(0).Authorize(ctx),
			&salav1.IssueTokenRequest{User: fmt.Sprint("user", i), Join: []string{"*"}})
		if err != nil {
			return err
		}
		p.clients = append(p.clients, load.Client{Token: token.GetToken()})
	}
	p.told, err = recordUsers(p.cluster.target(toldBy).Authorize(ctx), p.conns[toldBy])
	return err
}

// stop ends all tabs and the subscription.
func (p *presenceRun) stop() {
	for _, t := range p.tabs {
		t.close()
	}
	p.told.stop()
	for _, conn := range p.conns {
		conn.Close()
	}
}

// advance lets something fail, or repairs it, if it is time for that, and then does a step.
func (p *presenceRun) advance(ctx context.Context, n int) error {
	switch n % stepsPerFault {
	case stepsPerFault - 1:
		if err := p.fail(ctx, n/stepsPerFault); err != nil {
			return err
		}
	case stepsMeanwhile - 1:
		if err := p.repair(ctx); err != nil {
			return err
		}
	}
	p.step()
	return load.Sleep(ctx, rand.N(20*time.Millisecond))
}

// repair starts again what has failed.
func (p *presenceRun) repair(ctx context.Context) error {
	if p.broken == nil {
		return nil
	}
	repair := p.broken
	p.broken = nil
	return repair(ctx)
}

// fail lets something fail.
func (p *presenceRun) fail(ctx context.Context, n int) error {
	p.faults++
	node := p.faults / 4 % toldBy
	switch n % 4 {
	case 0:
		for _, t := range p.tabs {
			if t.node == node {
				p.model.killed(t)
			}
		}
		ended := p.endTabs(func(t *tab) bool { return t.node == node })
		p.cluster.killNode(node)
		p.broken = func(ctx context.Context) error { return p.cluster.startNode(ctx, node) }
		p.reconnect(ended)
	case 1:
		for _, t := range p.endTabs(func(*tab) bool { return p.random.IntN(2) == 0 }) {
			t.close()
		}
	case 2:
		ended := p.endTabs(func(t *tab) bool { return t.node == node })
		p.cluster.stopNode(node)
		p.broken = func(ctx context.Context) error { return p.cluster.startNode(ctx, node) }
		p.reconnect(ended)
	case 3:
		p.cluster.Redis.Kill()
		p.broken = p.cluster.StartRedis
	}
	return ctx.Err()
}

// step is what a random tab does. A step that the servers are too busy for is left out.
func (p *presenceRun) step() {
	var t *tab
	if len(p.tabs) > 0 {
		t = p.tabs[p.random.IntN(len(p.tabs))]
	}
	switch what := p.random.IntN(100); {
	case t == nil || what < 35 && len(p.tabs) < maxTabs:
		p.connect(p.random.IntN(presenceUsers), p.random.IntN(len(p.dialers)))
	case what < 50:
		p.end(t)
		t.leave()
	case what < 65:
		p.end(t)
		t.close()
	default:
		p.toggle(t, fmt.Sprint("room", p.random.IntN(presenceRooms)))
	}
}

// connect opens a tab of a user at a node, or at another one if that accepts no clients.
func (p *presenceRun) connect(user, node int) *tab {
	for !p.cluster.open[node].Load() {
		node = (node + 1) % len(p.dialers)
	}
	t, err := openTab(p.dialers[node], p.clients[user])
	if err != nil {
		return nil
	}
	t.user, t.node = user, node
	p.tabs = append(p.tabs, t)
	p.model.enter(t, "")
	return t
}

func (p *presenceRun) toggle(t *tab, room string) {
	if t.stays[room] != nil {
		p.model.leave(t, room)
		t.call("leave", room)
		return
	}
	if t.call("join", room) {
		p.model.enter(t, room)
	}
}

// end notes that a tab is about to end.
func (p *presenceRun) end(t *tab) {
	p.model.leaveAll(t)
	p.tabs = slices.DeleteFunc(p.tabs, func(other *tab) bool { return other == t })
}

// endTabs notes that some tabs are about to end, and returns them.
func (p *presenceRun) endTabs(which func(*tab) bool) (ended []*tab) {
	for _, t := range slices.Clone(p.tabs) {
		if which(t) {
			t.rooms = t.rooms[:0]
			for room := range t.stays {
				if room != "" {
					t.rooms = append(t.rooms, room)
				}
			}
			slices.Sort(t.rooms)
			p.end(t)
			ended = append(ended, t)
		}
	}
	return ended
}

// reconnect opens tabs in place of half of those that have ended with their node.
func (p *presenceRun) reconnect(ended []*tab) {
	for i, old := range ended {
		old.close()
		if i%2 == 1 {
			continue
		}
		if t := p.connect(old.user, old.node); t != nil {
			for _, room := range old.rooms {
				p.toggle(t, room)
			}
		}
	}
}

// compare waits until the nodes list what the model has and the backend was told the same, and counts
// what differs after a timeout.
func (p *presenceRun) compare(ctx context.Context, timeout time.Duration, f results.Figures) error {
	for begin := time.Now(); ; {
		listed, err := p.listedApart(ctx)
		events := p.told.all()
		told := p.model.toldApart(events)
		late := time.Since(begin) > timeout
		if err != nil && late {
			return err
		}
		if err == nil && listed == 0 && told == 0 || late {
			f[figureListed], f[figureLastTold] = float64(listed), float64(told)
			f[figureWrongLeft] = float64(p.model.wronglyLeft(events))
			p.model.describe(events)
			f[figureEvents], f[figurePlaces] = float64(len(events)), float64(p.model.places())
			return p.told.failure()
		}
		if err := load.Sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// listedApart returns how many users the nodes list differently from the model.
func (p *presenceRun) listedApart(ctx context.Context) (n int, err error) {
	want := p.model.present(p.tabs)
	for node, conn := range p.conns {
		got := make(map[place]int)
		for room := range presenceRooms + 1 {
			request := &salav1.ListUsersRequest{PageSize: 1000}
			if room < presenceRooms {
				request.Room = fmt.Sprint("room", room)
			}
			list, err := salav1.NewPresenceServiceClient(conn).ListUsers(p.cluster.target(node).Authorize(ctx), request)
			if err != nil {
				return n, err
			}
			if list.GetPartial() {
				return n, fmt.Errorf("node %d lists only a part", node+1)
			}
			for _, u := range list.GetUsers() {
				got[place{u.GetUser(), request.GetRoom()}] = int(u.GetSockets())
			}
		}
		n += different(got, want)
	}
	return n, nil
}
