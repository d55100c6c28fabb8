package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// toAll and toOne are the events that everyone gets, and that a single client gets.
	toAll, toOne = "all", "one"
	// directEvery is how often a client gets a message of its own: with every so manieth one to all.
	directEvery = 4
	// acksWanted is how many events a client sends, each with an ack, and enough how many messages to all it stays for
	// after its upgrade.
	acksWanted, enough = 8, 24
)

// upgrades is an Upgrade job that runs.
type upgrades struct {
	job       *job.Job
	dialer    *dialer
	clients   []client
	publisher *streamPublisher

	mu    sync.Mutex
	here  map[*climber]bool // those who get messages of their own
	total climber           // what those who are done have received
	done  int
}

// runUpgrade lets clients change from long-polling to WebSocket while messages to all and to each of them go on and on,
// and their own events are answered. Each must get everything, once and in order.
func runUpgrade(ctx context.Context, j *job.Job) (job.Figures, error) {
	u := &upgrades{job: j, here: make(map[*climber]bool)}
	var err error
	if u.clients, err = newClients(ctx, j, func(int) []string { return []string{everyone} }); err != nil {
		return nil, err
	}
	if u.dialer, err = newDialer(j.Target.Listen); err != nil {
		return nil, err
	}
	if u.publisher, err = newStreamPublisher(ctx, j); err != nil {
		return nil, err
	}
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	published := make(chan error, 1)
	go func() { published <- u.publish(publishing) }()
	err = inParallel(ctx, window, j.Clients, u.climb)
	stop()
	err = errors.Join(err, <-published)
	_, closeErr := u.publisher.close() // messages to those who have just left are dropped
	if err := errors.Join(err, closeErr); err != nil {
		return nil, err
	}
	return job.Figures{
		job.Upgrades:   float64(u.done),
		job.Broadcasts: float64(u.total.all),
		job.Directed:   float64(u.total.one),
		job.Acks:       float64(u.total.acks),
		job.Broken:     float64(j.Clients - u.done),
	}, nil
}

// publish sends to everyone at the job's pace, and to each client in turn, all with one numbering, until ctx is done.
func (u *upgrades) publish(ctx context.Context) error {
	tick := time.NewTicker(u.job.Every)
	defer tick.Stop()
	var order uint64
	for round := uint64(1); ; round++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		order++
		err := u.publisher.send(&salav1.EmitRequest{
			Rooms: []string{everyone}, Event: toAll, ArgsJson: fmt.Sprintf("[%d,%d]", round, order),
		})
		if err != nil {
			return err
		}
		if err := u.direct(round, &order); err != nil {
			return err
		}
	}
}

// direct sends to those whose turn it is.
func (u *upgrades) direct(round uint64, order *uint64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	for c := range u.here {
		if (round+c.turn)%directEvery != 0 {
			continue
		}
		*order++
		c.sent++
		err := u.publisher.send(&salav1.EmitRequest{
			Sockets: []string{c.id}, Event: toOne, ArgsJson: fmt.Sprintf("[%d,%d]", c.sent, *order),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// climber is one client that upgrades, and what it has received.
type climber struct {
	id   string
	turn uint64
	sent uint64 // messages for it alone; guarded by upgrades.mu

	first uint64 // number of the first message to all
	last  uint64 // number of the last one
	order uint64 // of the last message, whomever it was for
	all   uint64 // messages to all
	one   uint64 // messages for it alone
	asked int    // events that it has sent
	acks  int    // answers to them
}

// climb has one client connect, upgrade, and stay until it has everything.
func (u *upgrades) climb(_ context.Context, i int) error {
	c := &climber{turn: uint64(i)}
	polls, id, err := openPolling(u.dialer, u.clients[i])
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer polls.close()
	c.id = id
	u.mu.Lock()
	u.here[c] = true
	u.mu.Unlock()
	ws, err := c.upgrade(u.dialer, polls, i)
	if err == nil {
		defer ws.close()
		err = c.read(ws, func() bool { return c.asked == acksWanted && c.last-c.first > enough })
	}
	u.mu.Lock()
	delete(u.here, c)
	u.mu.Unlock() // and sent doesn't change any more
	if err == nil {
		err = c.read(ws, func() bool { return c.acks == acksWanted && c.one == c.sent })
	}
	if err != nil {
		return fmt.Errorf("client %d, which had %d messages to all, %d of %d of its own and %d of %d acks: %w",
			i, c.all, c.one, c.sent, c.acks, c.asked, err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.done++
	u.total.all += c.all
	u.total.one += c.one
	u.total.acks += c.acks
	return nil
}

// upgrade takes the client from long-polling to WebSocket, at different moments.
func (c *climber) upgrade(d *dialer, polls *polling, i int) (*stream, error) {
	if err := c.receive(polls.rest...); err != nil {
		return nil, err
	}
	for range i % 4 {
		if err := polls.ask(); err != nil {
			return nil, err
		}
		if err := c.answered(polls); err != nil {
			return nil, err
		}
	}
	if err := polls.ask(); err != nil {
		return nil, err
	}
	if err := c.askByPost(d, polls, i%3); err != nil {
		return nil, err
	}
	ws, err := polls.probe(d)
	if err != nil {
		return nil, err
	}
	if err := c.leave(polls, ws, i); err != nil {
		ws.close()
		return nil, err
	}
	return ws, nil
}

// leave waits for the pending poll, now and then for another one, and changes over; the next events follow at once.
func (c *climber) leave(polls *polling, ws *stream, i int) error {
	if err := c.answered(polls); err != nil {
		return err
	}
	if i%5 == 0 {
		if err := polls.ask(); err != nil {
			return err
		}
		if err := c.answered(polls); err != nil {
			return err
		}
	}
	frames := appendMasked(nil, opText, []byte("5"))
	for range i % 3 {
		frames = appendMasked(frames, opText, c.question())
	}
	_, err := ws.Write(frames)
	return err
}

// answered reads a poll's answer.
func (c *climber) answered(polls *polling) error {
	answer, err := polls.answer()
	if err != nil {
		return fmt.Errorf("polling: %w", err)
	}
	return c.receive(strings.Split(string(answer), separator)...)
}

// askByPost sends events while a poll is pending.
func (c *climber) askByPost(d *dialer, polls *polling, n int) error {
	if n == 0 {
		return nil
	}
	posts, err := d.dial()
	if err != nil {
		return err
	}
	defer posts.close()
	for range n {
		if err := polls.post(posts, c.question()); err != nil {
			return fmt.Errorf("posting an event: %w", err)
		}
	}
	return nil
}

// question returns the next event of the client. Nobody handles it, which is what the ack says.
func (c *climber) question() []byte {
	c.asked++
	return fmt.Appendf(nil, `42%d["anybody there"]`, c.asked)
}

// read reads until done, and asks as it goes.
func (c *climber) read(ws *stream, done func() bool) error {
	for !done() {
		message, err := ws.message()
		if err != nil {
			return fmt.Errorf("reading: %w", err)
		}
		if err := c.receive(string(message)); err != nil {
			return err
		}
		if c.asked < acksWanted && c.asked == c.acks {
			if err := ws.send(c.question()); err != nil {
				return err
			}
		}
	}
	return nil
}

// receive checks that the packets are the next ones.
func (c *climber) receive(packets ...string) error {
	for _, packet := range packets {
		if err := c.receiveOne(packet); err != nil {
			return fmt.Errorf("%w in %.200q", err, packet)
		}
	}
	return nil
}

func (c *climber) receiveOne(packet string) error {
	if packet == "6" {
		return nil
	}
	if answer, ok := strings.CutPrefix(packet, "43"); ok {
		c.acks++
		if !strings.HasPrefix(answer, strconv.Itoa(c.acks)+"[") {
			return fmt.Errorf("not the answer to event %d", c.acks)
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

func (c *climber) receiveEvent(name string, number, order uint64) error {
	if order <= c.order {
		return fmt.Errorf("a message that was sent before one that is here already (%d)", c.order)
	}
	c.order = order
	switch {
	case name == toOne:
		if c.one++; number != c.one {
			return fmt.Errorf("not message %d of the client's own", c.one)
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
