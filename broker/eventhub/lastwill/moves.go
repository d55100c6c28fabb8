package lastwill

import (
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/eventhub/socketwire"
)

const (
	// keepTakenFor is how long this node remembers which sockets it has taken over: longer than it
	// takes to recover the node that they come from, and than that node may ask for them.
	keepTakenFor = 40 * time.Second
	// askGivenAfter is how long a node may take to deposit a socket that it has taken over until it
	// is asked whether it has the socket at all. A take-over never takes that long.
	askGivenAfter = 10 * time.Second
	// dropGivenAfter is how long its answer is awaited.
	dropGivenAfter = 30 * time.Second
	// maxMoves bounds the moves that are remembered in each direction, so that what a node has to
	// say about them fits into one message. Further ones are made as if no node could be lost
	// meanwhile.
	maxMoves = 20_000
	// maxTakesOfVersions bounds the versions that are told apart.
	maxTakesOfVersions = 64
)

// move names one move of a socket: its id, and how often it had moved after it.
type move struct {
	socket string
	number uint32
}

func moveFrom(w *wire.SocketMove) move { return move{w.GetSocket(), w.GetMove()} }

func (v move) wire() *wire.SocketMove { return &wire.SocketMove{Socket: v.socket, Move: v.number} }

// moves are the sockets that have moved between this node and others a short while ago. Of such a
// socket two nodes may have a deposit, or none yet that its successors are known to keep. So the node
// that has handed it over keeps its own until it learns that the other's is safe, and nodes that
// recover a lost one learn what has moved.
type moves struct {
	mu        sync.Mutex // before changes.mu
	given     map[string]given
	taken     map[string]uint32  // number of the last move, of sockets that haven't moved on
	takes     []take             // oldest first
	known     map[move]uint64    // take.count of each
	deposited uint64             // take.count of the last one that all successors were known to keep
	forgotten time.Time          // when a take-over couldn't be remembered
	missing   []*eventhub.Socket // were handed over, and haven't arrived
}

// given is a socket that this node has handed over and still keeps in its deposit.
type given struct {
	keptSocket // as it was here
	to         cluster.NodeID
	at         time.Time
	there      bool // the other node was there at that time, or later
}

// take is a take-over by this node.
type take struct {
	move
	from  cluster.NodeID
	at    time.Time
	count uint64 // counts the take-overs of this node
}

// takesOfVersion says how many take-overs a version of the deposit includes.
type takesOfVersion struct{ version, takes uint64 }

func newMoves() moves {
	return moves{given: make(map[string]given), taken: make(map[string]uint32), known: make(map[move]uint64)}
}

// HandedOver says that another node takes over a socket of this one. It is called when the socket
// can't be found here any more, and before the other node learns that it has it. From then on the
// registry sees to it that the socket's Disconnect is published if the other node is lost, or never
// gets the socket. s describes the socket as it was here. It never waits.
func (r *Registry) HandedOver(to cluster.NodeID, s *eventhub.Socket) {
	r.mu.Lock()
	_, there := r.nodes[to]
	r.mu.Unlock()
	m := &r.moves
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.taken, s.ID)
	if len(m.given) >= maxMoves {
		r.Ended(s.ID)
		return
	}
	m.given[s.ID] = given{keptSocketFrom(socketwire.To(s)), to, time.Now(), there}
}

// TakenOver says that this node has taken over a socket of another one, which has called HandedOver.
// It is called in place of Connected when the socket can be found here, before its first event is
// published. s describes the socket as it is here: Moves is one more than in the description of the
// other node. It never waits.
func (r *Registry) TakenOver(from cluster.NodeID, s *eventhub.Socket) {
	m := &r.moves
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.given, s.ID) // it is back
	t := take{move{s.ID, s.Moves}, from, time.Now(), r.changes.takenOver(s)}
	notify(r.wake)
	if len(m.takes) >= maxMoves {
		m.forgotten = t.at
		return
	}
	m.takes = append(m.takes, t)
	m.taken[s.ID], m.known[t.move] = s.Moves, t.count
}

// givenSockets returns the sockets that belong into this node's deposit although they aren't here.
func (m *moves) givenSockets(self cluster.NodeID) (all []*eventhub.Socket) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, g := range m.given {
		all = append(all, g.socket(id, self))
	}
	return all
}

// about returns what a node that recovers a lost one has to know: the moves after which this node
// sees to the end of the socket, and the sockets that it has handed over to the lost node.
func (m *moves) about(lost cluster.NodeID) (here []*wire.SocketMove, handed []*wire.Socket) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, number := range m.taken {
		here = append(here, move{id, number}.wire())
	}
	for id, g := range m.given {
		if g.to != lost {
			here = append(here, move{id, g.moves + 1}.wire())
			continue
		}
		there := g.keptSocket
		there.moves++
		handed = append(handed, socketwire.To(there.socket(id, lost)))
	}
	return here, handed
}

// applyMoves adds to what is kept of a lost node the sockets that others have handed over to it, and
// drops those that have moved on. The caller holds mu.
func (r *Registry) applyMoves(rec *recovery, states map[cluster.NodeID]*wire.WillState) {
	snap := rec.snapshot
	here, handed := r.moves.about(rec.node)
	for _, state := range states {
		here, handed = append(here, state.GetMoves()...), append(handed, state.GetGiven()...)
	}
	if snap.sockets == nil {
		snap.sockets = make(map[string]keptSocket)
	}
	for _, s := range handed {
		if k, ok := snap.sockets[s.GetId()]; !ok || k.moves < s.GetMoves() {
			snap.sockets[s.GetId()] = keptSocketFrom(s)
		}
	}
	for _, w := range here {
		if k, ok := snap.sockets[w.GetSocket()]; ok && k.moves < w.GetMove() {
			delete(snap.sockets, w.GetSocket())
		}
	}
}

// noteTakes notes how many take-overs the current version of the deposit includes.
func (d *deposits) noteTakes(takes uint64) {
	last := len(d.takes) - 1
	switch now := (takesOfVersion{d.version, takes}); {
	case last >= 0 && d.takes[last].takes == takes || last < 0 && takes == 0:
	case last+1 < maxTakesOfVersions:
		d.takes = append(d.takes, now)
	default:
		d.takes[last] = now
	}
}

// takesThrough returns how many take-overs a version of the deposit includes.
func (d *deposits) takesThrough(version uint64) (takes uint64) {
	for len(d.takes) > 0 && d.takes[0].version <= version {
		takes = d.takes[0].takes
		d.takes = d.takes[1:]
	}
	return takes
}

// reportDeposited tells the nodes that this one has taken sockets from that they are deposited, as
// far as the first take-overs up to a count are concerned.
func (r *Registry) reportDeposited(through uint64) {
	m, byNode := &r.moves, make(map[cluster.NodeID][]*wire.SocketMove)
	m.mu.Lock()
	first := sort.Search(len(m.takes), func(i int) bool { return m.takes[i].count > m.deposited })
	for _, t := range m.takes[first:] {
		if t.count <= through {
			byNode[t.from] = append(byNode[t.from], t.wire())
		}
	}
	m.deposited = max(m.deposited, through)
	m.forgetTakes(time.Now())
	m.mu.Unlock()
	for node, all := range byNode {
		r.sendMoves(node, all, func(some []*wire.SocketMove) *wire.WillMoves { return &wire.WillMoves{Deposited: some} })
	}
}

// forgetTakes forgets what was taken over long ago. The caller holds mu.
func (m *moves) forgetTakes(now time.Time) {
	for len(m.takes) > 0 && m.takes[0].count <= m.deposited && now.Sub(m.takes[0].at) > keepTakenFor {
		t := m.takes[0]
		m.takes = m.takes[1:]
		delete(m.known, t.move)
		if m.taken[t.socket] == t.number {
			delete(m.taken, t.socket)
		}
	}
}

// sendMoves sends moves to a node, in as many messages as that takes. If one is lost, the other node
// asks, or this one asks again.
func (r *Registry) sendMoves(to cluster.NodeID, all []*wire.SocketMove, message func(some []*wire.SocketMove) *wire.WillMoves) {
	for some := range slices.Chunk(all, batchSockets) {
		r.send(to, &wire.EventTraffic{Body: &wire.EventTraffic_WillMoves{WillMoves: message(some)}})
	}
}

// checkGiven asks other nodes for sockets that they should have deposited by now, and forgets those
// that were handed over to nodes that are gone.
func (r *Registry) checkGiven(now time.Time) {
	m, asked := &r.moves, make(map[cluster.NodeID][]*wire.SocketMove)
	r.mu.Lock()
	m.mu.Lock()
	for id, g := range m.given {
		_, there := r.nodes[g.to]
		g.there = g.there || there
		m.given[id] = g
		switch since := now.Sub(g.at); {
		case !g.there && since > askGivenAfter: // it was gone already
			r.miss(id)
		case g.there && !there && r.recoveries[g.to] == nil || since > dropGivenAfter:
			r.settle(id)
		case there && since > askGivenAfter:
			asked[g.to] = append(asked[g.to], move{id, g.moves + 1}.wire())
		}
	}
	m.mu.Unlock()
	r.mu.Unlock()
	for node, all := range asked {
		r.sendMoves(node, all, func(some []*wire.SocketMove) *wire.WillMoves { return &wire.WillMoves{Asked: some} })
	}
}

// settle ends what this node does for a socket that it has handed over. The caller holds moves.mu.
func (r *Registry) settle(id string) {
	delete(r.moves.given, id)
	r.Ended(id)
}

// settleAll settles all sockets, because the deposits are empty.
func (m *moves) settleAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.given)
}

// miss settles a socket that has ended on its way to another node. The caller holds moves.mu.
func (r *Registry) miss(id string) {
	m := &r.moves
	m.missing = append(m.missing, m.given[id].socket(id, r.opts.Self))
	r.settle(id)
	notify(r.wake)
}

// takeMissing returns the sockets that have ended on their way since the last call.
func (m *moves) takeMissing() []*eventhub.Socket {
	m.mu.Lock()
	defer m.mu.Unlock()
	missing := m.missing
	m.missing = nil
	return missing
}

// receiveMoves takes a message of another node about sockets that have moved.
func (r *Registry) receiveMoves(from cluster.NodeID, w *wire.WillMoves) {
	m := &r.moves
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range w.GetDeposited() {
		if m.isGiven(from, moveFrom(v)) {
			r.settle(v.GetSocket())
		}
	}
	for _, v := range w.GetUnknown() {
		if m.isGiven(from, moveFrom(v)) {
			r.miss(v.GetSocket())
		}
	}
	if answer := m.answer(w.GetAsked()); answer != nil {
		r.send(from, &wire.EventTraffic{Body: &wire.EventTraffic_WillMoves{WillMoves: answer}})
	}
}

// isGiven reports whether this node still answers for a socket that it has handed over in a move to
// a node. The caller holds mu.
func (m *moves) isGiven(to cluster.NodeID, v move) bool {
	g, ok := m.given[v.socket]
	return ok && g.to == to && g.moves+1 == v.number
}

// answer says which sockets are deposited, and which have never arrived. It returns nil if there is
// nothing to say yet. The caller holds mu.
func (m *moves) answer(asked []*wire.SocketMove) *wire.WillMoves {
	w := &wire.WillMoves{}
	for _, v := range asked {
		switch count, ok := m.known[moveFrom(v)]; {
		case ok && count <= m.deposited:
			w.Deposited = append(w.Deposited, v)
		case !ok && time.Since(m.forgotten) > keepTakenFor:
			w.Unknown = append(w.Unknown, v)
		}
	}
	if len(w.GetDeposited())+len(w.GetUnknown()) == 0 {
		return nil
	}
	return w
}
