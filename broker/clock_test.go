package broker_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/token"
)

// jumpingClock is a clock that a test sets.
type jumpingClock struct{ ahead atomic.Int64 }

func (c *jumpingClock) now() time.Time { return time.Now().Round(0).Add(time.Duration(c.ahead.Load())) }

func (c *jumpingClock) set(ahead time.Duration) { c.ahead.Store(int64(ahead)) }

// TestClockJumps sets the clock ahead and back while clients are connected. Clients
// whose token has expired by then are disconnected at once, and no others.
func TestClockJumps(t *testing.T) { synctest.Test(t, clockJumps) }

func clockJumps(t *testing.T) {
	var clock jumpingClock
	anonymous := broker.Permissions{}
	node := brokertest.StartInMemory(t, broker.Options{Tokens: brokertest.Keyring(t, token.Options{Now: clock.now}), Anonymous: &anonymous})
	join := func(user string, ttl time.Duration) *brokertest.Client {
		t.Helper()
		return node.JoinAs(issue(t, node, broker.TokenRequest{User: user, TTL: ttl}).Token)
	}
	nobody := node.Dial(nil)
	nobody.Connect("/", nil)
	hour, day, renewed := join("hour", time.Hour), join("day", 24*time.Hour), join("renewed", time.Hour)
	renewed.Call("sala:token", issue(t, node, broker.TokenRequest{User: "renewed", TTL: 10 * time.Hour}).Token)

	synctest.Wait() // until the node has read the clock
	clock.set(2 * time.Hour)
	hour.Expect("sala:disconnect", `[{"code":"TOKEN_EXPIRED","reason":"the token has expired"}]`)
	hour.ExpectDisconnect()
	for _, c := range []*brokertest.Client{nobody, day, renewed} {
		c.ExpectNothing()
	}
	// Tokens that are issued and sockets that connect now go by the new time, and by the old one again later.
	late := join("late", time.Hour)
	clock.set(0)
	soon := join("soon", 2*time.Second)
	soon.Expect("sala:disconnect", `[{"code":"TOKEN_EXPIRED","reason":"the token has expired"}]`)
	for _, c := range []*brokertest.Client{nobody, day, renewed, late} {
		c.ExpectNothing()
	}
	clock.set(20 * time.Hour)
	for _, c := range []*brokertest.Client{late, renewed} {
		c.Expect("sala:disconnect", `[{"code":"TOKEN_EXPIRED","reason":"the token has expired"}]`)
	}
	day.ExpectNothing()
}

// A timer that fires too early because the clock was set back disconnects nobody.
func TestClockSetBackJustBeforeTheEnd(t *testing.T) { synctest.Test(t, clockSetBackJustBeforeTheEnd) }

func clockSetBackJustBeforeTheEnd(t *testing.T) {
	var clock jumpingClock
	node := brokertest.StartInMemory(t, broker.Options{Tokens: brokertest.Keyring(t, token.Options{Now: clock.now})})
	issued := issue(t, node, broker.TokenRequest{User: "ana", TTL: time.Minute})
	clock.set(time.Until(issued.ExpiresAt) - 50*time.Millisecond)
	ana := node.JoinAs(issued.Token) // for 50 ms
	clock.set(0)
	timer := time.NewTimer(200 * time.Millisecond)
	<-timer.C
	ana.ExpectNothing()
}
