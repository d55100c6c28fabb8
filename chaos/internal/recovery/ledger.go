package recovery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/observe"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// Socket is one client in one namespace.
type Socket struct {
	Client    int
	Namespace string
}

// closedByApplication is the reason for a disconnect that a client gives if its application has
// closed the engine.
const closedByApplication = "forced close"

// disconnectedByBroker is the reason if the broker has ended the socket.
const disconnectedByBroker = "io server disconnect"

// goodbyeEvent is what a client gets before its node ends.
const goodbyeEvent = "sala:disconnect"

// offsetPattern is what the last argument of an event looks like that a session could replay.
const offsetPattern = `^"[0-9A-Za-z_-]{8}\.[0-9a-z]+"$`

// ledger records what was published, and what happened to each socket as its client reports it. It
// judges both, and knows nothing else of the broker. It is safe for concurrent use.
type ledger struct {
	offset *regexp.Regexp
	drains bool // nodes end, and tell their clients

	mu       sync.Mutex
	list     []Socket // in order of clients
	sockets  map[Socket]*socketLog
	accepted map[Socket]map[stream][]uint64 // what each socket must have received
	excused  map[message]bool               // those without an answer
	answers  map[message]string             // what the broker said of those that it accepted
	late     []lateMessage
	counts   counts
	examples observe.Examples // of what went wrong
	// miscounts are examples of messages that matched more or fewer sockets than there are. They have
	// room of their own, since a cluster has many of them.
	miscounts observe.Examples
}

// counts count what went wrong, and what went as it should.
type counts struct {
	received, published, returns, disturbed, relays, goodbyes                                                              int
	missing, twice, disorder, wrong, miscounted, miscountedBy, notRecovered, otherID, notices, sentAway, refused, replayed int
}

// socketLog is what happened to a socket.
type socketLog struct {
	recovers  bool
	connected bool
	connects  int
	id        string
	closed    bool // it is away because its application has closed the connection
	sentAway  bool // the broker has disconnected it, and stock clients don't return then
	streams   map[stream]*streamLog
	history   [historyLength]step
	steps     int
}

// step is something that happened to a socket. Examples of what went wrong say what came before.
type step struct {
	what   string // a connect, or why the client was disconnected; "" for a message
	from   stream
	number uint64
	own    bool // the client handled it between its connections
}

// historyLength is how many steps are kept for each socket.
const historyLength = 32

// note adds a step.
func (x *socketLog) note(s step) {
	x.history[x.steps%historyLength] = s
	x.steps++
}

// before describes the last steps.
func (x *socketLog) before() string {
	var b strings.Builder
	for i := max(0, x.steps-historyLength); i < x.steps; i++ {
		s := x.history[i%historyLength]
		switch {
		case s.what != "":
			fmt.Fprintf(&b, " [%s]", s.what)
		case s.own:
			fmt.Fprintf(&b, " (%v:%d)", s.from, s.number)
		default:
			fmt.Fprintf(&b, " %v:%d", s.from, s.number)
		}
	}
	return b.String()
}

// streamLog is what a socket has received of a stream.
type streamLog struct {
	received map[uint64]receipt
	last     uint64
}

// lateMessage is a message that came after a later one.
type lateMessage struct {
	socket        Socket
	from          stream
	number, after uint64
	returns       int
	history       string
}

// receipt says how a socket received a message.
type receipt struct {
	// ownBuffer says that the client had kept the message in its own buffer, since its application closed
	// the connection while the message was about to be handled.
	ownBuffer bool
}

func newLedger() *ledger {
	return &ledger{
		offset:  regexp.MustCompile(offsetPattern),
		sockets: make(map[Socket]*socketLog), accepted: make(map[Socket]map[stream][]uint64),
		excused: make(map[message]bool), answers: make(map[message]string),
	}
}

// expectGoodbyes says that nodes will end, and tell their clients before.
func (l *ledger) expectGoodbyes() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drains = true
}

// add adds a socket, which takes part in recovery or doesn't.
func (l *ledger) add(s Socket, recovers bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, s)
	l.sockets[s] = &socketLog{recovers: recovers, streams: make(map[stream]*streamLog)}
	l.accepted[s] = make(map[stream][]uint64)
}

// in returns the sockets of a namespace.
func (l *ledger) in(namespace string) []Socket {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.list), func(s Socket) bool { return s.Namespace != namespace })
}

// owe records that a socket must have received a message in the end.
func (l *ledger) owe(s Socket, from stream, number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted[s][from] = append(l.accepted[s][from], number)
}

// owePublished records that the broker has accepted a message for all sockets that it is for, and
// what it said.
func (l *ledger) owePublished(m message, all []Socket, answer string) {
	l.mu.Lock()
	l.answers[m] = answer
	l.mu.Unlock()
	for _, s := range all {
		if m.isFor(s, all) {
			l.owe(s, stream{number: m.publisher}, m.number)
		}
	}
}

// oweRelayed records that the broker has accepted a client's event for the client's room.
func (l *ledger) oweRelayed(client int, number uint64) {
	for _, s := range l.in("/") {
		if roomName(s.Client) == roomName(client) {
			l.owe(s, stream{relay: true, number: client}, number)
		}
	}
}

// unanswered records that a publisher got no answer for a message. It may arrive, and later than its
// publisher's next message.
func (l *ledger) unanswered(m message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.excused[m] = true
}

// counted records how many sockets the broker says that a message matched, and how many it is for.
func (l *ledger) counted(m message, matched, want int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.published++
	if matched != want {
		l.counts.miscounted++
		l.counts.miscountedBy = max(l.counts.miscountedBy, matched-want, want-matched)
		l.miscounts.Add("message %d of publisher %d matched %d sockets, not %d", m.number, m.publisher, matched, want)
	}
}

// acked records that a client's event was acknowledged.
func (l *ledger) acked(client int, number uint64) {
	l.oweRelayed(client, number)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.relays++
}

// connected records that a socket has connected.
func (l *ledger) connected(s Socket, id string, recovered bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.sockets[s]
	x.connected, x.closed = true, false
	x.note(step{what: fmt.Sprintf("connect %v", recovered)})
	x.connects++
	if x.connects > 1 {
		l.counts.returns++
	}
	if x.connects > 1 && !recovered {
		l.counts.notRecovered++
		l.examples.Add("%s of client %d came back without its session, %d returns before:%s", s.Namespace, s.Client, x.connects-2, x.before())
	}
	if x.connects > 1 && recovered && id != x.id {
		l.counts.otherID++
		l.examples.Add("%s of client %d came back as %s, not as %s", s.Namespace, s.Client, id, x.id)
	}
	x.id = id
}

// disconnected records that a socket has noticed the end of its connection, and why.
func (l *ledger) disconnected(s Socket, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.sockets[s]
	x.connected = false
	x.closed = x.closed || why == closedByApplication // a client reports the end of each attempt to connect, too
	x.note(step{what: why})
	if why == disconnectedByBroker {
		l.counts.sentAway++
		x.sentAway = true
		l.examples.Add("the broker disconnected %s of client %d, after %d returns:%s", s.Namespace, s.Client, x.connects-1, x.before())
	}
}

// closing records that a client's application is about to close the connection.
func (l *ledger) closing(s Socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sockets[s].note(step{what: "close"})
}

// refused records that the broker has refused a socket.
func (l *ledger) refused(s Socket, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.refused++
	l.examples.Add("%s of client %d was refused: %s", s.Namespace, s.Client, why)
}

// disturbed records that a client's application has disturbed its connection.
func (l *ledger) disturbed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.disturbed++
}

// received records an event. Away says that the client handled it between its disconnect and its
// next connect, so it had the event in its own buffer.
func (l *ledger) received(s Socket, event string, away bool, args json.RawMessage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.sockets[s]
	if l.drains && event == goodbyeEvent {
		l.counts.goodbyes++
		return
	}
	if event != messageEvent && event != relayedEvent {
		l.counts.notices++
		l.examples.Add("%s of client %d received %s%s", s.Namespace, s.Client, event, args)
		return
	}
	from, number, want, err := parse(event, args)
	if err != nil {
		l.counts.wrong++
		l.examples.Add("%s of client %d: %v", s.Namespace, s.Client, err)
		return
	}
	l.counts.received++
	if !l.right(x, args, want) {
		l.counts.wrong++
		l.examples.Add("%s of client %d, which recovers: %v, received %s%s, published was %s", s.Namespace, s.Client, x.recovers, event, args, want)
	}
	x.note(step{from: from, number: number, own: away})
	l.enter(s, x, from, number, receipt{ownBuffer: away && x.closed})
}

// right reports whether the arguments are those that were published, with an offset for those who
// take part and without for others.
func (l *ledger) right(x *socketLog, args, want []byte) bool {
	if !x.recovers {
		return bytes.Equal(args, want)
	}
	rest, ok := bytes.CutPrefix(args, want[:len(want)-1])
	if !ok || len(rest) < 2 || rest[0] != ',' {
		return false
	}
	return l.offset.Match(rest[1 : len(rest)-1])
}

// enter adds a message to what a socket has received. The caller holds mu.
func (l *ledger) enter(s Socket, x *socketLog, from stream, number uint64, r receipt) {
	log, ok := x.streams[from]
	if !ok {
		log = &streamLog{received: make(map[uint64]receipt)}
		x.streams[from] = log
	}
	before, again := log.received[number]
	switch {
	case again && before.ownBuffer:
		l.counts.replayed++
	case again:
		l.counts.twice++
		l.examples.Add("%s of client %d received message %d of %v twice, after %d returns:%s", s.Namespace, s.Client, number, from, x.connects-1, x.before())
	case number < log.last:
		l.late = append(l.late, lateMessage{socket: s, from: from, number: number, after: log.last, returns: x.connects - 1, history: x.before()})
	}
	log.received[number] = r
	log.last = max(log.last, number)
}

// away returns how many sockets are not connected and may return.
func (l *ledger) away() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.sockets {
		if !x.connected && !x.sentAway {
			n++
		}
	}
	return n
}

// describeAway describes the sockets that are not connected.
func (l *ledger) describeAway() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list observe.Examples
	for _, s := range l.list {
		if x := l.sockets[s]; !x.connected {
			list.Add("%s of client %d:%s", s.Namespace, s.Client, x.before())
		}
	}
	if len(list) == 0 {
		return nil
	}
	return fmt.Errorf("not connected: %s", strings.Join(list, "; "))
}

// events returns how many events and returns there were so far.
func (l *ledger) events() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts.received + l.counts.returns
}

// lacking calls report for each message that a socket lacks. Sockets that the broker disconnected
// are counted by themselves. The caller holds mu.
func (l *ledger) lacking(report func(Socket, stream, uint64)) {
	for _, s := range l.list {
		if l.sockets[s].sentAway {
			continue
		}
		for from, numbers := range l.accepted[s] {
			log := l.sockets[s].streams[from]
			for _, number := range numbers {
				if log == nil {
					report(s, from, number)
				} else if _, ok := log.received[number]; !ok {
					report(s, from, number)
				}
			}
		}
	}
}

// Figures about sessions.
const (
	figureSockets      = "sockets"
	figureReturns      = "returns"       // of sockets
	figureNotRecovered = "not_recovered" // returns without the session
	figureOtherID      = "other_id"      // returns with another socket id
	figureWrong        = "wrong_args"    // events whose arguments are not those that were published
	figureMiscounted   = "miscounted"    // messages that matched another number of sockets
	figureMiscountedBy = "miscounted_by" // sockets at most
	figurePublished    = "published"     // messages of publishers, that were accepted
	figureSentAway     = "sent_away"     // sockets that the broker disconnected
	figureNotices      = "notices"       // events of the broker itself, such as sala:session
	figureTwice        = "twice"
	figureOwnBuffer    = "own_buffer" // events that a client handled again, from its own buffer
	figureCuts         = "cuts"
	figureDisturbances = "disturbances"
	figureRelays       = "relays"
)

// limits are what each run with sessions must keep.
func limits() []scenario.Limit {
	return []scenario.Limit{
		scenario.Zero(scenario.Missing, "messages that clients lost"),
		scenario.Zero(figureTwice, "messages that came twice"),
		scenario.Zero(scenario.Disorder, "messages that came after a later one of the same sender"),
		scenario.Zero(figureNotRecovered, "returns with recovered false"),
		scenario.Zero(figureOtherID, "returns with another socket id"),
		scenario.Zero(figureWrong, "events with other arguments than those published, and an offset only for those who take part"),
		scenario.Zero(figureNotices, "events of the broker itself, such as sala:session"),
		scenario.Zero(figureSentAway, "sockets that the broker disconnected"),
		scenario.Zero(scenario.Refused, "clients that the broker refused"),
		scenario.Zero(scenario.Gone, "sockets that were not connected in the end"),
	}
}

// addTo adds the verdict to figures.
func (l *ledger) addTo(f results.Figures) {
	gone := l.away()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lacking(func(s Socket, from stream, number uint64) {
		l.counts.missing++
		l.examples.Add("%s of client %d lacks message %d of %v, after %d returns; the broker said %s", s.Namespace, s.Client, number, from,
			l.sockets[s].connects-1, l.answers[message{from.number, number}])
	})
	for _, m := range l.late {
		if m.from.relay || !l.excused[message{m.from.number, m.number}] {
			l.counts.disorder++
			l.examples.Add("%s of client %d received message %d of %v after %d, after %d returns:%s",
				m.socket.Namespace, m.socket.Client, m.number, m.from, m.after, m.returns, m.history)
		}
	}
	c := &l.counts
	for figure, n := range map[string]int{
		figureSockets: len(l.list), figurePublished: c.published, scenario.Received: c.received, figureReturns: c.returns, figureDisturbances: c.disturbed, figureRelays: c.relays,
		scenario.Missing: c.missing, figureTwice: c.twice, scenario.Disorder: c.disorder, figureWrong: c.wrong, figureMiscounted: c.miscounted, figureMiscountedBy: c.miscountedBy, figureNotRecovered: c.notRecovered,
		figureOtherID: c.otherID, figureNotices: c.notices, figureSentAway: c.sentAway, scenario.Refused: c.refused, figureOwnBuffer: c.replayed, scenario.Gone: gone,
	} {
		f[figure] = float64(n)
	}
}
