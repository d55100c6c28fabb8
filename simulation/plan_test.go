package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/salabroker/sala/broker"
)

// plan is what a seed draws before its run begins: how many take part, how they are
// configured, and how often each kind of action happens. Seeds differ widely, so that
// rare combinations come up: most plans leave out most kinds of faults.
type plan struct {
	nodes, clients, users, rooms, publishers int
	namespaces                               []string
	steps                                    int
	concurrent                               bool // actions run at the same time
	latency, busDelay                        time.Duration
	pause                                    time.Duration // the longest between steps
	pingInterval, pingTimeout                time.Duration
	window                                   time.Duration
	modes                                    []mode
	recovers, everybody                      bool // recovery is on, for all clients
	takers                                   int  // how many of 4 clients ask for it
	maxMessages                              int  // of a session
	maxBytes                                 int64
	tightNode                                bool // sessions may get evicted because of others
	userLimit                                bool // the sockets of a user are limited
	decides                                  bool // backends decide who may connect
	large                                    bool
	announce                                 bool
	weights                                  []int // of actions
}

func (p *plan) String() string {
	return fmt.Sprintf("%d nodes, %d clients of %d users, %d rooms, namespaces %v, %d publishers, %d steps, concurrent: %t, latency %s, bus delay %s, ping %s + %s, recovery: %t for everybody: %t, window %s, %d messages, %d bytes, modes %v",
		p.nodes, p.clients, p.users, p.rooms, p.namespaces, p.publishers, p.steps, p.concurrent, p.latency, p.busDelay, p.pingInterval, p.pingTimeout, p.recovers, p.everybody, p.window, p.maxMessages, p.maxBytes, p.modes)
}

// maxClients bounds the clients of a run.
const maxClients = 12

// drawPlan draws a plan.
func drawPlan(r *rand.Rand) plan {
	between := func(low, high int) int { return low + r.IntN(high-low+1) }
	chance := func(percent int) bool { return r.IntN(100) < percent }
	ms := func(low, high int) time.Duration { return time.Duration(between(low, high)) * time.Millisecond }
	p := plan{
		nodes:        1,
		clients:      between(2, 6),
		users:        between(1, 4),
		rooms:        between(1, 4),
		publishers:   between(1, 3),
		namespaces:   []string{"/"},
		steps:        between(20, 90),
		concurrent:   chance(50),
		pingInterval: ms(300, 3000),
		pingTimeout:  ms(300, 2000),
		window:       ms(3000, 20000),
		recovers:     chance(95),
		everybody:    chance(20),
		takers:       between(2, 4),
		maxMessages:  1024,
		maxBytes:     256 << 10,
		tightNode:    chance(8),
		userLimit:    chance(10),
		decides:      chance(30),
		large:        chance(25),
		announce:     chance(30),
	}
	if chance(20) {
		p.maxMessages, p.maxBytes = between(16, 100), 64<<10
	}
	if chance(40) {
		p.nodes = between(2, 3)
		if chance(70) {
			p.busDelay = ms(1, 120)
		}
	}
	switch r.IntN(10) {
	case 0, 1, 2:
	case 3, 4:
		p.latency = ms(100, 700)
		p.pingTimeout += 6 * p.latency
	default:
		p.latency = ms(1, 80)
	}
	p.pause = ms(1, 10)
	if chance(60) {
		p.pause = ms(100, 1500)
	}
	if chance(30) {
		p.namespaces = append(p.namespaces, "/b")
	}
	p.modes = [][]mode{
		{modeWebSocket}, {modeWebSocket}, {modeWebSocket}, {modePolling}, {modeUpgrade}, {modeWebSocket, modePolling, modeUpgrade},
	}[r.IntN(6)]
	p.weights = make([]int, len(actions()))
	for i, a := range actions() {
		switch {
		case a.cluster && p.nodes == 1:
		case a.always || chance(45):
			p.weights[i] = a.weight * between(1, 3)
		}
	}
	return p
}

// options returns the options of a node.
func (p *plan) options() broker.Options {
	o := broker.Options{
		Namespaces:      p.namespaces,
		PingInterval:    p.pingInterval,
		PingTimeout:     p.pingTimeout,
		DrainSpread:     200 * time.Millisecond,
		MaxMessageBytes: 64 << 10,
		MaxQueueBytes:   64 << 10,
		Relay: []broker.RelayRule{
			{Event: "relay", To: broker.RelayToRoom},
			{Event: "shout", To: broker.RelayToBroadcast},
		},
		Rooms: broker.RoomEvents{JoinEvent: "join", LeaveEvent: "leave"},
	}
	o.Decisions.Default = broker.AcceptUndecided
	if p.userLimit {
		o.Limits.ConnectionsPerUser = maxClients
	}
	if p.recovers {
		o.Recovery = &broker.RecoveryOptions{Window: p.window, MaxMessages: p.maxMessages, MaxBytes: p.maxBytes}
		if p.everybody {
			o.Recovery.Mode = broker.RecoverAlways
		}
		if p.tightNode {
			o.Recovery.MaxNodeBytes = p.maxBytes + 8<<10
		}
	}
	if p.announce {
		o.Rooms.Announce = &broker.Announcement{Event: "notice", Joined: "{user} joined {room}", Left: "{user} left {room}"}
	}
	return o
}
