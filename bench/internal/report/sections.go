package report

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/salabroker/sala/bench/internal/bench"
)

// column is one figure in a table.
type column struct {
	figure, title string
	total         bool   // the largest count of all runs instead of the median
	against       string // if set: the ratio to the same figure of the same server in another profile
}

// describe returns a section's text for a configuration of type B.
func describe[B any](text func(B) string) func(json.RawMessage) (string, error) {
	return func(config json.RawMessage) (string, error) {
		var b B
		if err := json.Unmarshal(config, &b); err != nil {
			return "", err
		}
		return text(b), nil
	}
}

// section shows one profile. Its first column has ratios.
type section struct {
	profile, title string
	text           func(config json.RawMessage) (string, error)
	columns        []column
}

var (
	cpu      = column{figure: bench.CPU, title: "CPU per delivery, µs"}
	p50      = column{figure: bench.P50, title: "p50, ms"}
	p99      = column{figure: bench.P99, title: "p99, ms"}
	toPaced  = column{figure: bench.CPU, title: "× own paced", against: bench.ProfilePaced}
	missing  = column{figure: bench.Missing, title: "missing", total: true}
	disorder = column{figure: bench.Disorder, title: "out of order", total: true}
	lost     = column{figure: bench.Lost, title: "lost connections", total: true}
)

var (
	deliveryColumns = []column{cpu, p50, p99, missing, disorder, lost}
	scalingColumns  = []column{cpu, toPaced, p50, p99, missing, disorder, lost}
)

var sections = []section{
	{bench.ProfileBurst, "Burst", describe(func(b bench.Deliver) string {
		return fmt.Sprintf("%d clients are in one room; %d messages of about 130 bytes are published at once, %d times over. What counts is how well a "+
			"server combines what waits for the same client.", b.Clients, b.Batch, b.Batches)
	}), deliveryColumns},
	{bench.ProfilePaced, "Paced", describe(func(b bench.Deliver) string {
		return fmt.Sprintf("%d clients are in one room, which gets %s messages a second for %s. Each message is alone, so each recipient "+
			"costs a system call: that is most of the floor's cost.", b.Clients, rate(b.Batch, b.Every), lasting(b.Batches, b.Every))
	}), deliveryColumns},
	{bench.ProfileRooms, "Many rooms", describe(func(b bench.Deliver) string {
		return fmt.Sprintf("%d rooms of %d members are spread over %d clients; %s messages a second go to random rooms for %s. Few recipients share what a "+
			"message costs before it is written.",
			b.Rooms, b.Members, b.Clients, rate(b.Batch, b.Every), lasting(b.Batches, b.Every))
	}), scalingColumns},
	{bench.ProfileWide, "One wide room", describe(func(b bench.Deliver) string {
		return fmt.Sprintf("%d clients are in one room, which gets %s messages a second for %s. A message has arrived when the last client has it, "+
			"so the latency is mostly the duration of that loop.", b.Clients, rate(b.Batch, b.Every), lasting(b.Batches, b.Every))
	}), scalingColumns},
	{bench.ProfileIdle, "Idle", describe(func(b bench.Hold) string {
		return fmt.Sprintf("%d clients are connected over WebSocket and only answer pings. The figure is the resident memory after %v, less the "+
			"server's memory before they connected.", b.Clients, b.Settle)
	}), []column{{figure: bench.RSS, title: "memory per connection, KiB"}, {figure: bench.RSSFresh, title: "the same right after connecting, KiB"}, lost}},
	{bench.ProfileDefault, "Default client", describe(func(b bench.Hold) string {
		return fmt.Sprintf("The same with %d clients that connect as Socket.IO clients do by default: over HTTP long-polling first, followed by "+
			"the upgrade to WebSocket.", b.Clients)
	}), []column{{figure: bench.RSS, title: "memory per connection, KiB"}, {figure: bench.ConnectCPU, title: "CPU per connection, µs"}, lost}},
	{bench.ProfileConnect, "Connect", describe(func(b bench.Connect) string {
		return fmt.Sprintf("%d clients connect over WebSocket, as fast as the server lets them, and join one room. Sala verifies a JWT for each; the "+
			"others accept all clients.", b.Clients)
	}), []column{{figure: bench.ConnectCPU, title: "CPU per connection, µs"}, {figure: bench.ConnectP99, title: "p99, ms"}, lost}},
	{bench.ProfileHandshakes, "Handshakes", describe(func(b bench.Connect) string {
		return fmt.Sprintf("%d connections are opened, and each is closed as soon as the client is in its room. A connection is lost if it takes longer than 5 s.",
			b.Clients)
	}), []column{{figure: bench.ConnectCPU, title: "CPU per connection, µs"}, {figure: bench.Connects, title: "tried"}, lost}},
	{bench.ProfileControl, "Control API", describe(func(b bench.Control) string {
		return fmt.Sprintf("These calls emit to a room of one client: %d unary calls over gRPC, %d messages over one EmitStream, %d calls over REST. "+
			"The handler that they are compared with takes the same requests and does nothing: it has no key, no checks and no client.",
			b.Unary, b.Stream, b.REST)
	}), []column{
		{figure: bench.UnaryCPU, title: "CPU per unary call, µs"}, {figure: bench.StreamCPU, title: "CPU per message of a stream, µs"},
		{figure: bench.RESTCPU, title: "CPU per REST call, µs"}, missing,
	}},
	{bench.ProfileEvents, "Events of clients", describe(func(b bench.Events) string {
		return fmt.Sprintf("%d clients send events and wait for acks, which return what was sent. Latency is the time from sending to the ack, at "+
			"%s events a second for %s; then %d events follow, %d at a time. With Sala a backend answers them: another process that holds one event "+
			"stream over gRPC. Node's handler is a function in the server. The clients, the backend and the server share the machine, which "+
			"limits the rate.",
			b.Clients, rate(b.Batch, b.Every), lasting(b.Batches, b.Every), b.Events, b.InFlight)
	}), []column{{figure: bench.CPU, title: "the server's CPU per event, µs"}, {figure: bench.Rate, title: "events a second"}, p50, p99, missing, disorder}},
	{bench.ProfileCluster, "Clusters: what all servers cost", describe(func(b bench.Cluster) string {
		return fmt.Sprintf("Three servers share a Redis and have %d clients each. Sala's nodes sign their messages to each other; Node uses "+
			"@socket.io/redis-adapter. All messages are published at the first server. The CPU time is that of all three servers and of Redis, for "+
			"%d messages at once to everyone, %.0f a second to everyone, and %.0f a second to rooms with one member on each server. Single messages to "+
			"everyone cost mostly system calls, as when paced; messages to small rooms cost mostly what comes before they are written.",
			b.Clients, b.Burst, float64(time.Second)/float64(3*b.Every), 20*float64(time.Second)/float64(b.Every))
	}), []column{
		{figure: bench.AllBurst, title: "at once, µs per delivery"}, {figure: bench.AllPaced, title: "paced, µs per delivery"},
		{figure: bench.AllScattered, title: "small rooms, µs per delivery"},
		{figure: bench.Publishes, title: "messages over Redis per emit"}, {figure: bench.Commands, title: "other commands per emit"},
		missing, disorder, lost,
	}},
	{bench.ProfileCluster, "Clusters: to another server", describe(func(b bench.Cluster) string {
		return fmt.Sprintf("The same servers: the first one's clients (near) compared with the second one's (far). Latency: %s messages a second go to %d clients near "+
			"and as many far in turn; busy is the share of the machine that all processes used meanwhile, including the load generator. CPU: %.0f messages a "+
			"second go to %d clients near or far, and the figure is that of the server that delivers them. The last two columns are what the first server and "+
			"Redis use to publish a message that goes far.",
			rate(b.Batch, b.Every), b.Members, float64(time.Second)/float64(b.Every), b.Clients)
	}), []column{
		{figure: bench.CPUFar, title: "CPU per delivery far, µs"}, {figure: bench.CPUNear, title: "near, µs"},
		{figure: bench.P50Near, title: "p50 near, ms"}, {figure: bench.P50Far, title: "far, ms"}, {figure: bench.P99Near, title: "p99 near, ms"},
		{figure: bench.P99Far, title: "far, ms"}, {figure: bench.Busy, title: "busy"},
		{figure: bench.PublishCPU, title: "to publish, µs"}, {figure: bench.RedisCPU, title: "of Redis, µs"},
	}},
}

// rate formats how many messages or events are sent in a second.
func rate(batch int, every time.Duration) string {
	return fmt.Sprintf("%.0f", float64(batch)*float64(time.Second)/float64(every))
}

// lasting formats how long it takes to send batches.
func lasting(batches int, every time.Duration) string {
	return (time.Duration(batches) * every).Round(100 * time.Millisecond).String()
}
