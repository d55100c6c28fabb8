package config

import (
	"strings"
	"time"

	"github.com/salabroker/sala/api"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/token"
	"github.com/salabroker/sala/broker/token/jwks"
)

// Config is a configuration that has been checked as far as possible without
// starting anything.
type Config struct {
	// Flags is what it was made of, with what --dev made up.
	Flags *Flags
	// Broker holds the broker's options, but for Logger, Metrics and Version.
	Broker broker.Options
	// KeySets are public keys of the broker's tokens that are to be fetched.
	KeySets []*jwks.Set
	// Keys open the control API.
	Keys []api.Key
	// DevKey is the API key to show; only with --dev.
	DevKey string
	// Public, GRPC and HTTP are the listeners.
	Public, GRPC, HTTP Listener
	// Metrics is the listener for metrics alone; nil if HTTP serves them.
	Metrics *Listener
	// Cluster is how the node meets others; nil if it is alone.
	Cluster *Cluster
	// Notes say what is odd but no error.
	Notes []string
}

// Build checks the flags and the file. The error is an *[Error].
func (f *Flags) Build() (*Config, error) {
	if f.file == nil {
		f.file = newFile("", nil)
	}
	var p problems
	c := &Config{Flags: f}
	c.Notes = f.checkEnvironment(&p)
	c.Keys = f.readKeys(&p)
	ring, sets := f.readTokens(&p)
	c.KeySets = sets
	c.Public, c.GRPC, c.HTTP = f.listeners(&p)
	c.Metrics = f.metricsListener(&p)
	c.Cluster = f.cluster(&p)
	f.checkNumbers(&p)
	f.Namespaces = splitCommas(f.Namespaces)
	f.AllowedOrigins, f.AllowedHeaders = splitCommas(f.AllowedOrigins), splitCommas(f.AllowedHeaders)
	f.TrustedProxies, f.LimitExempt = splitCommas(f.TrustedProxies), splitCommas(f.LimitExempt)
	proxies := parseNetworks(&p, "--trusted-proxies", f.TrustedProxies)
	limits := f.limits(&p)
	sections := &f.file.sections
	if f.Dev {
		sections.forTryingOut()
	}
	relay := sections.relay(&p)
	if err := p.err(); err != nil {
		return nil, err
	}
	c.Broker = broker.Options{
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
		Limits:             limits,
		TrustedProxies:     proxies,
		Relay:              relay,
		Rooms:              sections.roomEvents(),
		AckTimeout:         f.AckTimeout,
		Decisions: broker.DecisionOptions{
			Timeout:  f.DecideTimeout,
			Default:  broker.Undecided(f.DecideDefault),
			Required: f.DecideRequired,
		},
	}
	if f.AllowAnonymous {
		anonymous := sections.Anonymous.toBroker()
		c.Broker.Anonymous = &anonymous
	} else if sections.Anonymous != nil {
		if err := c.Broker.CheckPermissions("anonymous.", sections.Anonymous.toBroker()); err != nil {
			return nil, c.Explain(err)
		}
		c.Notes = append(c.Notes, "anonymous: is set, but clients without a token are refused; --allow-anonymous lets them in")
	}
	if f.Dev {
		c.DevKey = devKey(f.APIKey, c.Keys)
	} else {
		c.Notes = append(c.Notes, f.shortKeys()...)
	}
	c.Notes = append(c.Notes, f.clusterNotes()...)
	c.Notes = append(c.Notes, f.oddities()...)
	return c, nil
}

// splitCommas lets names that can't contain commas be separated by them too.
func splitCommas(list List) List {
	var names List
	for _, entry := range list {
		names = append(names, strings.FieldsFunc(entry, func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	return names
}

// checkNumbers refuses what the broker would take for "not set".
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
			p.addf("%s is %s; it must be above zero, such as 10s", d.flag, d.value)
		}
	}
	if f.APIRate < 0 {
		p.addf("--api-rate is %d; it must not be below zero, which means any number", f.APIRate)
	}
	if f.AuditEmits && f.AuditLog == "" {
		p.addf("--audit-emits needs --audit-log, where they are to be written")
	}
	if f.DrainSpread < 0 {
		p.addf("--drain-spread is %s; it must not be below zero, which means at once", f.DrainSpread)
	}
	if f.MaxConnections < 0 {
		p.addf("--max-connections is %d; it must not be below zero, which means as many as the open files allow", f.MaxConnections)
	}
	if f.MaxRooms <= 0 {
		p.addf("--max-rooms-per-socket is %d; it must be above zero, such as 1000", f.MaxRooms)
	}
	if f.MaxAttachments <= 0 {
		p.addf("--max-attachments is %d; it must be above zero, such as 64", f.MaxAttachments)
	}
	if f.MemoryLimit < 0 {
		p.addf("--memory-limit-bytes is %d; it must not be below zero, which means GOMEMLIMIT or what the control group allows", f.MemoryLimit)
	}
	if f.MaxMessage <= 0 {
		p.addf("--max-message-bytes is %d; it must be above zero, such as 1000000", f.MaxMessage)
	}
	if f.SocketPath == "" {
		p.addf("--path is empty; it looks like /socket.io/")
	}
	if f.MaxToken < 1<<10 || f.MaxToken > token.MostMaxBytes {
		p.addf("--max-token-bytes is %d; it must be between 1024 and %d", f.MaxToken, token.MostMaxBytes)
	}
	if f.MaxQueue <= 0 {
		p.addf("--max-queue-bytes is %d; it must be above zero, such as 1048576", f.MaxQueue)
	}
}
