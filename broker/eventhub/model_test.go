package eventhub

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// model records what can be seen of a hub from outside: the members, what was published, and what
// each member was handed.
type model struct {
	t       *testing.T
	r       *rand.Rand
	hub     *Hub
	members []*modelMember
	events  []*modelEvent
	sockets map[string]int // the last number of each
}

type modelMember struct {
	group   string
	sub     *Subscription
	granted int
	taken   int
	last    map[string]int // the last number of each socket
	open    []Delivery
}

type modelEvent struct {
	socket  string
	number  int
	asks    bool
	replies []Reply
	handed  map[string]int // how often to each group
	wanted  map[string]bool
}

func (m *model) groups() map[string]bool {
	groups := map[string]bool{}
	for _, member := range m.members {
		groups[member.group] = true
	}
	return groups
}

func (m *model) publish() {
	socket := fmt.Sprint("s", m.r.IntN(5))
	m.sockets[socket]++
	e := &modelEvent{socket: socket, number: m.sockets[socket], asks: m.r.IntN(2) == 0, handed: map[string]int{}, wanted: m.groups()}
	event := message(socket, fmt.Sprint(len(m.events)))
	m.events = append(m.events, e)
	if e.asks {
		m.hub.Ask(event, func(r Reply) { e.replies = append(e.replies, r) })
		return
	}
	m.hub.Publish(event)
}

func (m *model) join() {
	group := fmt.Sprint("g", m.r.IntN(3))
	credits := m.r.IntN(5)
	m.members = append(m.members, &modelMember{
		group: group, sub: subscribe(m.t, m.hub, SubscribeOptions{Group: group, Credits: credits}), granted: credits, last: map[string]int{},
	})
}

// leave ends a member. The last one of a group stays, so that no event may be lost.
func (m *model) leave(who *modelMember) {
	members := 0
	for _, member := range m.members {
		if member.group == who.group {
			members++
		}
	}
	if members == 1 {
		return
	}
	who.sub.Close()
	m.members = slices.DeleteFunc(m.members, func(member *modelMember) bool { return member == who })
}

func (m *model) take(who *modelMember, most int) {
	into := make([]Delivery, most)
	n, err := who.sub.Take(into)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, d := range into[:n] {
		var index int
		if _, err := fmt.Sscan(d.Event.Name, &index); err != nil {
			m.t.Fatal(err)
		}
		e := m.events[index]
		e.handed[who.group]++
		switch times := e.handed[who.group]; {
		case !e.wanted[who.group]:
			m.t.Errorf("event %d went to %s, which did not exist", index, who.group)
		case times > 2, times == 2 && !d.Redelivered, d.Redelivered && !e.asks:
			m.t.Errorf("event %d was handed to %s %d times (redelivered: %t, asks: %t)", index, who.group, times, d.Redelivered, e.asks)
		case d.NeedsAck != (e.asks && len(e.replies) == 0):
			m.t.Errorf("event %d needs an ack: %t, but has %d replies", index, d.NeedsAck, len(e.replies))
		}
		if who.last[e.socket] >= e.number {
			m.t.Errorf("event %d of %s came after %d", e.number, e.socket, who.last[e.socket])
		}
		who.last[e.socket] = e.number
		if d.NeedsAck {
			who.open = append(who.open, d)
		}
	}
	who.taken += n
	if who.taken > who.granted {
		m.t.Errorf("a member was handed %d events for %d credits", who.taken, who.granted)
	}
}

func (m *model) reply(who *modelMember) {
	if len(who.open) == 0 {
		return
	}
	i := m.r.IntN(len(who.open))
	d := who.open[i]
	who.open = slices.Delete(who.open, i, i+1)
	var index int
	_, _ = fmt.Sscan(d.Event.Name, &index)
	over := len(m.events[index].replies) > 0
	err := who.sub.Reply(d.ID, Reply{Args: json.RawMessage(`["` + who.group + `"]`)})
	if over {
		wantReason(m.t, err, ReasonDeliveryAnswered)
	} else if err != nil {
		m.t.Errorf("Reply: %v", err)
	}
}

func (m *model) credit(who *modelMember, n int) {
	if err := who.sub.Credit(n); err != nil {
		m.t.Fatal(err)
	}
	who.granted += n
}

func (m *model) step() {
	if len(m.members) == 0 {
		m.join()
	}
	who := m.members[m.r.IntN(len(m.members))]
	switch n := m.r.IntN(20); {
	case n < 8:
		m.publish()
	case n < 12:
		m.take(who, 1+m.r.IntN(4))
	case n < 15:
		m.reply(who)
	case n < 18:
		m.credit(who, 1+m.r.IntN(4))
	case n < 19:
		m.join()
	default:
		m.leave(who)
	}
}

// finish takes and answers everything, and checks what became of each event.
func (m *model) finish() {
	for _, who := range m.members {
		m.credit(who, 10_000)
		m.take(who, 10_000)
	}
	for _, who := range m.members {
		for len(who.open) > 0 {
			m.reply(who)
		}
	}
	for i, e := range m.events {
		for group := range e.wanted {
			if e.handed[group] == 0 && (!e.asks || len(e.replies) == 0) {
				m.t.Errorf("event %d was never handed to %s", i, group)
			}
		}
		switch {
		case e.asks && len(e.replies) != 1:
			m.t.Errorf("event %d has %d replies", i, len(e.replies))
		case e.asks && len(e.wanted) == 0 && e.replies[0].Error == nil:
			m.t.Errorf("event %d has a reply, but no group to reply", i)
		}
	}
	for _, g := range m.hub.groups {
		if len(g.outstanding) > 0 {
			m.t.Errorf("%d deliveries are still outstanding", len(g.outstanding))
		}
	}
}

// TestHubAgainstModel does random things to a hub, one after the other.
func TestHubAgainstModel(t *testing.T) {
	for seed := range uint64(100) {
		m := &model{t: t, r: rand.New(rand.NewPCG(seed, 1)), hub: newHub(t, Options{}), sockets: map[string]int{}}
		for range 500 {
			m.step()
		}
		m.finish()
		if t.Failed() {
			t.Fatalf("with the seed %d", seed)
		}
	}
}

// TestHubUnderLoad publishes from many goroutines while members come and go. Every question must be
// answered exactly once, and no event may be handed out of order.
func TestHubUnderLoad(t *testing.T) {
	const publishers, each = 4, 3000
	h := newHub(t, Options{})
	stay := subscribe(t, h, SubscribeOptions{Group: "g", Credits: 100_000})
	stop := make(chan struct{})
	var members, senders sync.WaitGroup
	members.Go(func() { serve(t, stay, stop, -1) })
	for seed := range uint64(3) {
		members.Go(func() {
			r := rand.New(rand.NewPCG(seed, 2))
			for {
				select {
				case <-stop:
					return
				default:
				}
				s, err := h.Subscribe(SubscribeOptions{Group: "g", Credits: 1 + r.IntN(500)})
				if err != nil {
					t.Error(err)
					return
				}
				serve(t, s, stop, r.IntN(300))
				s.Close()
			}
		})
	}
	answers := make(chan int, publishers*each)
	for p := range publishers {
		senders.Go(func() {
			for i := range each {
				n := p*each + i
				h.Ask(message(fmt.Sprint("s", p), fmt.Sprint(i)), func(Reply) { answers <- n })
			}
		})
	}
	senders.Wait()
	seen := make([]int, publishers*each)
	for range seen {
		seen[<-answers]++
	}
	close(stop)
	members.Wait()
	for n, times := range seen {
		if times != 1 || len(answers) > 0 {
			t.Fatalf("question %d was answered %d times; %d answers too many", n, times, len(answers))
		}
	}
}

// serve answers up to most deliveries, and checks the order of each socket's.
func serve(t *testing.T, s *Subscription, stop <-chan struct{}, most int) {
	last := map[string]int{}
	var into [16]Delivery
	for most != 0 {
		n, err := s.Take(into[:])
		if err != nil {
			t.Error(err)
			return
		}
		for _, d := range into[:n] {
			var number int
			_, _ = fmt.Sscan(d.Event.Name, &number)
			if before, ok := last[d.Event.Socket.ID]; ok && before >= number {
				t.Errorf("%s: %d came after %d", d.Event.Socket.ID, number, before)
			}
			last[d.Event.Socket.ID] = number
			if most--; most == 0 {
				return // leaves the others unanswered
			}
			if err := s.Reply(d.ID, Reply{}); err != nil {
				t.Error(err)
			}
			if err := s.Credit(1); err != nil {
				t.Error(err)
			}
		}
		if n > 0 {
			continue
		}
		select {
		case <-s.Ready():
		case <-stop:
			return
		}
	}
}
