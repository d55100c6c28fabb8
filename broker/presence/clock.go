package presence

import "time"

// clock is a hybrid logical clock: the time of day in nanoseconds, but later than every time of
// another node that it has seen. So an event that can depend on another one has a later time, even if
// the clocks of the nodes differ. See Kulkarni and others, "Logical Physical Clocks" (2014).
type clock struct {
	now  func() time.Time
	last int64
}

// next returns a time that is later than all before.
func (c *clock) next() int64 {
	c.last = max(c.now().UnixNano(), c.last+1)
	return c.last
}

// see notes the time of another node.
func (c *clock) see(other int64) { c.last = max(c.last, other) }
