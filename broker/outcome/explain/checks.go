package explain

import (
	"fmt"
	"strings"
	"time"

	"github.com/salabroker/sala/broker/outcome"
)

func (f *Facts) connected() Check {
	c := Check{Kind: KindConnected, Result: OK}
	here := f.count(func(s *Socket) bool { return !s.Away })
	away := len(f.Sockets) - here
	switch {
	case here > 0:
		c.Answer = fmt.Sprintf("%q is connected to %s with %s", f.User, f.Namespace, sockets(here+f.More))
		if away > 0 {
			c.Answer += fmt.Sprintf("; %s more lost their connection and may return", sockets(away))
		}
	case away > 0:
		c.Result = Note
		c.Answer = fmt.Sprintf("%q has lost its connection to %s; what is sent is kept for %s until the client returns", f.User, f.Namespace, sockets(away))
		c.Advice = "Wait for the client to return. After --recovery-window its session ends, and it connects without what was kept."
	case f.Partial:
		c.Result = 0
		c.Answer = fmt.Sprintf("%q isn't connected to %s at the nodes that answered", f.User, f.Namespace)
		c.Advice = "Ask again when all nodes answer."
	default:
		c.Result = Problem
		c.Answer = fmt.Sprintf("%q isn't connected to %s", f.User, f.Namespace)
		c.Advice = f.whyNotConnected()
	}
	return c
}

// whyNotConnected says what to do if the user has no socket.
func (f *Facts) whyNotConnected() string {
	for _, e := range f.Problems {
		if e.Kind == outcome.Refused {
			return fmt.Sprintf("It was refused %s with %s. %s", f.ago(e.Time), e.Code, adviceFor(e.Code))
		}
	}
	return "Look at the connect_error event in the client, and compare the user in its token. " +
		"\"sala tail --kind refused\" shows clients that are refused; a token that isn't genuine shows no user there."
}

func (f *Facts) inRoom() Check {
	c := Check{Kind: KindInRoom, Result: OK}
	in := f.count(func(s *Socket) bool { return s.InRoom })
	switch {
	case len(f.Sockets) == 0:
		c.Result = f.without()
		c.Answer = fmt.Sprintf("%q has no socket that could be in the room %q, which has %s", f.User, f.Room, sockets(f.Members))
	case in == len(f.Sockets):
		c.Answer = fmt.Sprintf("%q is in the room %q, which has %s", f.User, f.Room, sockets(f.Members))
	case in > 0:
		c.Result = Note
		c.Answer = fmt.Sprintf("only %d of %d sockets of %q are in the room %q", in, len(f.Sockets), f.User, f.Room)
		c.Advice = f.howToJoin()
	default:
		c.Result = Problem
		c.Answer = fmt.Sprintf("%q isn't in the room %q, which has %s", f.User, f.Room, sockets(f.Members))
		c.Advice = f.howToJoin()
	}
	return c
}

func (f *Facts) howToJoin() string {
	advice := "Name the room in the token's rooms, or have a backend let the user join."
	if f.JoinEvent != "" {
		advice = fmt.Sprintf("Have the client join with the event %q and look at the answer in its ack, name the room in the token's rooms, or have a backend let the user join.", f.JoinEvent)
	}
	return advice + " A client that connects again has to join again, unless it got its session back."
}

func (f *Facts) mayJoin() Check {
	c := Check{Kind: KindMayJoin, Result: OK}
	may := f.count(func(s *Socket) bool { return s.MayJoin })
	in := f.count(func(s *Socket) bool { return s.InRoom })
	switch {
	case len(f.Sockets) == 0:
		c.Result = 0
		c.Answer = "the token isn't known while the user isn't connected"
		c.Advice = "\"sala token verify\" shows what a token allows."
	case may > 0:
		c.Answer = fmt.Sprintf("the token allows joining the room %q", f.Room)
	case in > 0:
		c.Result = Note
		c.Answer = fmt.Sprintf("the token doesn't allow joining the room %q; the token's rooms or a backend have put the user there", f.Room)
	default:
		c.Result = Problem
		c.Answer = fmt.Sprintf("the token doesn't allow joining the room %q", f.Room)
		c.Advice = adviceFor("JOIN_DENIED")
	}
	return c
}

func (f *Facts) mayPublish() Check {
	c := Check{Kind: KindMayPublish, Result: OK}
	switch {
	case len(f.Sockets) == 0:
		c.Result = 0
		c.Answer = "the token isn't known while the user isn't connected"
	case f.count(func(s *Socket) bool { return s.MayPublish }) > 0:
		c.Answer = fmt.Sprintf("the token allows relaying events to the room %q", f.Room)
	default:
		c.Result = Note
		c.Answer = fmt.Sprintf("the token doesn't allow relaying events to the room %q; that matters only if the user sends", f.Room)
		c.Advice = adviceFor("PUBLISH_DENIED")
	}
	return c
}

func (f *Facts) queue() Check {
	c := Check{Kind: KindQueue, Result: OK, Answer: "nothing waits for the user to read it"}
	waiting, blocked := 0, 0
	for _, s := range f.Sockets {
		waiting += s.QueuedBytes
		if s.Blocked && s.QueuedBytes > 0 {
			blocked++
		}
	}
	switch {
	case len(f.Sockets) == 0:
		c.Result, c.Answer = 0, "there is no queue while the user isn't connected"
	case blocked > 0:
		c.Result = Problem
		c.Answer = fmt.Sprintf("%d bytes wait, and %s of the user read nothing at the moment", waiting, sockets(blocked))
		c.Advice = "The network is slow, or the page is busy. When --max-queue-bytes wait, --slow-consumers decides: the client is disconnected, or misses messages. Send less, or use conflate keys for values that change."
	case waiting > 0:
		c.Result = Note
		c.Answer = fmt.Sprintf("%d bytes wait to be written", waiting)
	}
	return c
}

func (f *Facts) session() Check {
	c := Check{Kind: KindSession, Result: OK}
	with := f.count(func(s *Socket) bool { return s.Session })
	lost := f.count(func(s *Socket) bool { return s.Incomplete })
	unconfirmed := 0
	for _, s := range f.Sockets {
		unconfirmed += s.Unconfirmed
	}
	switch {
	case len(f.Sockets) == 0:
		c.Result, c.Answer = 0, "there is no session while the user isn't connected"
	case lost > 0:
		c.Result = Problem
		c.Answer = fmt.Sprintf("more was sent to %s than the session keeps; the client gets a new session instead of getting everything back", sockets(lost))
		c.Advice = "Raise --recovery-messages or --recovery-bytes, and have the client load what it missed when socket.recovered is false."
	case with > 0:
		c.Answer = fmt.Sprintf("%s have a session; %d messages wait for the client to confirm them", sockets(with), unconfirmed)
	default:
		c.Result = Note
		c.Answer = "the sockets have no session: what is sent while the client reconnects is lost"
		c.Advice = "Have clients ask for a session, or start the broker with --recovery=always; or let them read the room's history after they connect."
	}
	return c
}

func (f *Facts) history() Check {
	c := Check{Kind: KindHistory, Result: OK}
	switch {
	case !f.History.Kept:
		c.Result = Note
		c.Answer = fmt.Sprintf("the room %q remembers no messages", f.Room)
		c.Advice = "Give it a history with a rule under history: in the configuration file, if clients that join later should see earlier messages."
	case f.History.Unavailable:
		c.Result = Problem
		c.Answer = "the history of the room can't be read at the moment"
		c.Advice = "Look whether Redis can be reached: GET /readyz says so."
	case f.History.Empty:
		c.Answer = fmt.Sprintf("the room %q remembers messages, but has none", f.Room)
	default:
		c.Answer = fmt.Sprintf("the last message that the room %q remembers is %q, %s", f.Room, f.History.LastEvent, f.ago(f.History.Last))
	}
	return c
}

func (f *Facts) messages() Check {
	c := Check{Kind: KindMessages, Result: OK}
	if len(f.Messages) == 0 {
		c.Result = Note
		c.Answer = "no backend has sent anything lately to the room, to the user or to everyone"
		c.Advice = "Compare namespace, room and user in the backend's call, character by character; \"sala tail --kind emit\" shows calls as they come."
		return c
	}
	last := &f.Messages[0]
	report := last.Report
	c.Answer = fmt.Sprintf("the last message, %q, was sent %s: %s matched, %d queued, %d kept, %d dropped",
		last.Name, f.ago(last.Time), sockets(report.Matched), report.Queued, report.Kept, report.Dropped)
	switch {
	case last.Result == outcome.Denied:
		c.Result = Problem
		c.Answer = fmt.Sprintf("the last message was refused %s with %s: %s", f.ago(last.Time), last.Code, last.Message)
		c.Advice = "Correct the backend's call."
	case report.OtherNodes:
		c.Result = Note
		c.Answer += "; the sockets of other nodes aren't counted, because the call asked for no report"
	case report.Partial:
		c.Result = Problem
		c.Answer += "; not all nodes reported: " + strings.Join(report.Missing, ", ")
		c.Advice = "Look at \"sala nodes list\"; with an idempotency key the backend can send the message again safely."
	case report.Matched == 0:
		c.Result = Problem
		c.Advice = "Nobody was there: the sockets had not joined yet, or the call names another namespace, room or user."
	case report.Dropped > 0:
		c.Result = Problem
		c.Advice = "Queues were full, or the message was volatile and the client busy; see the queue above."
	}
	return c
}

func (f *Facts) drops() Check {
	c := Check{Kind: KindDrops, Result: OK, Answer: "nothing that was sent to the user was dropped lately"}
	if len(f.Drops) == 0 {
		return c
	}
	last := &f.Drops[0]
	c.Result = Problem
	c.Answer = fmt.Sprintf("dropped %s: %s to a socket of the user, because %s", f.ago(last.Time), messages(last.Report.Dropped), last.Message)
	c.Advice = adviceForDrop(last.Reason)
	return c
}

func (f *Facts) refusals() Check {
	c := Check{Kind: KindRefusals, Result: OK, Answer: "nothing of the user was refused lately"}
	if len(f.Problems) == 0 {
		return c
	}
	c.Result = Problem
	var texts []string
	seen := make(map[string]bool)
	for _, e := range f.Problems {
		if !seen[e.Code] && len(texts) < 3 {
			texts = append(texts, fmt.Sprintf("%s with %s %s", what(&e), e.Code, f.ago(e.Time)))
		}
		seen[e.Code] = true
	}
	c.Answer = "refused lately: " + strings.Join(texts, "; ")
	c.Advice = adviceFor(f.Problems[0].Code)
	return c
}

// what names what was refused.
func what(e *outcome.Event) string {
	switch e.Kind {
	case outcome.Refused:
		return "a connect"
	case outcome.Limit:
		return "the limit " + e.Limit
	}
	if e.Name == "" {
		return "an event"
	}
	return fmt.Sprintf("the event %q", e.Name)
}

func (f *Facts) nodes() Check {
	c := Check{Kind: KindNodes, Result: OK, Answer: "all nodes have answered"}
	if f.Partial {
		c.Result = Problem
		c.Answer = "not all nodes have answered"
		if len(f.Missing) > 0 {
			c.Answer += ": " + strings.Join(f.Missing, ", ")
		}
		c.Advice = "Ask again in a moment; \"sala nodes list\" shows the nodes. A node of an older release doesn't know this question."
	}
	return c
}

// without is the result of a check that needs a socket.
func (f *Facts) without() Result {
	if f.Partial {
		return 0
	}
	return Problem
}

func (f *Facts) count(which func(*Socket) bool) (n int) {
	for i := range f.Sockets {
		if which(&f.Sockets[i]) {
			n++
		}
	}
	return n
}

// ago returns how long ago something was, for people.
func (f *Facts) ago(t time.Time) string {
	d := max(f.Now.Sub(t), 0)
	if d < time.Second {
		return "just now"
	}
	return d.Round(time.Second).String() + " ago"
}

func messages(n int) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}

func sockets(n int) string {
	if n == 1 {
		return "1 socket"
	}
	return fmt.Sprintf("%d sockets", n)
}
