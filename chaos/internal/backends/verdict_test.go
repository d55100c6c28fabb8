package backends

import (
	"testing"
	"time"

	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// TestAnswers: two clients send events with odd and even numbers; there is no backend in second 20.
func TestAnswers(t *testing.T) {
	zero := time.Now()
	at := func(seconds float64) time.Time { return zero.Add(time.Duration(seconds * float64(time.Second))) }
	asked := func(from, to float64, code string) sentEvent {
		return sentEvent{sent: at(from), answered: at(to), answers: 1, code: code}
	}
	twice := asked(10, 11, "")
	twice.answers = 2
	for name, test := range map[string]struct {
		event sentEvent
		want  results.Figures
	}{
		"answered":             {asked(10, 11, ""), results.Figures{scenario.Answered: 1}},
		"not answered":         {sentEvent{sent: at(10)}, results.Figures{scenario.Unanswered: 1}},
		"twice":                {twice, results.Figures{scenario.Answered: 1, scenario.AnsweredTwice: 1}},
		"lost with the last":   {asked(19, 20.1, "HANDLER_LOST"), results.Figures{figureHandlerLost: 1}},
		"no backend":           {asked(20.2, 20.3, "NO_HANDLER"), results.Figures{figureNoHandler: 1}},
		"no backend any more":  {asked(20.9, 21.1, "NO_HANDLER"), results.Figures{figureNoHandler: 1}},
		"lost too early":       {asked(18, 19, "HANDLER_LOST"), results.Figures{figureHandlerLost: 1, figureNeedless: 1}},
		"no backend, too late": {asked(21.1, 21.2, "NO_HANDLER"), results.Figures{figureNoHandler: 1, figureNeedless: 1}},
		"another code":         {asked(20.2, 30.2, "HANDLER_TIMEOUT"), results.Figures{figureOtherErrors: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			v := verdict{log: newEventLog(2, 1, 1), gaps: []gap{{at(20), at(21)}}}
			v.log.events[0] = test.event
			f := results.Figures{}
			v.addTo(f)
			for _, figure := range []string{
				scenario.Answered, scenario.Unanswered, scenario.AnsweredTwice, figureHandlerLost, figureNoHandler, figureOtherErrors, figureNeedless, scenario.UnexpectedAcks,
			} {
				if f[figure] != test.want[figure] {
					t.Errorf("%s is %v, want %v: %q", figure, f[figure], test.want[figure], v.examples)
				}
			}
		})
	}
}

// TestDeliveries: there are the backends a and b of two clients; a is killed in second 20.
func TestDeliveries(t *testing.T) {
	zero := time.Now()
	at := func(seconds int) time.Time { return zero.Add(time.Duration(seconds) * time.Second) }
	first := func(number uint64, seconds int) delivery { return delivery{Number: number, At: at(seconds)} }
	again := func(number uint64, seconds int) delivery {
		return delivery{Number: number, At: at(seconds), Redelivered: true}
	}
	type list = []delivery
	for name, test := range map[string]struct {
		a, b                                            list
		redelivered, repeated, moved, disordered, stray float64
	}{
		"in order":                {list{first(1, 10), first(3, 11)}, list{first(5, 21)}, 0, 0, 0, 0, 0},
		"of no event":             {list{first(0, 10)}, list{first(7, 10)}, 0, 0, 0, 0, 2},
		"two sockets":             {list{first(1, 10), first(3, 12)}, list{first(2, 9), first(4, 11)}, 0, 0, 0, 0, 0},
		"again, then new":         {list{first(1, 10), first(3, 11)}, list{again(1, 21), again(3, 21), first(5, 21)}, 2, 0, 0, 0, 0},
		"again and not read once": {list{first(1, 10)}, list{again(3, 21), first(5, 21)}, 1, 0, 0, 0, 0},
		"out of order":            {list{first(3, 10), first(1, 11)}, nil, 0, 0, 0, 1, 0},
		"again out of order":      {list{first(1, 10), first(3, 11)}, list{again(3, 21), again(1, 21)}, 2, 0, 0, 1, 0},
		"new before again":        {list{first(1, 10)}, list{first(3, 21), again(1, 21)}, 1, 0, 0, 1, 0},
		"older and new":           {list{first(3, 10)}, list{first(1, 21)}, 0, 0, 0, 1, 0},
		"moved too early":         {list{first(1, 10)}, list{first(3, 11)}, 0, 0, 1, 0, 0},
		"moved and back":          {list{first(1, 10), first(5, 12)}, list{first(3, 11)}, 0, 0, 2, 0, 0},
		"new twice":               {list{first(1, 10)}, list{first(1, 21)}, 0, 1, 0, 0, 0},
		"new twice to one":        {list{first(1, 10), first(1, 11)}, nil, 0, 1, 0, 1, 0},
		"again twice":             {list{first(1, 10)}, list{again(1, 21), again(1, 22)}, 2, 1, 0, 1, 0},
		"new after again":         {list{again(1, 10)}, list{first(1, 21)}, 1, 1, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			v := verdict{log: newEventLog(2, 1, 6), backends: []*backendProcess{{deliveries: test.b}, {deliveries: test.a, killed: at(20)}}}
			f := results.Figures{}
			v.addTo(f)
			for figure, want := range map[string]float64{
				figureRedelivered: test.redelivered, figureRepeated: test.repeated, figureMoved: test.moved, scenario.Disorder: test.disordered,
				scenario.UnexpectedAcks: test.stray,
			} {
				if f[figure] != want {
					t.Errorf("%s is %v, want %v: %q", figure, f[figure], want, v.examples)
				}
			}
		})
	}
}

// TestEventLog: of two clients, client 1 has sent event 2, and event 4 is not sent yet.
func TestEventLog(t *testing.T) {
	for name, test := range map[string]struct {
		client         int
		packet         string
		answers, stray int
		code           string
	}{
		"an answer":              {1, `432[{"p":"x","s":2,"t":5}]`, 1, 0, ""},
		"an error":               {1, `432[{"error":{"code":"NO_HANDLER","message":"nobody"}}]`, 1, 0, "NO_HANDLER"},
		"another event's answer": {1, `432[{"p":"x","s":4,"t":5}]`, 0, 1, ""},
		"another client's":       {0, `432[{"p":"x","s":2,"t":5}]`, 0, 1, ""},
		"before it was asked":    {1, `434[{"p":"x","s":4,"t":5}]`, 0, 1, ""},
		"of no event":            {1, `430[{"p":"x","s":0,"t":5}]`, 0, 1, ""},
		"of an unknown event":    {1, `436[{"p":"x","s":6,"t":5}]`, 0, 1, ""},
		"nothing in it":          {1, `432[]`, 0, 1, ""},
		"no code":                {1, `432[{"error":{}}]`, 0, 1, ""},
		"cut off":                {1, `432[{"error":{"code":"NO_HANDLER"}`, 0, 1, ""},
		"not an ack":             {1, `41`, 0, 1, ""},
		"nothing":                {1, ``, 0, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			log := newEventLog(2, 1, 4)
			log.sent(2, time.Now())
			log.receive(test.client, []byte(test.packet))
			e := log.events[1]
			if e.answers != test.answers || e.code != test.code || log.stray != test.stray {
				t.Errorf("%d answers, the code %q and %d strays; want %d, %q and %d", e.answers, e.code, log.stray, test.answers, test.code, test.stray)
			}
		})
	}
}
