package presence

import (
	"testing"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// A node has passed a user on to another one, whose question about that wasn't answered before the
// user left that one, too. So by their clocks the user was passed on after it had left. Its return is
// announced all the same.
func TestReturnAfterLatePass(t *testing.T) {
	passed := answer{node: "a", state: wire.PresenceAnswer_STATE_PASSED, time: 200, passed: 200}
	leave := &record{phase: leaving, time: 100}
	if v := leave.judge("b", []answer{passed}); v != announce || leave.time <= passed.time {
		t.Errorf("the leave: %d at %d, want it announced after %d", v, leave.time, passed.time)
	}
	leave.phase = left
	leftAt, passedAt := leave.lastTimes()
	here := answer{node: "b", state: wire.PresenceAnswer_STATE_LEFT, time: leave.time, left: leftAt, passed: passedAt}
	came := &record{phase: coming, time: 150}
	if v := came.judge("c", []answer{passed, here}); v != announce || came.time <= leave.time {
		t.Errorf("the return: %d at %d, want it announced after %d", v, came.time, leave.time)
	}
}

// A node is lost, and another one finds out for it whether a user has left. Meanwhile it was announced
// that the user has left, so that a return is announced; but only if nobody has come in between, which
// that node may have been.
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
		"rejoined since":       {[]answer{lost, rejoined}, keepQuiet},
		"never announced":      {[]answer{lost}, keepQuiet},
		"drained before that":  {[]answer{{node: "a", state: wire.PresenceAnswer_STATE_PASSED, time: 300, passed: 50}, announced}, announce},
		"drained after that":   {[]answer{{node: "a", state: wire.PresenceAnswer_STATE_PASSED, time: 300, passed: 150}, announced}, keepQuiet},
		"drained, and nothing": {[]answer{{node: "a", state: wire.PresenceAnswer_STATE_PASSED, time: 300, passed: 50}}, keepQuiet},
	} {
		came := &record{phase: coming, time: 200}
		if v := came.judge("c", c.answers); v != c.want {
			t.Errorf("%s: %d, want %d", name, v, c.want)
		}
	}
}
