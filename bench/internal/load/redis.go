package load

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
)

// commandCounts are how often each of Redis's commands has been called, by its name in lower case; subcommands as
// "client|list".
type commandCounts map[string]uint64

// readCommands asks a Redis for the counts, over a connection of its own. Its own commands are left out.
func readCommands(ctx context.Context, address string) (commandCounts, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
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

// readQuiet is [readCommands] at a moment when no node is in the middle of a heartbeat.
func readQuiet(ctx context.Context, address string) (commandCounts, error) {
	before, err := readCommands(ctx, address)
	if err != nil {
		return nil, err
	}
	for {
		if err := pause(ctx, 20*time.Millisecond); err != nil {
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

// since returns what was called since an earlier reading for messages, and for anything else but pings and heartbeats. A
// heartbeat of a node of Sala is a PUBLISH, a SET and a ZADD, whose number tells it from a message.
func (c commandCounts) since(before commandCounts) (publishes, others float64) {
	delta := func(name string) float64 { return float64(c[name] - before[name]) }
	beats := delta("zadd")
	publishes = delta("publish") + delta("spublish") - beats
	others = float64(c.total()-before.total()) - publishes - 3*beats - delta("ping")
	return publishes, others
}
