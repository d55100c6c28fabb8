package broker_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

// Only large messages take turns. A small one doesn't wait while others have all of them.
func TestLargeMessagesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := brokertest.StartInMemory(t, withRules(
			broker.RelayRule{Event: "all", To: broker.RelayToBroadcast},
			broker.RelayRule{Event: "echo", To: broker.RelayToSender},
		))
		ana, luis := node.JoinAs(node.Token("ana", broker.Permissions{Broadcast: true})), node.Join("luis")
		taken := 0
		for node.Turns().Try() {
			taken++
		}
		large := strings.Repeat("x", 10_000)
		ana.Send(`42["all","` + large + `"]`)
		synctest.Wait()
		luis.Send(`42["echo","small"]`)
		luis.Expect("echo", `["small"]`) // before the large one
		for range taken {
			node.Turns().Give()
		}
		luis.Expect("all", `["`+large+`"]`)
		synctest.Wait()
		again := 0
		for node.Turns().Try() {
			again++
		}
		if again != taken {
			t.Errorf("%d turns are free in the end, and %d were in the beginning", again, taken)
		}
	})
}
