package presence

import (
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// A node has passed a user on to another one, whose question about that wasn't answered before the
// user left that one, too. So by their clocks the user was passed on after it had left. Its return is
// announced all the same.
func TestReturnAfterLatePass(t *testing.T) {
	passed := answer{node: "a", state: wire.PresenceAnswer_STATE_PASSED, time: 200, passed: 200}
	leave := &record{phase: leaving, time: 100}
	if v, _ := leave.judge("b", 150, []answer{passed}); v != askLater {
		t.Errorf("the leave: %d, want it asked about again, since the user may have come to a node after its answer", v)
	}
	if v, _ := leave.judge("b", 210, []answer{passed}); v != announce || leave.time <= passed.time {
		t.Errorf("the leave: %d at %d, want it announced after %d", v, leave.time, passed.time)
	}
	leave.phase = left
	leftAt, passedAt := leave.lastTimes()
	here := answer{node: "b", state: wire.PresenceAnswer_STATE_LEFT, time: leave.time, left: leftAt, passed: passedAt}
	came := &record{phase: coming, time: 150}
	if v, _ := came.judge("c", 220, []answer{passed, here}); v != announce || came.time <= leave.time {
		t.Errorf("the return: %d at %d, want it announced after %d", v, came.time, leave.time)
	}
}

// A node is lost, and another one finds out for it whether a user has left. Meanwhile it was announced
// that the user has left, so that a return is announced. If somebody has come in between, that node may
// have announced that already, and it is announced again.
func TestReturnBesideLostNode(t *testing.T) {
	lost := answer{node: "a", state: wire.PresenceAnswer_STATE_PASSED, time: 300, onBehalf: true}
	announced := answer{node: "b", state: wire.PresenceAnswer_STATE_LEFT, time: 100, left: 100}
	rejoined := announced
	rejoined.rejoined = true
	for name, c := range map[string]struct {
		answers []answer
		want    verdict
	}{
		"announced before":     {[]answer{lost, announced}, announce},
		"rejoined since":       {[]answer{lost, rejoined}, announce},
		"never announced":      {[]answer{lost}, assume},
		"drained before that":  {[]answer{{node: "a", state: wire.PresenceAnswer_STATE_PASSED, time: 300, passed: 50}, announced}, announce},
		"drained after that":   {[]answer{{node: "a", state: wire.PresenceAnswer_STATE_PASSED, time: 300, passed: 150}, announced}, assume},
		"drained, and nothing": {[]answer{{node: "a", state: wire.PresenceAnswer_STATE_PASSED, time: 300, passed: 50}}, assume},
	} {
		came := &record{phase: coming, time: 200}
		if v, _ := came.judge("c", 210, c.answers); v != c.want {
			t.Errorf("%s: %d, want %d", name, v, c.want)
		}
	}
}

// A node finds out for another one whether a user has left. It knows when the user was there last, or not
// even that, and others know when the user was at them last, or that its leave was announced.
func TestLeaveOfAnotherNode(t *testing.T) {
	announced := answer{node: "b", state: wire.PresenceAnswer_STATE_LEFT, time: 100, left: 100}
	passedAt := func(time int64) answer {
		return answer{node: "c", state: wire.PresenceAnswer_STATE_PASSED, time: time, passed: time}
	}
	for name, c := range map[string]struct {
		leftThere int64
		answers   []answer
		want      verdict
	}{
		"nobody knows of a leave":     {0, nil, announce},
		"it was announced":            {0, []answer{announced}, keepQuiet},
		"that leave was announced":    {100, []answer{announced}, keepQuiet},
		"there after that":            {110, []answer{announced}, announce},
		"at another node before that": {0, []answer{announced, passedAt(90)}, keepQuiet},
		"at another node after that":  {0, []answer{announced, passedAt(110)}, announce},
		"at another node since":       {0, []answer{passedAt(310)}, askLater},
	} {
		leave := &record{phase: leaving, time: 200, inherited: true, leftThere: c.leftThere}
		if v, _ := leave.judge("a", 300, c.answers); v != c.want || v == announce && leave.time < 200 {
			t.Errorf("%s: %d, want %d", name, v, c.want)
		}
	}
}

// That a user was there counts only once all nodes have answered, and that nobody knows of the user only
// some time after a node hasn't answered.
func TestCertainty(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		phase             phase
		verdict           verdict
		complete, closing bool
		asked, doubt      time.Duration // ago
		want              bool
	}{
		"there":                           {coming, keepQuiet, false, false, 0, 0, true},
		"was there, some say":             {coming, assume, false, false, time.Second, 0, false},
		"was there, all say":              {coming, assume, true, false, time.Second, time.Second, true},
		"nobody knows, some say":          {coming, announce, false, false, time.Second, 0, false},
		"nobody knows, all say":           {coming, announce, true, false, time.Second, -1, true},
		"nobody knows, some said before":  {coming, announce, true, false, time.Second, time.Second, false},
		"nobody knows, some said earlier": {coming, announce, true, false, time.Minute, afterLoss, true},
		"some don't answer for long":      {coming, announce, false, false, joinPatience, 0, true},
		"the same at the end":             {coming, announce, false, true, closePatience, 0, true},
		"left, some say":                  {leaving, announce, false, false, joinPatience, 0, false},
		"left, all say":                   {leaving, announce, true, false, 0, 0, true},
		"it isn't known":                  {coming, askLater, true, false, joinPatience, -1, false},
	} {
		r := &record{phase: c.phase, asked: now.Add(-c.asked)}
		if c.doubt >= 0 {
			r.doubt = now.Add(-c.doubt)
		}
		if got := r.isCertain(c.verdict, c.complete, c.closing, false, now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
