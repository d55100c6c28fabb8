package bench

import "testing"

func TestCommandCounts(t *testing.T) {
	before, err := parseCommands("# Commandstats\r\ncmdstat_publish:calls=10,usec=5,usec_per_call=0.5\r\ncmdstat_info:calls=3,usec=1\r\n" +
		"cmdstat_set:calls=2,usec=1\r\ncmdstat_zadd:calls=2,usec=1\r\n")
	if err != nil {
		t.Fatal(err)
	}
	after, err := parseCommands("cmdstat_publish:calls=113,usec=5\r\ncmdstat_info:calls=9,usec=1\r\ncmdstat_set:calls=5,usec=1\r\n" +
		"cmdstat_zadd:calls=5,usec=1\r\ncmdstat_ping:calls=7,usec=1\r\ncmdstat_mget:calls=1,usec=1\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if publishes, others := after.since(before); publishes != 100 || others != 1 {
		t.Errorf("%v messages and %v other commands, want 100 beside 3 heartbeats and 1 beside 7 pings", publishes, others)
	}
	for _, text := range []string{"", "cmdstat_publish:calls=many"} {
		if _, err := parseCommands(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
