package broker_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/token"
)

// inRooms returns permissions to be in rooms, and to send to them.
func inRooms(rooms ...string) broker.Permissions {
	return broker.Permissions{Rooms: rooms, Publish: rooms, Broadcast: true}
}

func keyed(key string, args string) broker.Message {
	return broker.Message{Event: "e", ConflateKey: key, Args: json.RawMessage(args)}
}

// emitQueued emits a message that everybody's queue must take.
func emitQueued(t *testing.T, node *brokertest.Node, target broker.Target, m broker.Message) {
	t.Helper()
	report := emit(t, node, target, m)
	if report.Queued == 0 || report.Queued != report.Matched {
		t.Fatalf("the report is %+v, want all queued", report)
	}
}

// block has a broker in memory begin to write to its clients, which don't read.
func block(t *testing.T, node *brokertest.Node) {
	t.Helper()
	synctest.Wait()
	emitQueued(t, node, broker.Target{Everyone: true}, broker.Message{Event: "first"})
	synctest.Wait()
}

// Which messages replace each other, for a client that doesn't read.
func TestConflation(t *testing.T) {
	room := func(rooms ...string) broker.Target { return broker.Target{Rooms: rooms} }
	type sent struct {
		target broker.Target
		m      broker.Message
	}
	for name, test := range map[string]struct {
		sent []sent
		want []string
	}{
		"same key and room": {
			[]sent{{room("a"), keyed("k", "[1]")}, {room("a"), keyed("k", "[2]")}, {room("a"), keyed("k", "[3]")}},
			[]string{"[3]"},
		},
		"another event": {
			[]sent{{room("a"), broker.Message{Event: "other", ConflateKey: "k"}}, {room("a"), keyed("k", "[2]")}},
			[]string{"[2]"},
		},
		"to the end": {
			[]sent{{room("a"), keyed("k", "[1]")}, {room("a"), keyed("", "[2]")}, {room("a"), keyed("k", "[3]")}, {room("a"), keyed("", "[4]")}},
			[]string{"[2]", "[3]", "[4]"},
		},
		"without a key": {
			[]sent{{room("a"), keyed("", "[1]")}, {room("a"), keyed("", "[2]")}},
			[]string{"[1]", "[2]"},
		},
		"other keys": {
			[]sent{{room("a"), keyed("k", "[1]")}, {room("a"), keyed("l", "[2]")}, {room("a"), keyed("K", "[3]")}, {room("a"), keyed("l", "[4]")}},
			[]string{"[1]", "[3]", "[4]"},
		},
		"other rooms": {
			[]sent{{room("a"), keyed("k", "[1]")}, {room("b"), keyed("k", "[2]")}, {room("b"), keyed("k", "[3]")}},
			[]string{"[1]", "[3]"},
		},
		"several rooms": {
			[]sent{{room("a", "b"), keyed("k", "[1]")}, {room("a"), keyed("k", "[2]")}, {room("b", "a"), keyed("k", "[3]")}},
			[]string{"[2]", "[3]"},
		},
		"other namespaces": {
			[]sent{{room("a"), keyed("k", "[1]")}, {broker.Target{Namespace: "/chat", Rooms: []string{"a"}}, keyed("k", "[2]")}},
			[]string{"[1]", "[2]"},
		},
		"key and room cut elsewhere": {
			[]sent{{room("a"), keyed("bk", "[1]")}, {room("ab"), keyed("k", "[2]")}},
			[]string{"[1]", "[2]"},
		},
		"except others": {
			[]sent{{room("a"), keyed("k", "[1]")}, {broker.Target{Rooms: []string{"a"}, ExceptRooms: []string{"z"}}, keyed("k", "[2]")}},
			[]string{"[2]"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				registry := prometheus.NewRegistry()
				node := brokertest.StartInMemory(t, broker.Options{Namespaces: []string{"/", "/chat"}, Metrics: registry})
				token := node.Token("ana", inRooms("a", "b", "ab"))
				ana := node.JoinAs(token)
				if answer := ana.Connect("/chat", map[string]string{"token": token}); !strings.HasPrefix(answer, "40/chat") {
					t.Fatal(answer)
				}
				block(t, node)
				for _, s := range test.sent {
					emitQueued(t, node, s.target, s.m)
				}
				ana.Expect("first", "[]")
				for _, want := range test.want {
					ana.Expect("e", want)
				}
				ana.ExpectNothing()
				if got, want := gather(t, registry)["sala_deliveries_replaced_total{}"], float64(len(test.sent)-len(test.want)); got != want {
					t.Errorf("%v replaced messages are counted, want %v", got, want)
				}
			})
		})
	}
}

// A message with attachments is replaced, and replaces, with all of its frames.
func TestConflationOfAttachments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := brokertest.StartInMemory(t, broker.Options{})
		ana := node.JoinAs(node.Token("ana", inRooms("a")))
		block(t, node)
		for n := range 3 {
			m := keyed("k", `[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
			m.Attachments = [][]byte{{byte('a' + n)}, []byte("same")}
			emitQueued(t, node, broker.Target{Rooms: []string{"a"}}, m)
		}
		emitQueued(t, node, broker.Target{Rooms: []string{"a"}}, keyed("", "[1]"))
		ana.Expect("first", "[]")
		if e := ana.Next(); len(e.Attachments) != 2 || string(e.Attachments[0]) != "c" || string(e.Attachments[1]) != "same" {
			t.Errorf("got %+v, want the last one", e)
		}
		ana.Expect("e", "[1]")
		ana.ExpectNothing()
	})
}

// A full queue accepts a message in the place of another.
func TestConflationWithinTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := brokertest.StartInMemory(t, broker.Options{MaxQueueBytes: 70_000, MaxMessageBytes: 30_000})
		ana := node.JoinAs(node.Token("ana", inRooms("a")))
		block(t, node)
		for n := range 1000 {
			emitQueued(t, node, broker.Target{Rooms: []string{"a"}}, keyed("k", fmt.Sprintf("[%d,%q]", n, strings.Repeat("x", 29_980))))
			emitQueued(t, node, broker.Target{Rooms: []string{"a"}}, keyed("l", fmt.Sprintf("[%d,%q]", n, strings.Repeat("y", 29_980))))
		}
		ana.Expect("first", "[]")
		for _, letter := range []string{"x", "y"} {
			ana.Expect("e", fmt.Sprintf("[999,%q]", strings.Repeat(letter, 29_980)))
		}
		ana.ExpectNothing()
	})
}

func TestConflationIsForRooms(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	long := strings.Repeat("k", 256)
	for name, test := range map[string]struct {
		target broker.Target
		key    string
	}{
		"a user":            {broker.Target{Users: []string{"ana"}}, "k"},
		"a socket":          {broker.Target{Sockets: []string{"s"}}, "k"},
		"a room and a user": {broker.Target{Rooms: []string{"a"}, Users: []string{"ana"}}, "k"},
		"everyone":          {broker.Target{Everyone: true}, "k"},
		"a long key":        {broker.Target{Rooms: []string{"a"}}, long},
		"a control code":    {broker.Target{Rooms: []string{"a"}}, "a\x00b"},
		"not UTF-8":         {broker.Target{Rooms: []string{"a"}}, "\xff"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := node.Emit(t.Context(), test.target, keyed(test.key, "[]"))
			wantField(t, err, "conflate_key")
		})
	}
	emit(t, node, broker.Target{Rooms: []string{"a"}}, keyed(long[1:], "[]"))
	_, err := node.EmitWithAck(t.Context(), broker.Target{Rooms: []string{"a"}}, keyed("k", "[]"), broker.AckOptions{}, nil)
	wantField(t, err, "conflate_key")
	notice := keyed("k", "[]")
	_, err = node.ClearRoom(t.Context(), broker.ClearRoom{Room: "a", Notice: &notice})
	wantField(t, err, "notice.conflate_key")
}

func wantField(t *testing.T, err error, field string) {
	t.Helper()
	var refused *broker.Error
	if !errors.As(err, &refused) || len(refused.Fields) != 1 || refused.Fields[0].Field != field {
		t.Errorf("the error is %v, want one about %s", err, field)
	}
}

// A rule's events replace those of the same user, or of the same socket without a user.
func TestConflationOfRelays(t *testing.T) {
	for _, rule := range []broker.RelayRule{
		{Event: "typing", To: broker.RelayToRoom, Conflate: true},
		{Event: "typing", To: broker.RelayToBroadcast, Conflate: true},
	} {
		t.Run(string(rule.To), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				anonymous := inRooms("a")
				node := brokertest.StartInMemory(t, broker.Options{
					Relay: []broker.RelayRule{rule, {Event: "say", To: rule.To}}, Anonymous: &anonymous,
				})
				senders := []*brokertest.Client{
					node.JoinAs(node.Token("ana", inRooms("a"))), node.JoinAs(node.Token("ana", inRooms("a"))), node.JoinAs(node.Token("luis", inRooms("a"))),
					node.JoinAs(""), node.JoinAs(""),
				}
				slow := node.JoinAs(node.Token("slow", inRooms("a")))
				block(t, node)
				call := func(sender int, event string, n int) {
					t.Helper()
					if got := senders[sender].Call(event, map[string]any{"room": "a", "n": n}); got != ok {
						t.Errorf("%s is answered with %s", event, got)
					}
				}
				for n := range 2 {
					for sender := range senders {
						call(sender, "typing", 10*sender+n)
					}
					call(0, "say", n)
				}
				slow.Expect("first", "[]")
				slow.Expect("say", `[{"n":0,"room":"a"}]`)
				for _, n := range []int{11, 21, 31, 41} {
					slow.Expect("typing", fmt.Sprintf(`[{"n":%d,"room":"a"}]`, n))
				}
				slow.Expect("say", `[{"n":1,"room":"a"}]`)
				slow.ExpectNothing()
			})
		})
	}
	_, err := broker.New(broker.Options{
		Tokens: brokertest.Keyring(t, token.Options{}), Relay: []broker.RelayRule{{Event: "echo", To: broker.RelayToSender, Conflate: true}},
	})
	wantField(t, err, "relay[0].conflate")
}

// Nodes that get a message from another one replace what waits there.
func TestConflationInACluster(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{Recovery: &broker.RecoveryOptions{}})
	session := &brokertest.Session{}
	token := nodes[1].Token("ana", inRooms("a"))
	ana := nodes[1].ReturnTo(token, session)
	ana.ExpectNothing()
	ana.Mute = true
	emitQueued(t, nodes[0], broker.Target{Rooms: []string{"a"}}, keyed("", "[0]"))
	ana.Expect("e", "[0]")
	emitQueued(t, nodes[0], broker.Target{Rooms: []string{"a"}}, keyed("k", "[1]")) // which she may have received
	ana.Close()
	eventually(t, "ana is away", func() bool {
		info, err := nodes[1].GetSocket(t.Context(), session.ID)
		return err == nil && info.Away
	})
	for n := range 5 {
		for _, m := range []broker.Message{keyed("k", fmt.Sprintf("[%d]", n)), keyed("", fmt.Sprintf("[%d]", 10+n))} {
			if report := emit(t, nodes[0], broker.Target{Rooms: []string{"a"}}, m); report.Kept != 1 {
				t.Fatalf("the report is %+v, want 1 kept", report)
			}
		}
	}
	ana = nodes[0].ReturnTo(token, session) // where the key must have come with the session
	for _, n := range []int{10, 11, 12, 13, 4, 14} {
		ana.Expect("e", fmt.Sprintf("[%d]", n))
	}
	ana.ExpectNothing()
	if !session.Recovered {
		t.Error("the session isn't recovered")
	}
}

// TestConflatedStream has a client read, stall and lose its connection at random, with a session and
// without, while messages are sent with keys and without. It gets the last of each key and
// everything without one, in the order in which they were sent, each once.
func TestConflatedStream(t *testing.T) {
	for seed := range uint64(30) {
		for _, recovers := range []bool{false, true} {
			t.Run(fmt.Sprint(seed, " recovers ", recovers), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					testConflatedStream(t, rand.New(rand.NewPCG(seed, 0)), recovers)
				})
			})
		}
	}
}

// stream is what was sent to a client, and what it got.
type stream struct {
	t        *testing.T
	keys     map[int]string // of the messages by number
	lastOf   map[string]int
	sent     int
	received []int
}

func (s *stream) receive(e brokertest.Event) {
	s.t.Helper()
	n, err := strconv.Atoi(strings.Trim(e.Args, "[]"))
	if err != nil {
		s.t.Fatalf("got %+v", e)
	}
	if last := len(s.received) - 1; last >= 0 && n <= s.received[last] {
		s.t.Fatalf("got message %d after %d", n, s.received[last])
	}
	s.received = append(s.received, n)
}

// check wants everything received that must have been, and returns how many messages weren't.
func (s *stream) check() (replaced int) {
	s.t.Helper()
	got := make(map[int]bool, len(s.received))
	for _, n := range s.received {
		got[n] = true
	}
	for n := range s.sent {
		key := s.keys[n]
		if !got[n] && (key == "" || s.lastOf[key] == n) {
			s.t.Errorf("message %d with the key %q was lost", n, key)
		}
	}
	return s.sent - len(s.received)
}

func testConflatedStream(t *testing.T, random *rand.Rand, recovers bool) {
	o := broker.Options{MaxQueueBytes: 16 << 20, Recovery: &broker.RecoveryOptions{MaxMessages: 10_000, MaxBytes: 16 << 20}}
	registry := prometheus.NewRegistry()
	o.Metrics = registry
	node := brokertest.StartInMemory(t, o)
	token, session := node.Token("ana", inRooms("a")), &brokertest.Session{}
	connect := func() *brokertest.Client {
		if recovers {
			return node.ReturnTo(token, session)
		}
		return node.JoinAs(token)
	}
	ana := connect()
	ana.ExpectNothing()
	s := &stream{t: t, keys: map[int]string{}, lastOf: map[string]int{}}
	keys := 1 + random.IntN(10)
	for range 60 {
		for range random.IntN(30) {
			key := ""
			if random.IntN(5) > 0 {
				key = strconv.Itoa(random.IntN(keys))
			}
			s.keys[s.sent], s.lastOf[key] = key, s.sent
			emit(t, node, broker.Target{Rooms: []string{"a"}}, keyed(key, fmt.Sprintf("[%d]", s.sent)))
			s.sent++
			if random.IntN(3) == 0 {
				synctest.Wait() // something is written
			}
		}
		switch random.IntN(4) {
		case 0: // all of it
			for _, e := range ana.Take() {
				s.receive(e)
			}
		case 1: // one more message
			if s.sent > 0 && (len(s.received) == 0 || s.received[len(s.received)-1] < s.sent-1) {
				s.receive(ana.Next())
			}
		case 2: // lose the connection
			if recovers {
				ana.Close()
				if random.IntN(2) == 0 {
					synctest.Wait()
				}
				ana = connect()
				if !session.Recovered {
					t.Fatal("the session isn't recovered")
				}
			}
		}
	}
	for _, e := range ana.Take() {
		s.receive(e)
	}
	replaced := s.check()
	if got := gather(t, registry)["sala_deliveries_replaced_total{}"]; got != float64(replaced) || replaced == 0 {
		t.Errorf("%v replaced messages are counted, want %d", got, replaced)
	}
}
