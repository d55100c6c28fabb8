package connections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Upgrades lets clients upgrade from long-polling to WebSocket while messages are on their way in
// both directions.
type Upgrades struct {
	Clients int
	// Every is the time from one message to all clients to the next.
	Every time.Duration
}

// NewUpgrades returns the scenario.
func NewUpgrades(quick bool) scenario.Scenario {
	if quick {
		return &Upgrades{300, 4 * time.Millisecond}
	}
	return &Upgrades{5000, 4 * time.Millisecond}
}

// Figures of [Upgrades]: what the clients that upgraded received.
const (
	figureUpgrades   = "upgrades"
	figureBroadcasts = "broadcasts" // messages to all
	figureDirect     = "directed"   // messages to one client
	figureAcks       = "acks"
)

// Info implements [scenario.Scenario].
func (s *Upgrades) Info() scenario.Info {
	return scenario.Info{
		Name:  "upgrades",
		Title: "Upgrades under traffic",
		Description: fmt.Sprintf("%d clients connect over long-polling and upgrade to WebSocket at different moments. Meanwhile %.0f messages a second go "+
			"to all of them, others go to each client alone, and the clients send events and wait for their acks. All messages are numbered. No "+
			"number may be missing, come twice or come late, within a kind of message or across kinds.", s.Clients, 1/s.Every.Seconds()),
		Limits: []scenario.Limit{scenario.Zero(scenario.Broken, "clients that missed a message, or received it twice or late")},
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%.0f upgrades; the clients received %.0f messages to all, %.0f messages to one client and %.0f acks",
				f[figureUpgrades], f[figureBroadcasts], f[figureDirect], f[figureAcks])
		},
	}
}

const (
	// eventToAll and eventToOne are the events for all clients and for a single one.
	eventToAll, eventToOne = "all", "one"
	// directEvery is how often a client gets a message of its own: with each n-th message to all.
	directEvery = 4
	// acksWanted is how many events a client sends, and messagesWanted for how many messages to all
	// it stays after its upgrade.
	acksWanted, messagesWanted = 8, 24
)

// upgradesRun is a run of [Upgrades].
type upgradesRun struct {
	*Upgrades
	dialer    *load.Dialer
	clients   []load.Client
	publisher *load.EmitStream

	mu        sync.Mutex
	connected map[*upgrading]bool // clients that get messages of their own
	total     upgrading           // what clients that are done have received
	done      int
}

// Run implements [scenario.Scenario].
func (s *Upgrades) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	target, err := env.Start(ctx)
	if err != nil {
		return nil, err
	}
	r := &upgradesRun{Upgrades: s, connected: make(map[*upgrading]bool)}
	if r.clients, err = load.NewClients(ctx, target, s.Clients, load.InRooms(load.Everyone)); err != nil {
		return nil, err
	}
	if r.dialer, err = load.NewDialer(target.Listen); err != nil {
		return nil, err
	}
	if r.publisher, err = load.NewEmitStream(ctx, target); err != nil {
		return nil, err
	}
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	published := make(chan error, 1)
	go func() { published <- r.publish(publishing) }()
	err = load.InParallel(ctx, load.DefaultWindow, s.Clients, r.upgradeOne)
	stop()
	err = errors.Join(err, <-published)
	_, closeErr := r.publisher.Close() // messages to clients that have just left are dropped
	if err := errors.Join(err, closeErr); err != nil {
		return nil, err
	}
	return results.Figures{
		figureUpgrades:   float64(r.done),
		figureBroadcasts: float64(r.total.all),
		figureDirect:     float64(r.total.one),
		figureAcks:       float64(r.total.acks),
		scenario.Broken:  float64(s.Clients - r.done),
	}, nil
}

// publish sends messages to all and to each client in turn, in one numbering, until ctx ends.
func (r *upgradesRun) publish(ctx context.Context) error {
	tick := time.NewTicker(r.Every)
	defer tick.Stop()
	var order uint64
	for round := uint64(1); ; round++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		order++
		err := r.publisher.Send(&salav1.EmitRequest{
			Rooms: []string{load.Everyone}, Event: eventToAll, ArgsJson: fmt.Sprintf("[%d,%d]", round, order),
		})
		if err != nil {
			return err
		}
		if err := r.publishToSome(round, &order); err != nil {
			return err
		}
	}
}

// publishToSome sends a message to each client whose turn it is.
func (r *upgradesRun) publishToSome(round uint64, order *uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.connected {
		if (round+c.turn)%directEvery != 0 {
			continue
		}
		*order++
		c.sent++
		err := r.publisher.Send(&salav1.EmitRequest{
			Sockets: []string{c.id}, Event: eventToOne, ArgsJson: fmt.Sprintf("[%d,%d]", c.sent, *order),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// upgradeOne has one client connect, upgrade, and stay until it has received everything.
func (r *upgradesRun) upgradeOne(_ context.Context, i int) error {
	c := &upgrading{turn: uint64(i)}
	polling, id, err := load.OpenPolling(r.dialer, r.clients[i])
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer polling.Close()
	c.id = id
	r.mu.Lock()
	r.connected[c] = true
	r.mu.Unlock()
	ws, err := c.upgrade(r.dialer, polling, i)
	if err == nil {
		defer ws.Close()
		err = c.read(ws, func() bool { return c.asked == acksWanted && c.last-c.first > messagesWanted })
	}
	r.mu.Lock()
	delete(r.connected, c)
	r.mu.Unlock() // c.sent stays as it is from here
	if err == nil {
		err = c.read(ws, func() bool { return c.acks == acksWanted && c.one == c.sent })
	}
	if err != nil {
		return fmt.Errorf("client %d, which had received %d messages to all, %d of %d of its own and %d of %d acks: %w",
			i, c.all, c.one, c.sent, c.acks, c.asked, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	r.total.all += c.all
	r.total.one += c.one
	r.total.acks += c.acks
	return nil
}

// upgrading is a client that upgrades, and what it has received.
type upgrading struct {
	id   string
	turn uint64
	sent uint64 // messages to it alone; guarded by upgradesRun.mu

	first uint64 // number of the first message to all
	last  uint64 // number of the last one
	order uint64 // of the last message of any kind
	all   uint64 // messages to all
	one   uint64 // messages to it alone
	asked int    // events that it has sent
	acks  int    // their acks
}

// upgrade upgrades the client at a moment that depends on its number.
func (c *upgrading) upgrade(d *load.Dialer, polling *load.Polling, i int) (*load.Conn, error) {
	if err := c.receive(polling.Early...); err != nil {
		return nil, err
	}
	for range i % 4 {
		if err := polling.StartPoll(); err != nil {
			return nil, err
		}
		if err := c.finishPoll(polling); err != nil {
			return nil, err
		}
	}
	if err := polling.StartPoll(); err != nil {
		return nil, err
	}
	if err := c.postEvents(d, polling, i%3); err != nil {
		return nil, err
	}
	ws, err := polling.Probe(d)
	if err != nil {
		return nil, err
	}
	if err := c.complete(polling, ws, i); err != nil {
		ws.Close()
		return nil, err
	}
	return ws, nil
}

// complete waits for the pending poll, sometimes for another one, and completes the upgrade. The
// next events follow in the same write.
func (c *upgrading) complete(polling *load.Polling, ws *load.Conn, i int) error {
	if err := c.finishPoll(polling); err != nil {
		return err
	}
	if i%5 == 0 {
		if err := polling.StartPoll(); err != nil {
			return err
		}
		if err := c.finishPoll(polling); err != nil {
			return err
		}
	}
	frames := load.AppendFrame(nil, load.OpText, []byte("5"))
	for range i % 3 {
		frames = load.AppendFrame(frames, load.OpText, c.nextEvent())
	}
	_, err := ws.Write(frames)
	return err
}

func (c *upgrading) finishPoll(polling *load.Polling) error {
	answer, err := polling.FinishPoll()
	if err != nil {
		return fmt.Errorf("polling: %w", err)
	}
	return c.receive(strings.Split(string(answer), load.PacketSeparator)...)
}

// postEvents sends n events while a poll is pending.
func (c *upgrading) postEvents(d *load.Dialer, polling *load.Polling, n int) error {
	if n == 0 {
		return nil
	}
	posts, err := d.Dial()
	if err != nil {
		return err
	}
	defer posts.Close()
	for range n {
		if err := polling.Post(posts, c.nextEvent()); err != nil {
			return fmt.Errorf("posting an event: %w", err)
		}
	}
	return nil
}

// nextEvent returns the client's next event. No backend handles it, so its ack is an error.
func (c *upgrading) nextEvent() []byte {
	c.asked++
	return fmt.Appendf(nil, `42%d["anybody there"]`, c.asked)
}

// read reads until done, and sends further events.
func (c *upgrading) read(ws *load.Conn, done func() bool) error {
	for !done() {
		message, err := ws.ReadMessage()
		if err != nil {
			return fmt.Errorf("reading: %w", err)
		}
		if err := c.receive(string(message)); err != nil {
			return err
		}
		if c.asked < acksWanted && c.asked == c.acks {
			if err := ws.WriteMessage(c.nextEvent()); err != nil {
				return err
			}
		}
	}
	return nil
}

// receive checks that packets are the next ones.
func (c *upgrading) receive(packets ...string) error {
	for _, packet := range packets {
		if err := c.receiveOne(packet); err != nil {
			return fmt.Errorf("%w in %.200q", err, packet)
		}
	}
	return nil
}

func (c *upgrading) receiveOne(packet string) error {
	if packet == "6" {
		return nil
	}
	if answer, ok := strings.CutPrefix(packet, "43"); ok {
		c.acks++
		if !strings.HasPrefix(answer, strconv.Itoa(c.acks)+"[") {
			return fmt.Errorf("not the ack of event %d", c.acks)
		}
		return nil
	}
	event, ok := strings.CutPrefix(packet, "42")
	if !ok {
		return errors.New("an unexpected packet")
	}
	var name string
	var number, order uint64
	if err := json.Unmarshal([]byte(event), &[]any{&name, &number, &order}); err != nil {
		return err
	}
	return c.receiveEvent(name, number, order)
}

func (c *upgrading) receiveEvent(name string, number, order uint64) error {
	if order <= c.order {
		return fmt.Errorf("a message that was sent before the last one (%d)", c.order)
	}
	c.order = order
	switch {
	case name == eventToOne:
		if c.one++; number != c.one {
			return fmt.Errorf("not message %d to this client", c.one)
		}
	case c.first == 0:
		c.first, c.last = number, number
		c.all++
	default:
		if c.last++; number != c.last {
			return fmt.Errorf("not message %d to all", c.last)
		}
		c.all++
	}
	return nil
}
