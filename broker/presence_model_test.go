package broker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/eventhub"
)

// 1,000 times a tab connects, disconnects, loses its connection, or joins or leaves a room, at one of
// three nodes over Redis, while nodes drain and are killed. What backends were told is right in the end,
// and they were never told that a user has left who was still there. If no node is killed, they were
// told each first and last tab once.
func TestPresenceAgainstModel(t *testing.T) {
	for name, kills := range map[string]bool{"drains": false, "drains and kills": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newPresenceModel(t, rand.New(rand.NewPCG(1, 2)), kills)
			for step := range 1000 {
				switch {
				case step == 300 || step == 600:
					m.drain()
				case step == 450 && kills:
					m.kill()
				default:
					m.step()
				}
			}
			m.check()
		})
	}
}

type presenceModel struct {
	t      *testing.T
	rng    *rand.Rand
	kills  bool
	server *clustertest.Redis
	nodes  []*modelNode
	events *userEvents
	tabs   []*modelTab // that are there
	past   []*modelStay
	told   map[modelPlace][]eventhub.Event
}

type modelNode struct {
	*brokertest.Node
	proxy *clustertest.Proxy
}

// modelTab is a client, and since and until when it was where.
type modelTab struct {
	*brokertest.Client
	user  string
	node  *modelNode
	stays map[string]*modelStay // by room; empty for the namespace
}

type modelStay struct {
	place    modelPlace
	from, to time.Time
}

type modelPlace struct{ user, room string }

func newPresenceModel(t *testing.T, rng *rand.Rand, kills bool) *presenceModel {
	m := &presenceModel{t: t, rng: rng, kills: kills, server: clustertest.Start(t), told: make(map[modelPlace][]eventhub.Event)}
	for range 3 {
		m.start()
	}
	m.await()
	m.events = subscribeUsers(t, m.nodes[0].Node)
	m.await()
	return m
}

// start starts a node, which stays until the test ends.
func (m *presenceModel) start() {
	proxy := clustertest.StartProxy(m.t, m.server.Port)
	o := withPresence()
	o.Recovery = &broker.RecoveryOptions{Window: 500 * time.Millisecond}
	o.Cluster = &broker.ClusterOptions{Bus: redisBus(m.t, proxy.URL())}
	node := &modelNode{brokertest.Start(m.t, o), proxy}
	m.t.Cleanup(proxy.Heal) // before the node ends
	m.nodes = append(m.nodes, node)
}

// await waits until the nodes know each other, and the subscription if there is one.
func (m *presenceModel) await() {
	m.t.Helper()
	deadline := time.After(30 * time.Second)
	ready := func() bool {
		for _, node := range m.nodes {
			list, err := node.ListNodes(m.t.Context())
			if err != nil || len(list.Nodes) < len(m.nodes) || m.events != nil && !node.WantsEvents(eventhub.UserOnline, "/") {
				return false
			}
		}
		return true
	}
	for !ready() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			m.t.Fatal("the nodes don't find each other")
		}
	}
}

func (m *presenceModel) step() {
	m.take()
	var tab *modelTab
	if len(m.tabs) > 0 {
		tab = m.tabs[m.rng.IntN(len(m.tabs))]
	}
	switch what := m.rng.IntN(100); {
	case tab == nil || what < 35 && len(m.tabs) < 40:
		m.connect(fmt.Sprint("user", m.rng.IntN(12)))
	case what < 55:
		m.end(tab, func() { tab.Send("41") })
	case what < 70:
		m.end(tab, tab.Close)
	default:
		m.toggle(tab, fmt.Sprint("chat:", m.rng.IntN(3)))
	}
}

func (m *presenceModel) connect(user string) *modelTab {
	node := m.nodes[m.rng.IntN(len(m.nodes))]
	tab := &modelTab{user: user, node: node, stays: make(map[string]*modelStay)}
	tab.Client = node.JoinAs(node.Token(user, seesAll))
	m.enter(tab, "")
	m.tabs = append(m.tabs, tab)
	return tab
}

// enter notes that a tab is in a room, or the namespace.
func (m *presenceModel) enter(tab *modelTab, room string) {
	tab.stays[room] = &modelStay{place: modelPlace{tab.user, room}, from: time.Now()}
	m.past = append(m.past, tab.stays[room])
}

func (tab *modelTab) leave(room string) {
	tab.stays[room].to = time.Now()
	delete(tab.stays, room)
}

func (m *presenceModel) toggle(tab *modelTab, room string) {
	if tab.stays[room] != nil {
		tab.leave(room)
		tab.Call("leave", room)
		return
	}
	tab.Call("join", room)
	m.enter(tab, room)
}

// end ends a tab. It counts as gone before that happens.
func (m *presenceModel) end(tab *modelTab, how func()) {
	for room := range tab.stays {
		tab.leave(room)
	}
	how()
	m.tabs = slices.DeleteFunc(m.tabs, func(other *modelTab) bool { return other == tab })
}

// endAll ends the tabs of a node, and returns them.
func (m *presenceModel) endAll(node *modelNode, how func(*modelTab)) (ended []*modelTab) {
	for _, tab := range slices.Clone(m.tabs) {
		if tab.node == node {
			m.end(tab, func() { how(tab) })
			ended = append(ended, tab)
		}
	}
	return ended
}

// remove takes a node out and starts another one.
func (m *presenceModel) remove(node *modelNode) {
	m.nodes = slices.DeleteFunc(m.nodes, func(other *modelNode) bool { return other == node })
	m.start()
	m.await()
}

// drain ends a node in order. Its clients connect again elsewhere, to the same rooms.
func (m *presenceModel) drain() {
	node := m.nodes[1]
	rooms := make(map[*modelTab][]string)
	for _, tab := range m.tabs {
		for room := range tab.stays {
			if tab.node == node && room != "" {
				rooms[tab] = append(rooms[tab], room)
			}
		}
	}
	ended := m.endAll(node, func(*modelTab) {})
	ctx, cancel := context.WithTimeout(m.t.Context(), 10*time.Second)
	defer cancel()
	if err := node.Shutdown(ctx); err != nil {
		m.t.Errorf("Shutdown: %v", err)
	}
	m.remove(node)
	for _, old := range ended {
		tab := m.connect(old.user)
		for _, room := range rooms[old] {
			m.toggle(tab, room)
		}
	}
}

// kill takes a node from the others without warning, and its clients with it. Half of them connect
// again elsewhere.
func (m *presenceModel) kill() {
	node := m.nodes[1]
	node.proxy.StopPublishing()
	node.proxy.StopReceiving()
	ended := m.endAll(node, (*modelTab).Close)
	m.nodes = slices.DeleteFunc(m.nodes, func(other *modelNode) bool { return other == node })
	for _, old := range ended[:len(ended)/2] {
		m.connect(old.user)
	}
	m.start()
}

// take takes the events that have come, without waiting for any.
func (m *presenceModel) take() {
	for {
		into := make([]eventhub.Delivery, 100)
		n, err := m.events.sub.Take(into)
		if err != nil {
			m.t.Fatal(err)
		}
		for _, d := range into[:n] {
			place := modelPlace{d.Event.User, d.Event.Room}
			m.told[place] = append(m.told[place], *d.Event)
		}
		if n == 0 {
			return
		}
	}
}

func hasLeft(e eventhub.Event) bool {
	return e.Kind == eventhub.UserOffline || e.Kind == eventhub.UserLeft
}

// present returns the places where the user is, as far as backends were told.
func (m *presenceModel) present() (places []modelPlace) {
	for place, events := range m.told {
		slices.SortFunc(events, func(a, b eventhub.Event) int { return a.Time.Compare(b.Time) })
		if !hasLeft(events[len(events)-1]) {
			places = append(places, place)
		}
	}
	return sortPlaces(places)
}

// expected returns the places that users are in.
func (m *presenceModel) expected() (places []modelPlace) {
	for _, tab := range m.tabs {
		for room := range tab.stays {
			places = append(places, modelPlace{tab.user, room})
		}
	}
	return slices.Compact(sortPlaces(places))
}

func sortPlaces(places []modelPlace) []modelPlace {
	slices.SortFunc(places, func(a, b modelPlace) int { return strings.Compare(a.user+" "+a.room, b.user+" "+b.room) })
	return places
}

// check waits until backends were told what is so, and then looks at all that they were told.
func (m *presenceModel) check() {
	deadline := time.After(60 * time.Second)
	for m.take(); !slices.Equal(m.present(), m.expected()); m.take() {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			for place, events := range m.told {
				if told := !hasLeft(events[len(events)-1]); told != slices.Contains(m.expected(), place) {
					m.t.Logf("%v: %v", place, describeEvents(events))
				}
			}
			m.t.Fatalf("backends were told that there are\n%v\nand there are\n%v", m.present(), m.expected())
		}
	}
	events := 0
	for place, all := range m.told {
		events += len(all)
		for i, e := range all {
			if !m.kills && hasLeft(e) != (i%2 == 1) {
				m.t.Errorf("%v: event %d of %d is %v at %v", place, i, len(all), e.Kind, e.Time)
			}
			if s := m.stayAt(place, e.Time); hasLeft(e) && s != nil {
				m.t.Errorf("%v has left at %v, but was there from %v to %v", place, e.Time, s.from, s.to)
			}
		}
	}
	m.t.Logf("%d events about %d places", events, len(m.told))
}

// describeEvents returns the kinds and times of events.
func describeEvents(events []eventhub.Event) (all []string) {
	for _, e := range events {
		all = append(all, e.Kind.String()+" "+e.Time.Format("05.000000"))
	}
	return all
}

// stayAt returns a stay in a place at a time; nil if there was none.
func (m *presenceModel) stayAt(place modelPlace, at time.Time) *modelStay {
	for _, s := range m.past {
		if s.place == place && s.from.Before(at) && (s.to.IsZero() || s.to.After(at)) {
			return s
		}
	}
	return nil
}
