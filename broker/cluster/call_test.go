package cluster

import (
	"testing"
	"time"
)

// A node can be lost after a call has listed it and before the call's collector is open. The
// collector then isn't told.
func TestCallDoesNotWaitForNodesLostMeanwhile(t *testing.T) {
	m := &Mesh{members: newMembers(time.Second, func(NodeID) string { return "" }), collectors: newCollectors()}
	now := time.Now()
	for _, id := range []NodeID{"lost", "there"} {
		m.members.heartbeat(Node{ID: id, Incarnation: 1}, now)
	}
	expected := m.members.ids()
	m.members.leave("lost", now)
	m.collectors.nodeGone("lost")
	w, err := m.collectors.open(expected)
	if err != nil {
		t.Fatal(err)
	}
	m.dropGone(w.id, expected)
	m.collectors.add(w.id, Reply{Node: "there"})
	select {
	case <-w.done:
	default:
		t.Error("the call waits")
	}
	if result, err := m.collectors.result(w, nil); err != nil || len(result.Missing) != 1 || result.Missing[0] != "lost" {
		t.Errorf("the result is %+v, %v", result, err)
	}
}
