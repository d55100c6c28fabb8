package clustertest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster"
)

func testKey(t *testing.T, n Network) {
	all := nodes(t, n, 2)
	a, b := all[0], all[1]
	room := cluster.RoomTopic("/", "lobby")
	b.Want(room)
	channel := "sala:topic:" + string(room)
	stranger := join(t, n)
	stranger.hear(channel)
	if err := a.Publish(cluster.Route{Topic: room}, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	b.AwaitPayloads("hello")
	stranger.await("the recording", func() bool { return len(stranger.heard[channel]) == 1 })
	recorded := stranger.heard[channel][0]

	played := func(reason cluster.LossReason, channel, frame string) {
		t.Helper()
		stranger.say(channel, frame)
		b.AwaitLost(reason, 1)
	}
	played(cluster.LostReplayed, channel, recorded)
	played(cluster.LostMalformed, channel, "\x01")
	played(cluster.LostVersion, channel, "\x02"+recorded[1:])
	b.AwaitLost(cluster.LostReplayed, 1)
	bad := b.Lost(cluster.LostBadMAC)
	for i, forged := range []struct{ channel, frame string }{
		{"sala:node:" + string(b.ID()), recorded},                            // to another channel
		{channel, recorded[:len(recorded)-1] + "!"},                          // with other contents
		{channel, "\x01\x00" + recorded[34:]},                                // without the code
		{channel, recorded[:2] + strings.Repeat("\x00", 32) + recorded[34:]}, // with another code
	} {
		stranger.say(forged.channel, forged.frame)
		b.AwaitLost(cluster.LostBadMAC, bad+i+1)
	}

	// A node with another key is nobody.
	other := StartNode(t, cluster.Options{Bus: n.Bus(), Keys: [][]byte{[]byte(testKeyText + "!")}})
	<-other.Ready()
	other.AwaitLost(cluster.LostBadMAC, 1)
	b.AwaitLost(cluster.LostBadMAC, bad+5)
	other.AwaitNodes()
	b.AwaitNodes(a)
	b.AwaitPayloads("hello")
}

// testKeyRotation replaces the key of a cluster that goes on, a node at a time: all
// believe the new one before any signs with it, and none signs with the old one
// when it goes.
func testKeyRotation(t *testing.T, n Network) {
	before, after := []byte(testKeyText), []byte("another key for tests, as long as it")
	ctx := within(t, patience)
	start := func(keys ...[]byte) *Node { return StartNode(t, cluster.Options{Bus: n.Bus(), Keys: keys}) }
	steps := [][][]byte{{before}, {before, after}, {after, before}, {after}}
	stays := start(steps[0]...)
	for i, keys := range steps[1:] {
		for range 2 { // a neighbour is restarted with the keys, and then this node is
			next := start(keys...)
			stays.AwaitNodes(next)
			next.AwaitNodes(stays)
			for from, to := range map[*Node]*Node{stays: next, next: stays} {
				result, err := from.Call(ctx, []cluster.NodeID{to.ID()}, []byte("hello"))
				if err != nil || result.Partial() || len(result.Replies) != 1 {
					t.Fatalf("step %d: %+v, %v", i+1, result, err)
				}
			}
			stays.Stop()
			stays = next
		}
	}
	if stays.Lost(cluster.LostBadMAC) != 0 {
		t.Error("messages were not believed on the way")
	}
}

// testOutdated: what is signed with a key that is about to go says so.
func testOutdated(t *testing.T, n Network) {
	before, after := []byte(testKeyText), []byte("another key for tests, as long as it")
	ctx := within(t, patience)
	for i, keys := range [][][]byte{{before, after}, {after, before}} {
		node := StartNode(t, cluster.Options{Bus: n.Bus(), Keys: keys})
		<-node.Ready()
		if err := node.Put(ctx, "revoked", strconv.Itoa(i), []byte("value"), time.Minute); err != nil {
			t.Fatal(err)
		}
		entries, err := node.Entries(ctx, "revoked")
		if err != nil || len(entries) != i+1 || entries[strconv.Itoa(i)].Outdated || i > 0 && !entries["0"].Outdated {
			t.Errorf("step %d: %+v, %v", i, entries, err)
		}
	}
}

// values returns what entries hold.
func values(entries map[string]cluster.Entry) map[string][]byte {
	all := make(map[string][]byte, len(entries))
	for key, e := range entries {
		all[key] = e.Value
	}
	return all
}

func testMeshTables(t *testing.T, n Network) {
	all := nodes(t, n, 2)
	ctx := within(t, patience)
	entries := func() string {
		t.Helper()
		got, err := all[1].Entries(ctx, "revoked")
		if err != nil {
			t.Fatalf("Entries: %v", err)
		}
		return fmt.Sprintf("%s", values(got))
	}
	for _, key := range []string{"one", "two"} {
		if err := all[0].Put(ctx, "revoked", key, []byte("is "+key), time.Minute); err != nil {
			t.Fatalf("Put: %v", err)
		}
	}
	if got := entries(); got != "map[one:is one two:is two]" {
		t.Errorf("the table is %s", got)
	}
	// An entry is good for its key only.
	stranger := join(t, n)
	raw, err := stranger.Entries(ctx, "sala:table:revoked")
	if err != nil || len(raw) != 2 {
		t.Fatalf("the raw table is %v, %v", raw, err)
	}
	if err := stranger.Put(ctx, "sala:table:revoked", "two", raw["one"], time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := entries(); got != "map[one:is one]" {
		t.Errorf("the table is %s", got)
	}
	if got := all[1].Lost(cluster.LostBadMAC); got != 1 {
		t.Errorf("%d entries were lost, want 1", got)
	}
	if err := all[1].Remove(ctx, "revoked", "one"); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	if got := entries(); got != "map[]" {
		t.Errorf("the table is %s", got)
	}
}
