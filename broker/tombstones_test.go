package broker

import (
	"fmt"
	"testing"
	"time"
)

// Sessions of one user, or of one address, don't make a node forget those of others.
func TestTombstonesAreShared(t *testing.T) {
	var all tombstones
	now := time.Now()
	all.add("ana's", "ana", tombstone{notRecovered: notRecoveredExpired}, now)
	for n := range 2 * maxTombstones {
		all.add(fmt.Sprint("stranger's ", n), "stranger", tombstone{}, now)
	}
	if end, ok := all.get("ana's"); !ok || end.notRecovered != notRecoveredExpired {
		t.Errorf("what is remembered of ana's session is %+v, %v", end, ok)
	}
	if _, ok := all.get(fmt.Sprint("stranger's ", 2*maxTombstones-1)); !ok {
		t.Error("the stranger's last session isn't remembered")
	}
	if len(all.byID) != maxTombstonesEach+1 || all.order.Len() != len(all.byID) || len(all.byHolder) != 2 {
		t.Errorf("%d sessions of %d users are remembered, %d in order", len(all.byID), len(all.byHolder), all.order.Len())
	}
}

func TestTombstonesAreBounded(t *testing.T) {
	var all tombstones
	now := time.Now()
	for n := range maxTombstones + 10 {
		all.add(fmt.Sprint(n), fmt.Sprint("user ", n), tombstone{}, now)
	}
	if _, ok := all.get("9"); ok || len(all.byID) != maxTombstones || len(all.byHolder) != maxTombstones {
		t.Errorf("%d sessions are remembered", len(all.byID))
	}
	all.add("last", "somebody", tombstone{}, now.Add(tombstoneTime))
	if len(all.byID) != 1 || len(all.byHolder) != 1 || all.order.Len() != 1 {
		t.Errorf("%d sessions are remembered after their time", len(all.byID)-1)
	}
}
