package load

import (
	"testing"

	"github.com/salabroker/sala/bench/internal/job"
)

// newTestWatch returns a watch of so many clients without connections.
func newTestWatch(clients int) *watch {
	return &watch{pool: &pool{}, fds: make([]int, clients), last: make([][speeches]uint64, clients), asked: make(map[uint64]int)}
}

func messageOf(way int, n uint64) []byte {
	return append([]byte(`42["m",`), append(newPayload(n<<8|uint64(way), 0), ']')...)
}

func TestWatchMissesWhatLacks(t *testing.T) {
	ack := func(n string) []byte { return []byte("43" + n + `[{"s":` + n + `,"t":0}]`) }
	for name, c := range map[string]struct {
		packets [][]byte
		want    job.Figures
	}{
		"all of it":       {[][]byte{messageOf(0, 1), messageOf(1, 1), messageOf(0, 2), ack("7")}, job.Figures{job.Answered: 1}},
		"a gap":           {[][]byte{messageOf(0, 2), messageOf(1, 1), ack("7")}, job.Figures{job.Missing: 1, job.Answered: 1}},
		"the last":        {[][]byte{messageOf(0, 1), messageOf(1, 1), ack("7")}, job.Figures{job.Missing: 1, job.Answered: 1}},
		"twice":           {[][]byte{messageOf(0, 1), messageOf(0, 1), messageOf(0, 2), messageOf(1, 1), ack("7")}, job.Figures{job.Disorder: 1, job.Answered: 1}},
		"no answer":       {[][]byte{messageOf(0, 1), messageOf(0, 2), messageOf(1, 1)}, job.Figures{job.Unanswered: 1}},
		"two answers":     {[][]byte{messageOf(0, 1), messageOf(0, 2), messageOf(1, 1), ack("7"), ack("7")}, job.Figures{job.Answered: 1, job.Stray: 1}},
		"another answer":  {[][]byte{messageOf(0, 1), messageOf(0, 2), messageOf(1, 1), ack("8")}, job.Figures{job.Unanswered: 1, job.Stray: 1}},
		"an error answer": {[][]byte{messageOf(0, 1), messageOf(0, 2), messageOf(1, 1), []byte(`437[{"error":{"code":"NO_HANDLER"}}]`)}, job.Figures{job.Answered: 1, job.OtherCodes: 1}},
	} {
		w := newTestWatch(1)
		w.sent, w.asked[7] = [speeches]uint64{2, 1}, 0
		for _, packet := range c.packets {
			w.hear(0, packet)
		}
		got := job.Figures{}
		w.judge(got)
		for _, figure := range []string{job.Missing, job.Disorder, job.Answered, job.Unanswered, job.Stray, job.OtherCodes} {
			if got[figure] != c.want[figure] {
				t.Errorf("%s: %s is %v, want %v", name, figure, got[figure], c.want[figure])
			}
		}
	}
}

func TestTerminationWantsWhatAnswersCounted(t *testing.T) {
	for name, c := range map[string]struct {
		queued [speeches][]int
		asked  uint64 // an event that isn't answered
		want   job.Figures
	}{
		"exactly that":   {[speeches][]int{{2, 2, 1}}, 0, job.Figures{job.Accepted: 3, job.Received: 5}},
		"one too few":    {[speeches][]int{{2, 2, 2}}, 0, job.Figures{job.Accepted: 3, job.Received: 5, job.Missing: 1}},
		"one too many":   {[speeches][]int{{2, 1, 1}}, 0, job.Figures{job.Accepted: 3, job.Received: 5, job.Missing: 1}},
		"an early event": {[speeches][]int{{2}}, 10, job.Figures{job.Accepted: 1, job.Received: 2, job.Unanswered: 1}},
		"a late event":   {[speeches][]int{{2}}, 11, job.Figures{job.Accepted: 1, job.Received: 2}},
	} {
		w := newTestWatch(2)
		w.last[0][0], w.last[1][0], w.farewells = 3, 2, 1
		if c.asked > 0 {
			w.asked[c.asked] = 0
		}
		got := job.Figures{}
		(&termination{watch: w, queued: c.queued}).judge(got, 10)
		c.want[job.Unheard], c.want[job.Clients] = 1, 2
		for figure, value := range got {
			if value != c.want[figure] {
				t.Errorf("%s: %s is %v, want %v", name, figure, value, c.want[figure])
			}
		}
	}
}
