package load

import (
	"testing"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

// TestAnswers: two clients, whose events have odd and even numbers; nobody hears them in second 20.
func TestAnswers(t *testing.T) {
	zero := time.Now()
	at := func(seconds float64) time.Time { return zero.Add(time.Duration(seconds * float64(time.Second))) }
	asked := func(from, to float64, code string) question {
		return question{sent: at(from), answered: at(to), answers: 1, code: code}
	}
	twice := asked(10, 11, "")
	twice.answers = 2
	for name, test := range map[string]struct {
		question question
		want     job.Figures
	}{
		"answered":              {asked(10, 11, ""), job.Figures{job.Answered: 1}},
		"not answered":          {question{sent: at(10)}, job.Figures{job.Unanswered: 1}},
		"twice":                 {twice, job.Figures{job.Answered: 1, job.Twice: 1}},
		"lost with the last":    {asked(19, 20.1, "HANDLER_LOST"), job.Figures{job.HandlerLost: 1}},
		"nobody there":          {asked(20.2, 20.3, "NO_HANDLER"), job.Figures{job.NoHandler: 1}},
		"nobody there any more": {asked(20.9, 21.1, "NO_HANDLER"), job.Figures{job.NoHandler: 1}},
		"lost too early":        {asked(18, 19, "HANDLER_LOST"), job.Figures{job.HandlerLost: 1, job.Needless: 1}},
		"nobody there too late": {asked(21.1, 21.2, "NO_HANDLER"), job.Figures{job.NoHandler: 1, job.Needless: 1}},
		"another code":          {asked(20.2, 30.2, "HANDLER_TIMEOUT"), job.Figures{job.OtherCodes: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			v := answerVerdict{tally: newTally(2, 1, 1), gaps: []gap{{at(20), at(21)}}}
			v.tally.questions[0] = test.question
			f := job.Figures{}
			v.judge(f)
			for _, figure := range []string{
				job.Answered, job.Unanswered, job.Twice, job.HandlerLost, job.NoHandler, job.OtherCodes, job.Needless, job.Stray,
			} {
				if f[figure] != test.want[figure] {
					t.Errorf("%s is %v, want %v: %q", figure, f[figure], test.want[figure], v.examples)
				}
			}
		})
	}
}

// TestHandedOver: the backends a and b of two clients; a is killed in second 20.
func TestHandedOver(t *testing.T) {
	zero := time.Now()
	at := func(seconds int) time.Time { return zero.Add(time.Duration(seconds) * time.Second) }
	first := func(number uint64, seconds int) job.Handed { return job.Handed{Number: number, At: at(seconds)} }
	again := func(number uint64, seconds int) job.Handed {
		return job.Handed{Number: number, At: at(seconds), Redelivered: true}
	}
	type list = []job.Handed
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
			v := answerVerdict{tally: newTally(2, 1, 6), members: []*member{{handed: test.b}, {handed: test.a, killed: at(20)}}}
			f := job.Figures{}
			v.judge(f)
			for figure, want := range map[string]float64{
				job.Redelivered: test.redelivered, job.Repeated: test.repeated, job.Moved: test.moved, job.Disorder: test.disordered,
				job.Stray: test.stray,
			} {
				if f[figure] != want {
					t.Errorf("%s is %v, want %v: %q", figure, f[figure], want, v.examples)
				}
			}
		})
	}
}

// TestTally: event 2 of two clients has been sent, by client 1, and event 4 not yet.
func TestTally(t *testing.T) {
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
		"of none that there is":  {1, `436[{"p":"x","s":6,"t":5}]`, 0, 1, ""},
		"nothing in it":          {1, `432[]`, 0, 1, ""},
		"no code":                {1, `432[{"error":{}}]`, 0, 1, ""},
		"cut off":                {1, `432[{"error":{"code":"NO_HANDLER"}`, 0, 1, ""},
		"no ack":                 {1, `41`, 0, 1, ""},
		"nothing":                {1, ``, 0, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tally := newTally(2, 1, 4)
			tally.ask(2, time.Now())
			tally.hear(test.client, []byte(test.packet))
			q := tally.questions[1]
			if q.answers != test.answers || q.code != test.code || tally.stray != test.stray {
				t.Errorf("%d answers, the code %q and %d strays; want %d, %q and %d", q.answers, q.code, tally.stray, test.answers, test.code, test.stray)
			}
		})
	}
}
