package clustertest

import (
	"fmt"
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
	other := StartNode(t, cluster.Options{Bus: n.Bus(), Key: []byte(testKeyText + "!")})
	<-other.Ready()
	other.AwaitLost(cluster.LostBadMAC, 1)
	b.AwaitLost(cluster.LostBadMAC, bad+5)
	other.AwaitNodes()
	b.AwaitNodes(a)
	b.AwaitPayloads("hello")
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
		return fmt.Sprintf("%s", got)
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
