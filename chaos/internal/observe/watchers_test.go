package observe

import (
	"testing"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// newTestWatchers returns watchers without connections.
func newTestWatchers(t *testing.T, n int) *Watchers {
	t.Helper()
	w := newWatchers(n)
	var err error
	if w.pool, err = load.NewPool(load.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func messagePacket(publisher int, n uint64) []byte {
	return append([]byte(`42["m",`), append(NewMessage(publisher, n), ']')...)
}

func TestWatchersNoticeWhatIsWrong(t *testing.T) {
	ack := func(n string) []byte { return []byte("43" + n + `[{"s":` + n + `,"t":0}]`) }
	for name, c := range map[string]struct {
		packets [][]byte
		want    results.Figures
	}{
		"all of it":       {[][]byte{messagePacket(0, 1), messagePacket(1, 1), messagePacket(0, 2), ack("7")}, results.Figures{scenario.Answered: 1}},
		"a gap":           {[][]byte{messagePacket(0, 2), messagePacket(1, 1), ack("7")}, results.Figures{scenario.Missing: 1, scenario.Answered: 1}},
		"the last":        {[][]byte{messagePacket(0, 1), messagePacket(1, 1), ack("7")}, results.Figures{scenario.Missing: 1, scenario.Answered: 1}},
		"twice":           {[][]byte{messagePacket(0, 1), messagePacket(0, 1), messagePacket(0, 2), messagePacket(1, 1), ack("7")}, results.Figures{scenario.Disorder: 1, scenario.Answered: 1}},
		"no answer":       {[][]byte{messagePacket(0, 1), messagePacket(0, 2), messagePacket(1, 1)}, results.Figures{scenario.Unanswered: 1}},
		"two answers":     {[][]byte{messagePacket(0, 1), messagePacket(0, 2), messagePacket(1, 1), ack("7"), ack("7")}, results.Figures{scenario.Answered: 1, scenario.UnexpectedAcks: 1}},
		"another answer":  {[][]byte{messagePacket(0, 1), messagePacket(0, 2), messagePacket(1, 1), ack("8")}, results.Figures{scenario.Unanswered: 1, scenario.UnexpectedAcks: 1}},
		"an error answer": {[][]byte{messagePacket(0, 1), messagePacket(0, 2), messagePacket(1, 1), []byte(`437[{"error":{"code":"NO_HANDLER"}}]`)}, results.Figures{scenario.Answered: 1, scenario.ErrorAnswers: 1}},
	} {
		w := newTestWatchers(t, 1)
		w.sent, w.pending[7] = [Publishers]uint64{2, 1}, 0
		for _, packet := range c.packets {
			w.receive(0, packet)
		}
		got := results.Figures{}
		w.AddTo(got)
		for _, figure := range []string{scenario.Missing, scenario.Disorder, scenario.Answered, scenario.Unanswered, scenario.UnexpectedAcks, scenario.ErrorAnswers} {
			if got[figure] != c.want[figure] {
				t.Errorf("%s: %s is %v, want %v", name, figure, got[figure], c.want[figure])
			}
		}
	}
}

func TestClientsMustReceiveWhatTheServerCounted(t *testing.T) {
	for name, c := range map[string]struct {
		queued [Publishers][]int
		asked  uint64 // an event that is not answered
		want   results.Figures
	}{
		"exactly that":   {[Publishers][]int{{2, 2, 1}}, 0, results.Figures{scenario.Accepted: 3, scenario.Received: 5}},
		"one too few":    {[Publishers][]int{{2, 2, 2}}, 0, results.Figures{scenario.Accepted: 3, scenario.Received: 5, scenario.Missing: 1}},
		"one too many":   {[Publishers][]int{{2, 1, 1}}, 0, results.Figures{scenario.Accepted: 3, scenario.Received: 5, scenario.Missing: 1}},
		"an early event": {[Publishers][]int{{2}}, 10, results.Figures{scenario.Accepted: 1, scenario.Received: 2, scenario.Unanswered: 1}},
		"a late event":   {[Publishers][]int{{2}}, 11, results.Figures{scenario.Accepted: 1, scenario.Received: 2}},
	} {
		w := newTestWatchers(t, 2)
		w.last[0][0], w.last[1][0], w.goodbyes = 3, 2, 1
		if c.asked > 0 {
			w.pending[c.asked] = 0
		}
		got := results.Figures{}
		w.AddInterrupted(got, c.queued, 10)
		c.want[scenario.WithoutGoodbye], c.want[scenario.Clients] = 1, 2
		for figure, value := range got {
			if value != c.want[figure] {
				t.Errorf("%s: %s is %v, want %v", name, figure, value, c.want[figure])
			}
		}
	}
}

func TestEventsThatWantAnAckAreAnswered(t *testing.T) {
	w := newTestWatchers(t, 1)
	if reply := w.receive(0, []byte(`4217["question",1]`)); string(reply) != "4317[]" {
		t.Errorf("the reply is %q", reply)
	}
}
