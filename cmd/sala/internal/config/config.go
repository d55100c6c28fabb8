package config

import (
	"strings"
	"time"

	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/token"
	"github.com/salabroker/sala/broker/token/jwks"
)

// Config is a configuration that is checked as far as possible without starting anything.
type Config struct {
	// Flags are the flags that it was built from, with the secrets that --dev made up.
	Flags *Flags
	// Broker holds the broker's options, except Logger, Metrics, Version, MemoryLimit, Cluster and
	// the engine of History.
	Broker broker.Options
	// KeySets are the public keys for tokens that have to be fetched.
	KeySets []*jwks.Set
	// Keys are the API keys of the control API.
	Keys []auth.Key
	// DevKey is the API key to print; empty without --dev.
	DevKey string
	// Public, GRPC and HTTP are the listeners.
	Public, GRPC, HTTP Listener
	// Metrics is the listener for metrics only; nil if HTTP serves them.
	Metrics *Listener
	// Cluster is how the node reaches the others; nil if it is alone.
	Cluster *Cluster
	// Warnings describe settings that are valid but unusual.
	Warnings []string
}

// Build checks the flags and the file. The error is an *[Error].
func (f *Flags) Build() (*Config, error) {
	if f.file == nil {
		f.file = newFile("", nil)
	}
	f.splitLists()
	if f.Dev {
		f.applyDevDefaults()
	}
	var p problems
	c := &Config{Flags: f, Warnings: f.checkEnv(&p), Keys: f.readKeys(&p)}
	var ring *token.Keyring
	ring, c.KeySets = f.readTokens(&p)
	c.Public, c.GRPC, c.HTTP = f.listeners(&p)
	c.Metrics = f.metricsListener(&p)
	c.Cluster = f.cluster(&p)
	f.checkNumbers(&p)
	c.Broker = f.brokerOptions(&p, ring)
	if err := p.err(); err != nil {
		return nil, err
	}
	if err := c.checkAnonymous(); err != nil {
		return nil, err
	}
	if f.Dev {
		c.DevKey = devKey(f.APIKey, c.Keys)
	}
	c.Warnings = append(c.Warnings, f.warnings()...)
	return c, nil
}

// devListen is the default of --listen with --dev: clients of this machine only.
const devListen = "127.0.0.1:3000"

// applyDevDefaults replaces the defaults that --dev has other ones for.
func (f *Flags) applyDevDefaults() {
	if f.origins["listen"] == originDefault {
		f.Listen = devListen
	}
	f.file.sections.applyDevDefaults()
}

// brokerOptions maps the flags and the sections of the file.
func (f *Flags) brokerOptions(p *problems, ring *token.Keyring) broker.Options {
	sections := &f.file.sections
	o := broker.Options{
		Debug:              f.LogLevel == "debug",
		Namespaces:         f.Namespaces,
		Tokens:             ring,
		DefaultPermissions: sections.DefaultPermissions.toBroker(),
		AllowedOrigins:     f.AllowedOrigins,
		AllowedHeaders:     f.AllowedHeaders,
		Path:               f.SocketPath,
		PingInterval:       f.PingInterval,
		PingTimeout:        f.PingTimeout,
		ConnectTimeout:     f.ConnectTimeout,
		DrainSpread:        f.DrainSpread,
		MaxMessageBytes:    f.MaxMessage,
		MaxQueueBytes:      f.MaxQueue,
		SlowConsumers:      broker.SlowConsumerPolicy(f.SlowConsumers),
		MaxRoomsPerSocket:  int(f.MaxRooms),
		MaxAttachments:     int(f.MaxAttachments),
		Limits:             f.limits(p),
		TrustedProxies:     parseNetworks(p, "--trusted-proxies", f.TrustedProxies),
		Relay:              sections.relay(p),
		Rooms:              sections.roomEvents(),
		AckTimeout:         f.AckTimeout,
		Decisions: broker.DecisionOptions{
			Timeout:  f.DecideTimeout,
			Default:  broker.Undecided(f.DecideDefault),
			Required: f.DecideRequired,
		},
		Recovery:          f.recovery(p),
		IdempotencyWindow: f.IdempotencyWindow,
		History:           sections.history(p),
	}
	if f.AllowAnonymous {
		anonymous := sections.Anonymous.toBroker()
		o.Anonymous = &anonymous
	}
	return o
}

// recovery returns the options of session recovery, nil if it is off.
func (f *Flags) recovery(p *problems) *broker.RecoveryOptions {
	switch {
	case f.RecoveryWindow == 0:
		return nil
	case f.RecoveryWindow < 0:
		p.addf("--recovery-window is %s; it must not be negative, and 0 turns recovery off", f.RecoveryWindow)
	}
	checkLeast(p, []leastNumber{
		{"--recovery-messages", f.RecoveryMessages, 1, "for example 1024"},
		{"--recovery-bytes", f.RecoveryBytes, 1, "for example 1048576"},
		{"--recovery-node-bytes", f.RecoveryNodeBytes, 0, "0 means a quarter of the memory limit"},
	})
	return &broker.RecoveryOptions{
		Window:       f.RecoveryWindow,
		Mode:         broker.RecoveryMode(f.Recovery),
		Namespaces:   f.RecoveryNamespaces,
		MaxMessages:  int(f.RecoveryMessages),
		MaxBytes:     f.RecoveryBytes,
		MaxNodeBytes: f.RecoveryNodeBytes,
	}
}

// checkAnonymous checks the section anonymous also if it is unused: it is wrong all the same.
func (c *Config) checkAnonymous() error {
	unused := c.Flags.file.sections.Anonymous
	if c.Flags.AllowAnonymous || unused == nil {
		return nil
	}
	if err := c.Broker.CheckPermissions("anonymous.", unused.toBroker()); err != nil {
		return c.Explain(err)
	}
	c.Warnings = append(c.Warnings, "anonymous: is set, but clients without a token are refused; to let them in, set --allow-anonymous")
	return nil
}

// splitLists splits the lists of names that can't contain commas.
func (f *Flags) splitLists() {
	for _, list := range []*List{&f.Namespaces, &f.AllowedOrigins, &f.AllowedHeaders, &f.TrustedProxies, &f.LimitExempt, &f.RecoveryNamespaces} {
		*list = splitCommas(*list)
	}
}

// splitCommas also splits the entries at commas and spaces.
func splitCommas(list List) List {
	var names List
	for _, entry := range list {
		names = append(names, strings.FieldsFunc(entry, func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	return names
}

// checkNumbers refuses numbers that the broker would take for "not set".
func (f *Flags) checkNumbers(p *problems) {
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"--ping-interval", f.PingInterval},
		{"--ping-timeout", f.PingTimeout},
		{"--connect-timeout", f.ConnectTimeout},
		{"--ack-timeout", f.AckTimeout},
		{"--decide-timeout", f.DecideTimeout},
		{"--drain-timeout", f.DrainTimeout},
	} {
		if d.value <= 0 {
			p.addf("%s is %s; it must be above zero, for example 10s", d.flag, d.value)
		}
	}
	if f.DrainSpread < 0 {
		p.addf("--drain-spread is %s; it must not be negative, and 0s means at once", f.DrainSpread)
	}
	checkLeast(p, []leastNumber{
		{"--api-rate", f.APIRate, 0, "0 means no limit"},
		{"--max-connections", f.MaxConnections, 0, "0 means as many as the limit of open files allows"},
		{"--history-max-bytes", f.HistoryMaxBytes, 0, "0 means a quarter of the memory limit"},
		{"--memory-limit-bytes", f.MemoryLimit, 0, "0 means GOMEMLIMIT or the control group's limit"},
		{"--max-rooms-per-socket", f.MaxRooms, 1, "for example 1000"},
		{"--max-attachments", f.MaxAttachments, 1, "for example 64"},
		{"--max-message-bytes", f.MaxMessage, 1, "for example 1000000"},
		{"--max-queue-bytes", f.MaxQueue, 1, "for example 1048576"},
	})
	if f.MaxToken < 1<<10 || f.MaxToken > token.MostMaxBytes {
		p.addf("--max-token-bytes is %d; it must be between 1024 and %d", f.MaxToken, token.MostMaxBytes)
	}
	if f.AuditEmits && f.AuditLog == "" {
		p.addf("--audit-emits also needs --audit-log, which says where to record them")
	}
	if f.SocketPath == "" {
		p.addf("--path is empty; set it to a path such as /socket.io/")
	}
}

// leastNumber is a number that must be at least something. The hint says what to
// set instead.
type leastNumber struct {
	flag         string
	value, least int64
	hint         string
}

func checkLeast(p *problems, numbers []leastNumber) {
	for _, n := range numbers {
		if n.value < n.least {
			p.addf("%s is %d; it must be at least %d, %s", n.flag, n.value, n.least, n.hint)
		}
	}
}
