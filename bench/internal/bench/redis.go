package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/salabroker/sala/bench/load"
)

// commandCounts are how often a Redis has executed each command, by its name in lower case;
// subcommands are called "client|list".
type commandCounts map[string]uint64

// readCommands reads the counts of a Redis, without the command that does so.
func readCommands(ctx context.Context, address string) (commandCounts, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(load.HandshakeTimeout)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, "INFO commandstats\r\n"); err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	head, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	size, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "$")))
	if err != nil {
		return nil, fmt.Errorf("redis answered %q", head)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(in, text); err != nil {
		return nil, err
	}
	return parseCommands(string(text))
}

// parseCommands reads lines such as "cmdstat_publish:calls=3,usec=5,usec_per_call=1.67".
func parseCommands(text string) (commandCounts, error) {
	counts := make(commandCounts)
	for line := range strings.Lines(text) {
		name, figures, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "cmdstat_"), ":calls=")
		if !ok {
			continue
		}
		calls, _, _ := strings.Cut(figures, ",")
		n, err := strconv.ParseUint(calls, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("redis counts %q", line)
		}
		counts[name] = n
	}
	delete(counts, "info")
	if len(counts) == 0 {
		return nil, errors.New("redis has counted no commands")
	}
	return counts, nil
}

// readCommandsAtRest is [readCommands] at a moment at which no node is in the middle of a
// heartbeat.
func readCommandsAtRest(ctx context.Context, address string) (commandCounts, error) {
	before, err := readCommands(ctx, address)
	if err != nil {
		return nil, err
	}
	for {
		if err := load.Sleep(ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
		now, err := readCommands(ctx, address)
		if err != nil || now.total() == before.total() {
			return now, err
		}
		before = now
	}
}

func (c commandCounts) total() uint64 {
	var all uint64
	for _, n := range c {
		all += n
	}
	return all
}

// since returns how many messages were published since an earlier reading, and how many other
// commands there were besides pings and heartbeats. A heartbeat of a node of Sala is a PUBLISH, a
// SET and a ZADD, so the number of ZADDs is how many of the PUBLISHes are heartbeats.
func (c commandCounts) since(before commandCounts) (publishes, others float64) {
	delta := func(name string) float64 { return float64(c[name] - before[name]) }
	beats := delta("zadd")
	publishes = delta("publish") + delta("spublish") - beats
	others = float64(c.total()-before.total()) - publishes - 3*beats - delta("ping")
	return publishes, others
}
