package adminui

import (
	"slices"
	"testing"

	"github.com/salabroker/sala/broker/cluster/wire"
)

func TestHappened(t *testing.T) {
	before := &wire.AdminStats{Opened: 5, Closed: map[string]uint64{"ping timeout": 1}, PacketsIn: 7, BytesIn: 70}
	now := &wire.AdminStats{Opened: 8, Closed: map[string]uint64{"ping timeout": 3}, PacketsIn: 7, BytesIn: 71, BytesOut: 2}
	at := noon.UnixMilli()
	want := []aggregated{{at, "rawConnection", "", 3}, {at, "rawDisconnection", "ping timeout", 2}, {at, "bytesIn", "", 1}, {at, "bytesOut", "", 2}}
	if got := happened(before, now, noon); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := happened(nil, now, noon); got == nil || len(got) != 0 {
		t.Errorf("%v has happened before anybody looked, want an empty list", got)
	}
}
