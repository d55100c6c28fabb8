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
	b.Join(room)
	channel := "sala:topic:" + string(room)
	foreign := connect(t, n)
	foreign.subscribe(channel)
	if err := a.Publish(cluster.Route{Topic: room}, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	b.AwaitPayloads("hello")
	foreign.await("the recording", func() bool { return len(foreign.received[channel]) == 1 })
	recorded := foreign.received[channel][0]

	played := func(reason cluster.LossReason, channel, frame string) {
		t.Helper()
		foreign.publish(channel, frame)
		b.AwaitLost(reason, 1)
	}
	played(cluster.LostReplayed, channel, recorded)
	played(cluster.LostMalformed, channel, "\x01")
	played(cluster.LostVersion, channel, "\x7f"+recorded[1:])
	b.AwaitLost(cluster.LostReplayed, 1)
	bad := b.Lost(cluster.LostBadMAC)
	for i, forged := range []struct{ channel, frame string }{
		{"sala:node:" + string(b.ID()), recorded},                            // on another channel
		{channel, recorded[:len(recorded)-1] + "!"},                          // with other content
		{channel, recorded[:1] + "\x00" + recorded[34:]},                     // without a MAC
		{channel, recorded[:2] + strings.Repeat("\x00", 32) + recorded[34:]}, // with another MAC
	} {
		foreign.publish(forged.channel, forged.frame)
		b.AwaitLost(cluster.LostBadMAC, bad+i+1)
	}

	// A node with another key isn't in the cluster.
	other := StartNode(t, cluster.Options{Bus: n.Bus(), Keys: [][]byte{[]byte(testKeyText + "!")}})
	<-other.Ready()
	other.AwaitLost(cluster.LostBadMAC, 1)
	b.AwaitLost(cluster.LostBadMAC, bad+5)
	other.AwaitNodes()
	b.AwaitNodes(a)
	b.AwaitPayloads("hello")
}

// Replaces the key of a running cluster, one node at a time: all nodes accept the new key before
// any signs with it, and none signs with the old key when it is removed.
func testKeyRotation(t *testing.T, n Network) {
	before, after := []byte(testKeyText), []byte("another key for tests, as long as it")
	ctx := within(t, patience)
	start := func(keys ...[]byte) *Node { return StartNode(t, cluster.Options{Bus: n.Bus(), Keys: keys}) }
	steps := [][][]byte{{before}, {before, after}, {after, before}, {after}}
	stays := start(steps[0]...)
	for i, keys := range steps[1:] {
		for range 2 { // first the other node is restarted with the keys, then this one
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
		t.Error("messages were refused on the way")
	}
}

// Entries that are signed with an old key are marked as outdated.
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

// values returns the values of entries.
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
	// An entry is valid for its key only.
	foreign := connect(t, n)
	raw, err := foreign.Entries(ctx, "sala:table:revoked")
	if err != nil || len(raw) != 2 {
		t.Fatalf("the raw table is %v, %v", raw, err)
	}
	if err := foreign.Put(ctx, "sala:table:revoked", "two", raw["one"], time.Minute); err != nil {
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

func testMeshValues(t *testing.T, n Network) {
	all := nodes(t, n, 2)
	ctx := within(t, patience)
	if _, found, err := all[0].SetNew(ctx, "one", []byte("first"), time.Minute); err != nil || found {
		t.Fatalf("SetNew: %t, %v", found, err)
	}
	existing := func(name string) string {
		t.Helper()
		value, found, err := all[1].SetNew(ctx, name, []byte("second"), time.Minute)
		if err != nil {
			t.Fatalf("SetNew: %v", err)
		}
		return fmt.Sprintf("%s %t", value, found)
	}
	if got := existing("one"); got != "first true" {
		t.Errorf("the value is %s", got)
	}
	if err := all[1].Set(ctx, "one", nil, time.Minute); err != nil {
		t.Fatalf("Set: %v", err)
	}
	if got := existing("one"); got != " true" {
		t.Errorf("the value is %s", got)
	}
	// A value is valid for its name only.
	foreign := connect(t, n)
	raw, err := foreign.SetNew(ctx, "sala:value:one", nil, time.Minute)
	if err != nil || len(raw) == 0 {
		t.Fatalf("the raw value is %q, %v", raw, err)
	}
	if err := foreign.Set(ctx, "sala:value:two", raw, time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, _, err := all[1].SetNew(ctx, "two", nil, time.Minute); err == nil {
		t.Error("the value of another name is accepted")
	}
	if got := all[1].Lost(cluster.LostBadMAC); got != 1 {
		t.Errorf("%d values were lost, want 1", got)
	}
}
