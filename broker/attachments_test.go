package broker_test

import (
	"testing"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

// Attachments that are announced and never sent hold memory for a while only;
// pongs in between don't make it longer. One packet in time leaves the next all
// of it.
func TestAttachmentsThatDoNotCome(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	node.SetAttachmentTime(100 * time.Millisecond)
	whole, bomb := node.Join("whole"), node.Join("bomb")
	whole.Send(`451-["x",{"_placeholder":true,"num":0}]`)
	whole.SendBinary([]byte("abc"))
	whole.ExpectNothing()
	bomb.Send(`452-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
	bomb.SendBinary(make([]byte, 100_000))
	bomb.Send("3")
	bomb.ExpectClose()
	whole.ExpectNothing()
}
