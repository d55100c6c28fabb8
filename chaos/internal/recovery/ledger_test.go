package recovery

import (
	"fmt"
	"testing"

	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// newTestLedger returns a ledger with client 0, which takes part and is in both namespaces, and
// client 20, which doesn't take part. Both are in the same room for relayed events and connected.
func newTestLedger(t *testing.T) *ledger {
	t.Helper()
	l := newLedger()
	l.add(Socket{0, "/"}, true)
	l.add(Socket{0, secondNamespace}, true)
	l.add(Socket{20, "/"}, false)
	report(t, l, `["connect",0,"/","id-0",false]`, `["connect",0,"/second","id-1",false]`, `["connect",20,"/","id-2",false]`)
	return l
}

func report(t *testing.T, l *ledger, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if err := l.report([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
}

// got returns what client 0 reports of a publisher's message, and gotPlain what client 20 does.
func got(publisher int, number uint64) string {
	args := message{publisher, number}.args(true)
	return fmt.Sprintf(`["event",0,"/","message",false,%s,"nodeAAAA.%d"]]`, args[:len(args)-1], number)
}

func gotPlain(publisher int, number uint64) string {
	return fmt.Sprintf(`["event",20,"/","message",false,%s]`, message{publisher, number}.args(true))
}

// buffered returns what client 0 reports of a message that it handles between connections.
func buffered(publisher int, number uint64) string {
	args := message{publisher, number}.args(true)
	return fmt.Sprintf(`["event",0,"/","message",true,%s,"nodeAAAA.%d"]]`, args[:len(args)-1], number)
}

const (
	gone   = `["disconnect",0,"/","transport close"]`
	back   = `["connect",0,"/","id-0",true]`
	closed = `["disconnect",0,"/","forced close"]`
)

func TestVerdict(t *testing.T) {
	// Numbers 8, 16, 24 and so on of publisher 0 are ordinary messages to the room.
	relayed := `["event",0,"/","relayed",false,[{"room":"relay-0"},20,1,"relayed","nodeAAAA.9"]]`
	for name, test := range map[string]struct {
		owed  []uint64 // of publisher 0 to client 0 in /
		lines []string
		want  results.Figures
	}{
		"all is there":                             {[]uint64{8, 16}, []string{got(0, 8), got(0, 16)}, nil},
		"all is there after a return":              {[]uint64{8, 16}, []string{got(0, 8), gone, back, got(0, 16)}, results.Figures{figureReturns: 1}},
		"one is lost":                              {[]uint64{8, 16, 24}, []string{got(0, 8), got(0, 24)}, results.Figures{scenario.Missing: 1}},
		"the last is lost":                         {[]uint64{8, 16}, []string{got(0, 8)}, results.Figures{scenario.Missing: 1}},
		"all are lost":                             {[]uint64{8, 16}, nil, results.Figures{scenario.Missing: 2}},
		"one comes twice":                          {[]uint64{8}, []string{got(0, 8), got(0, 8)}, results.Figures{figureTwice: 1}},
		"one comes twice over a return":            {[]uint64{8}, []string{got(0, 8), gone, back, got(0, 8)}, results.Figures{figureTwice: 1, figureReturns: 1}},
		"out of order":                             {[]uint64{8, 16}, []string{got(0, 16), got(0, 8)}, results.Figures{scenario.Disorder: 1}},
		"other streams have an order of their own": {nil, []string{got(0, 16), got(1, 8)}, nil},
		"a volatile one is lost":                   {[]uint64{8}, []string{got(0, 8)}, nil},
		"a volatile one comes twice":               {nil, []string{got(0, 6), got(0, 6)}, results.Figures{figureTwice: 1}},
		"a volatile one comes late":                {nil, []string{got(0, 8), got(0, 6)}, results.Figures{scenario.Disorder: 1}},
		"not recovered":                            {nil, []string{gone, `["connect",0,"/","id-9",false]`}, results.Figures{figureReturns: 1, figureNotRecovered: 1}},
		"recovered with another id":                {nil, []string{gone, `["connect",0,"/","id-9",true]`}, results.Figures{figureReturns: 1, figureOtherID: 1}},
		"away in the end":                          {nil, []string{gone}, results.Figures{scenario.Gone: 1}},
		"refused":                                  {nil, []string{gone, `["refused",0,"/","no"]`}, results.Figures{scenario.Gone: 1, scenario.Refused: 1}},
		"a notice":                                 {nil, []string{`["event",0,"/","sala:session",false,[{"recovered":false}]]`}, results.Figures{figureNotices: 1}},
		"no offset":                                {nil, []string{`["event",0,"/","message",false,[0,8]]`}, results.Figures{figureWrong: 1}},
		"its own text as the offset":               {nil, []string{`["event",0,"/","message",false,[0,1,"the end"]]`}, results.Figures{figureWrong: 1}},
		"two offsets":                              {nil, []string{`["event",0,"/","message",false,[0,8,"nodeAAAA.1","nodeAAAA.2"]]`}, results.Figures{figureWrong: 1}},
		"another argument":                         {nil, []string{`["event",0,"/","message",false,[0,9,"other","nodeAAAA.1"]]`}, results.Figures{figureWrong: 1}},
		"an offset for one who doesn't take part":  {nil, []string{`["event",20,"/","message",false,[0,8,"nodeAAAA.1"]]`}, results.Figures{figureWrong: 1}},
		"nothing for one who doesn't take part":    {nil, []string{gotPlain(0, 9)}, nil},
		"relayed and lost":                         {nil, []string{`["acked",20,"/",1,true]`, relayed}, results.Figures{scenario.Missing: 1}}, // client 20 lacks its own
		"relayed without an ack":                   {nil, []string{relayed}, nil},
		"relayed twice":                            {nil, []string{relayed, relayed}, results.Figures{figureTwice: 1}},
		"handled from its own buffer and again": {
			[]uint64{8}, []string{`["closed",0,"/"]`, closed, buffered(0, 8), back, got(0, 8)}, results.Figures{figureReturns: 1, figureOwnBuffer: 1},
		},
		"in its own buffer after attempts that failed": {
			[]uint64{8}, []string{closed, gone, gone, buffered(0, 8), back, got(0, 8)}, results.Figures{figureReturns: 1, figureOwnBuffer: 1},
		},
		"disconnected by the broker": {
			nil, []string{`["disconnect",0,"/","io server disconnect"]`}, results.Figures{figureSentAway: 1},
		},
		"in its own buffer without closing": {
			[]uint64{8}, []string{gone, buffered(0, 8), back, got(0, 8)}, results.Figures{figureReturns: 1, figureTwice: 1},
		},
		"twice after a later return than that of the buffer": {
			[]uint64{8}, []string{closed, back, gone, buffered(0, 8), back, got(0, 8)}, results.Figures{figureReturns: 2, figureTwice: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTestLedger(t)
			for _, number := range test.owed {
				l.owe(Socket{0, "/"}, stream{number: 0}, number)
			}
			report(t, l, test.lines...)
			f := results.Figures{}
			l.addTo(f)
			for _, limit := range limits() {
				if f[limit.Figure] != test.want[limit.Figure] {
					t.Errorf("%s is %v, want %v: %q", limit.Figure, f[limit.Figure], test.want[limit.Figure], l.examples)
				}
			}
			for _, figure := range []string{figureReturns, figureOwnBuffer} {
				if f[figure] != test.want[figure] {
					t.Errorf("%s is %v, want %v", figure, f[figure], test.want[figure])
				}
			}
		})
	}
}

func TestMessagesWithoutAnAnswerMayBeLate(t *testing.T) {
	l := newTestLedger(t)
	l.unanswered(message{0, 8})
	report(t, l, got(0, 16), got(0, 8), got(0, 24), got(0, 32))
	f := results.Figures{}
	l.addTo(f)
	if f[scenario.Disorder] != 0 || f[scenario.Missing] != 0 {
		t.Errorf("a message without an answer counts: %v", f)
	}
}

func TestMessagesThatMatchTooFew(t *testing.T) {
	l := newTestLedger(t)
	l.counted(message{0, 8}, 2, 2)
	l.counted(message{0, 16}, 1, 2)
	l.counted(message{0, 24}, 5, 2)
	f := results.Figures{}
	l.addTo(f)
	if f[figurePublished] != 3 || f[figureMiscounted] != 2 || f[figureMiscountedBy] != 3 {
		t.Errorf("%v of %v messages matched another number, by up to %v; want 2 of 3, by 3", f[figureMiscounted], f[figurePublished], f[figureMiscountedBy])
	}
}

func TestGoodbyesOfNodesThatEnd(t *testing.T) {
	for _, expected := range []bool{false, true} {
		l := newTestLedger(t)
		if expected {
			l.expectGoodbyes()
		}
		report(t, l, `["event",0,"/","sala:disconnect",false,[{"code":"DRAINING"}]]`)
		f := results.Figures{}
		l.addTo(f)
		if got := f[figureNotices] == 0; got != expected {
			t.Errorf("expected: %v, but %v notices", expected, f[figureNotices])
		}
	}
}

func TestPublishedMessagesAreOwedToTheirSockets(t *testing.T) {
	l := newTestLedger(t)
	all := l.in("/")
	for n := range uint64(2 * kinds) {
		l.owePublished(message{0, n + 1}, all, "")
	}
	for _, s := range all {
		n := len(l.accepted[s][stream{number: 0}])
		// Two of eight kinds are for one user only, in turn.
		if want := 2 * (int(kinds) - 1); n != want {
			t.Errorf("%v is owed %d messages, want %d: %v", s, n, want, l.accepted[s])
		}
	}
	if n := len(l.accepted[Socket{0, secondNamespace}]); n != 0 {
		t.Errorf("a socket in another namespace is owed messages of %d streams", n)
	}
}

func TestReportsThatNobodyShouldSend(t *testing.T) {
	l := newTestLedger(t)
	for _, line := range []string{``, `{}`, `[]`, `["connect",0]`, `["connect",7,"/","id",true]`, `["connect",0,"/"]`, `["event",0,"/","message"]`, `["what",0,"/"]`} {
		if err := l.report([]byte(line)); err == nil {
			t.Errorf("%s has no error", line)
		}
	}
}
