package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/salabroker/sala/api"
	"github.com/salabroker/sala/api/console"
	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/cmd/sala/internal/auditlog"
	"github.com/salabroker/sala/cmd/sala/internal/config"
)

// certificatePoll is how often certificates are looked at, whether a signal says
// that they have changed or not.
const certificatePoll = time.Minute

// App is a broker with its listeners.
type App struct {
	// Static after New.
	cfg     *config.Config
	log     *slog.Logger
	out     io.Writer // for an audit log on standard output
	version string
	audit   *auditlog.Log // nil for none
	broker  *broker.Broker
	api     *api.Server
	public  *listener
	grpc    *listener
	http    *listener
	metrics *listener // nil if http serves them
	places  int64     // connections that the public listener may have
	steps   []step    // run in reverse order by Stop
	reloads *reloads
	poll    time.Duration // how often certificates are looked at

	serving sync.WaitGroup
	failed  chan error // one slot for each listener
}

// New binds the listeners and builds the broker and the control API; nothing is
// served before Start. Its error is a *[config.Error] if the configuration is
// wrong.
func New(ctx context.Context, cfg *config.Config, log *slog.Logger, out io.Writer, version string) (*App, error) {
	a := &App{cfg: cfg, log: log, out: out, version: version, poll: certificatePoll, failed: make(chan error, 4)}
	if err := a.assemble(ctx); err != nil {
		a.Stop(ctx)
		return nil, err
	}
	return a, nil
}

// Check tells whether New would accept the configuration, without listening.
func Check(ctx context.Context, cfg *config.Config) error {
	a := &App{cfg: cfg, log: slog.New(slog.DiscardHandler)}
	if err := a.build(ctx, cfg.Broker, nil, false); err != nil {
		return err
	}
	a.onStop("clients", stopGrace, a.broker.Shutdown)
	a.Stop(ctx)
	return nil
}

func (a *App) assemble(ctx context.Context) error {
	if err := a.bindAll(ctx); err != nil {
		return err
	}
	options, page := a.cfg.Broker, http.Handler(nil)
	options.MemoryLimit = a.setLimits()
	// Whoever sends nothing isn't a client that the broker could count.
	a.public.guard(a.places, ratelimit.AddressOptions{
		PerAddress: transports * int(options.Limits.ConnectionsPerIP),
		Exempt:     slices.Concat(options.Limits.Exempt, options.TrustedProxies),
	}, a.log)
	a.http.guardCallers(a.log)
	a.grpc.guardCallers(a.log)
	if a.metrics != nil {
		a.metrics.guardCallers(a.log)
	}
	if a.cfg.Flags.Dev {
		options.AllowedOrigins = slices.Concat(options.AllowedOrigins, a.pageOrigins())
		page = console.Handler(console.Config{PublicPort: a.public.port(), PublicTLS: a.public.tls != nil, Path: options.Path, Version: a.version})
	}
	if err := a.openState(); err != nil {
		return err
	}
	if err := a.build(ctx, options, page, true); err != nil {
		return err
	}
	a.serveHTTP()
	a.returnMemory(ctx)
	return nil
}

// bindAll binds the listeners that there are to be.
func (a *App) bindAll(ctx context.Context) error {
	wanted := []struct {
		bound **listener
		from  *config.Listener
	}{{&a.public, &a.cfg.Public}, {&a.grpc, &a.cfg.GRPC}, {&a.http, &a.cfg.HTTP}, {&a.metrics, a.cfg.Metrics}}
	for _, l := range wanted {
		if l.from == nil {
			continue
		}
		bound, err := bind(ctx, *l.from)
		if err != nil {
			return err
		}
		a.onStop(l.from.Name+" listener", stopGrace, bound.close)
		*l.bound = bound
	}
	return nil
}

// build makes the broker, has it take part in its cluster if run says so, and
// makes the control API.
func (a *App) build(ctx context.Context, options broker.Options, page http.Handler, run bool) error {
	registry, err := a.newRegistry()
	if err != nil {
		return err
	}
	for _, set := range a.cfg.KeySets {
		if err := registry.Register(set); err != nil {
			return fmt.Errorf("registering the metrics of a key set: %w", err)
		}
	}
	listeners := []config.Listener{a.cfg.Public, a.cfg.GRPC, a.cfg.HTTP}
	if a.cfg.Metrics != nil {
		listeners = append(listeners, *a.cfg.Metrics)
	}
	if a.reloads, err = newReloads(registry, listeners...); err != nil {
		return err
	}
	options.Logger, options.Metrics, options.Version = a.log, registry, a.version
	if options.Cluster, err = a.clusterOptions(); err != nil {
		return err
	}
	if a.broker, err = broker.New(options); err != nil {
		return a.cfg.Explain(err)
	}
	if run {
		a.fetchKeys(ctx)
		a.joinCluster(ctx)
	}
	records, err := a.openAudit(registry, run)
	if err != nil {
		return errors.Join(err, a.broker.Shutdown(ctx))
	}
	a.api, err = api.New(api.Config{ //nolint:contextcheck // it starts nothing that a context could end; Shutdown does
		Broker:          a.broker,
		Keys:            a.cfg.Keys,
		CallRate:        int(a.cfg.Flags.APIRate),
		Audit:           records,
		AuditEmits:      a.cfg.Flags.AuditEmits,
		MaxMessageBytes: a.cfg.Broker.MaxMessageBytes,
		NoReflection:    !a.cfg.Flags.GRPCReflection,
		MemoryLimit:     options.MemoryLimit,
		Ready:           a.ready,
		Reaches:         a.reachesCluster,
		ClientCerts:     a.cfg.Flags.ControlClientCA != "",
		Console:         page,
		Version:         a.version,
		Logger:          a.log,
		Metrics:         registry,
		Gatherer:        registry,
		MetricsApart:    a.cfg.Metrics != nil,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("the control API can't start: %w", err), a.broker.Shutdown(ctx))
	}
	a.onStop("control API", stopGrace, func(ctx context.Context) error {
		if a.grpc != nil {
			a.grpc.gate.hurry()
		}
		return a.api.Shutdown(ctx)
	})
	return nil
}

// newRegistry has the metrics of the process and of its listeners.
func (a *App) newRegistry() (*prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	own := []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}
	for _, l := range []*listener{a.public, a.grpc, a.http, a.metrics} {
		if l != nil { // or else nothing listens
			own = append(own, l.gate.collectors(l.name)...)
		}
	}
	for _, c := range own {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering the metrics of the process: %w", err)
		}
	}
	return registry, nil
}

// serveHTTP makes the HTTP servers. Clients are the last to come and the first
// to go: while they are sent away, the control API still answers, so that
// probes see it and what backends have under way ends in good order.
func (a *App) serveHTTP() {
	a.http.server = newServer(a.api.HTTPHandler(), a.log)
	a.http.server.ConnContext = a.api.ConnContext
	if a.metrics != nil {
		a.metrics.server = newServer(a.api.MetricsHandler(), a.log)
		a.onStop("metrics HTTP server", stopGrace, a.metrics.shutdown)
	}
	a.onStop("control HTTP server", stopGrace, a.http.shutdown)
	a.public.server = newServer(a.publicHandler(), a.log)
	a.public.server.MaxHeaderBytes += int(a.cfg.Flags.MaxToken) // which may be in the URL
	a.onStop("public HTTP server", stopGrace, a.public.shutdown)
	a.onStop("clients", a.cfg.Flags.DrainTimeout, a.broker.Shutdown)
	a.onStop("readiness", stopGrace, func(context.Context) error {
		a.api.Drain()
		return nil
	})
}

// releaseInterval is how often a node that drains ends connections that are idle.
const releaseInterval = time.Second

// releaseConnections ends the HTTP connections of clients that are idle. Behind a
// load balancer of TCP connections, a client that polls would come back to this
// node as long as it keeps one, and be refused each time.
func (a *App) releaseConnections() {
	a.public.server.SetKeepAlivesEnabled(false) // ends idle ones
	a.public.server.SetKeepAlivesEnabled(true)
}

// publicHandler serves clients and, if that is wanted, health checks.
func (a *App) publicHandler() http.Handler {
	if !a.cfg.Flags.PublicHealth {
		return a.broker.Handler()
	}
	mux := http.NewServeMux()
	for _, path := range broker.HealthPaths() {
		mux.Handle(path, a.api.HealthHandler())
	}
	mux.Handle("/", a.broker.Handler())
	return mux
}

func (a *App) ready() error {
	if a.broker.Draining() {
		return errors.New("draining: this node is sending its clients away")
	}
	if a.broker.Overloaded() {
		return errors.New("overloaded: this node is short of memory, and refuses new clients and messages until some is free")
	}
	return nil
}

// Start serves on all listeners. It is called once.
func (a *App) Start() {
	a.serve(a.public, a.public.serveHTTP)
	a.serve(a.http, a.http.serveHTTP)
	if a.metrics != nil {
		a.serve(a.metrics, a.metrics.serveHTTP)
	}
	a.serve(a.grpc, func() error { return a.api.Serve(a.grpc.tlsOrPlain()) })
}

func (a *App) serve(l *listener, serve func() error) {
	a.log.Info("listening", "listener", l.name, "addr", l.net.Addr().String())
	a.serving.Go(func() {
		if err := serve(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			a.failed <- fmt.Errorf("the listener of %s failed: %w", l.flag, err)
		}
	})
}

// Run waits until ctx ends, or a listener fails, and then stops. It returns
// the listener's error, or nil. Until then it reads again what may change while
// the app runs: at each signal, and certificates once a minute too.
func (a *App) Run(ctx context.Context, reload <-chan os.Signal) error {
	err := a.wait(ctx, reload)
	a.Stop(context.WithoutCancel(ctx))
	a.log.Info("stopped")
	return err
}

func (a *App) wait(ctx context.Context, reload <-chan os.Signal) error {
	poll := time.NewTicker(a.poll)
	defer poll.Stop()
	release := time.NewTicker(releaseInterval)
	release.Stop() // until the node drains
	defer release.Stop()
	draining := a.broker.DrainBegins()
	for {
		select {
		case <-ctx.Done():
			a.log.Info("stopping", "drain_timeout", a.cfg.Flags.DrainTimeout.String())
			return nil
		case err := <-a.failed:
			return err
		case <-poll.C:
			a.reloadCertificates()
		case <-reload:
			a.log.Info("reading certificates again, and opening the audit log anew")
			a.reloadCertificates()
			if a.audit != nil {
				a.audit.Reopen()
			}
		case <-draining:
			a.api.Drain()
			a.releaseConnections()
			release.Reset(releaseInterval)
			draining = nil
		case <-release.C:
			a.releaseConnections()
		}
	}
}
