package broker_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

// Attachments that are announced and never sent hold memory only for a while. Pongs in
// between don't extend it. After a packet in time, the next one has the whole time
// again.
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

// A packet with attachments counts as unfinished until it is complete, or until the
// client is gone.
func TestAttachmentsAreHeld(t *testing.T) {
	registry := prometheus.NewRegistry()
	node := brokertest.Start(t, broker.Options{Metrics: registry})
	held := func() float64 { return gather(t, registry)["sala_unfinished_bytes{}"] }
	c, gone := node.Join("c"), node.Join("gone")
	for _, client := range []*brokertest.Client{c, gone} {
		client.Send(`452-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
		client.SendBinary(make([]byte, 3000))
	}
	eventually(t, "both are held", func() bool { return held() > 6000 && held() < 7000 })
	gone.Close()
	eventually(t, "one is held", func() bool { return held() > 3000 && held() < 3500 })
	c.SendBinary(make([]byte, 3000))
	eventually(t, "none is held", func() bool { return held() == 0 })
	c.ExpectNothing()
}

// An address with too many packets that wait for attachments makes room for others.
func TestUnfinishedPacketsMakeRoom(t *testing.T) {
	registry := prometheus.NewRegistry()
	node := brokertest.Start(t, broker.Options{Metrics: registry, MemoryLimit: 64 << 20}) // of which messages may take 8 MiB
	neighbour := node.Join("neighbour")
	const hoarders, size = 20, 900_000
	for range hoarders {
		c := node.Join("hoarder")
		c.Send(`452-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
		c.SendBinary(make([]byte, size))
	}
	// What still arrives would need room, too, and could take the neighbour's.
	eventually(t, "most have been closed, and all of the others has arrived", func() bool {
		got := gather(t, registry)
		closed := got[`sala_connections_closed_total{reason="unfinished messages"}`]
		return closed >= 11 && got["sala_unfinished_bytes{}"] >= (hoarders-closed)*size
	})
	neighbour.Send(`451-7["x",{"_placeholder":true,"num":0}]`)
	neighbour.SendBinary(make([]byte, size))
	expectCode(t, "the neighbour's", neighbour.Await("437"), "NO_HANDLER")
	got := gather(t, registry)
	if over := got[`sala_limits_exceeded_total{limit="unfinished_bytes"}`]; over < 11 {
		t.Errorf("%v were over the limit", over)
	}
	wantHitter(t, node, "unfinished_bytes", "hoarder")
	if bytes := got["sala_unfinished_bytes{}"]; bytes > 8<<20 {
		t.Errorf("%v bytes are held", bytes)
	}
}

// A client without a socket may send no more than a CONNECT needs, including
// attachments.
func TestNoAttachmentsBeforeConnect(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	c := node.Dial(nil)
	c.Send(`463-1[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}]`)
	c.SendBinary(make([]byte, 9000))
	c.SendBinary(make([]byte, 9000))
	c.ExpectEnd()
}
