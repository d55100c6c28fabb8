package server

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
	"github.com/salabroker/sala/cmd/sala/internal/buildinfo"
	"github.com/salabroker/sala/cmd/sala/internal/config"
	"github.com/salabroker/sala/cmd/sala/internal/listen"
	"github.com/salabroker/sala/cmd/sala/internal/telemetry"
)

// filePoll is how often the files of certificates and API keys are checked for changes. A signal
// checks them too.
const filePoll = time.Minute

// Server is a node: a broker, its control API and their listeners.
type Server struct {
	// Static after New.
	cfg     *config.Config
	log     *slog.Logger
	out     io.Writer // for an audit log on standard output
	program buildinfo.Info
	audit   *auditlog.Log // nil for none
	broker  *broker.Broker
	api     *api.Server
	public  *listen.Listener
	grpc    *listen.Listener
	http    *listen.Listener
	metrics *listen.Listener // nil if http serves them
	steps   []step           // Stop takes them in reverse order
	reloads *reloads
	poll    time.Duration // how often files are checked

	serving sync.WaitGroup
	failed  chan error // has room for each listener
}

// New binds the listeners and builds the broker and the control API. Nothing is served before
// Start. The error is a *[config.Error] if the configuration is invalid.
func New(ctx context.Context, cfg *config.Config, log *slog.Logger, out io.Writer, build buildinfo.Info) (*Server, error) {
	s := &Server{cfg: cfg, log: log, out: out, program: build, poll: filePoll, failed: make(chan error, 4)}
	if err := s.assemble(ctx); err != nil {
		s.Stop(ctx)
		return nil, err
	}
	return s, nil
}

// Check returns the error that New would return for an invalid configuration. It doesn't listen.
func Check(ctx context.Context, cfg *config.Config) error {
	s := &Server{cfg: cfg, log: slog.New(slog.DiscardHandler)}
	if err := telemetry.Check(); err != nil {
		return invalidVariables(err)
	}
	if err := s.build(ctx, cfg.Broker, nil, false); err != nil {
		return err
	}
	s.onStop("clients", stopGrace, s.broker.Shutdown)
	s.Stop(ctx)
	return nil
}

func (s *Server) assemble(ctx context.Context) error {
	options := s.cfg.Broker
	connections := s.connectionLimit()
	if err := s.bindAll(ctx, connections); err != nil {
		return err
	}
	memory, source := s.limitMemory()
	s.log.Info("limits", "max_connections", connections, "open_files", listen.OpenFiles(), "memory", memory, "memory_from", source)
	options.MemoryLimit = memory
	if s.cfg.Flags.Dev {
		options.AllowedOrigins = slices.Concat(options.AllowedOrigins, s.pageOrigins())
	}
	page := s.console(options.Path)
	if err := s.openState(); err != nil {
		return err
	}
	if err := s.build(ctx, options, page, true); err != nil {
		return err
	}
	s.serveHTTP()
	s.releaseMemory(ctx)
	return nil
}

// console returns the handler of the console, or nil if it is off.
func (s *Server) console(path string) http.Handler {
	if s.cfg.Flags.Console == "off" {
		return nil
	}
	cfg := console.Config{Version: s.program.Version}
	if s.cfg.Flags.Dev {
		cfg.Dev = &console.Dev{PublicHost: s.publicHost(), PublicPort: s.public.Port(), PublicTLS: s.public.TLS != nil, Path: path}
	}
	return console.Handler(cfg)
}

// bindAll binds the configured listeners. Clients that send nothing reach no limit of the broker,
// so their listener has limits too.
func (s *Server) bindAll(ctx context.Context, connections int64) error {
	bounds := listen.ClientLimits{Connections: connections, PerAddress: ratelimit.AddressOptions{
		PerAddress: int(s.cfg.Broker.Limits.ConnectionsPerIP),
		Exempt:     slices.Concat(s.cfg.Broker.Limits.Exempt, s.cfg.Broker.TrustedProxies),
	}}
	public, err := listen.Clients(ctx, s.cfg.Public, bounds, s.log)
	if err != nil {
		return err
	}
	s.public = public
	s.onStopListener(public)
	for _, l := range []struct {
		bound  **listen.Listener
		config *config.Listener
	}{{&s.grpc, &s.cfg.GRPC}, {&s.http, &s.cfg.HTTP}, {&s.metrics, s.cfg.Metrics}} {
		if l.config == nil {
			continue
		}
		bound, err := listen.Control(ctx, *l.config, s.log)
		if err != nil {
			return err
		}
		*l.bound = bound
		s.onStopListener(bound)
	}
	return nil
}

func (s *Server) onStopListener(l *listen.Listener) {
	s.onStop(l.Name+" listener", stopGrace, func(context.Context) error { return l.Close() })
}

// listenConfigs returns the configured listeners.
func (s *Server) listenConfigs() []config.Listener {
	all := []config.Listener{s.cfg.Public, s.cfg.GRPC, s.cfg.HTTP}
	if s.cfg.Metrics != nil {
		all = append(all, *s.cfg.Metrics)
	}
	return all
}

// build makes the broker and the control API and, if run is set, starts what they need.
func (s *Server) build(ctx context.Context, options broker.Options, page http.Handler, run bool) error {
	registry, err := s.newRegistry()
	if err != nil {
		return err
	}
	s.reloads, err = newReloads(registry, s.cfg.KeyFile(), s.listenConfigs()...)
	if err != nil {
		return err
	}
	if run {
		if options.Tracer, err = s.startTraces(ctx, registry); err != nil {
			return err
		}
	}
	options.Logger, options.Metrics, options.Version = s.log, registry, s.program.Version
	options.Cluster, err = s.clusterOptions(ctx)
	if err != nil {
		return err
	}
	options.History, err = s.historyOptions(&options)
	if err != nil {
		return err
	}
	if s.cfg.Flags.AdminUI {
		options.AdminUI = &broker.AdminUIOptions{Keys: adminKeys{s}}
	}
	s.broker, err = broker.New(options)
	if err != nil {
		return s.cfg.Explain(err)
	}
	if run {
		s.fetchKeys(ctx)
		s.joinCluster(ctx)
	}
	records, err := s.openAudit(registry, run)
	if err != nil {
		return errors.Join(err, s.broker.Shutdown(ctx))
	}
	s.api, err = api.New(api.Config{ //nolint:contextcheck // it starts nothing; Shutdown ends what it serves
		Broker:          s.broker,
		Turns:           s.broker.Turns(),
		Keys:            s.cfg.Keys,
		CallRate:        int(s.cfg.Flags.APIRate),
		Audit:           records,
		AuditEmits:      s.cfg.Flags.AuditEmits,
		MaxMessageBytes: s.cfg.Broker.MaxMessageBytes,
		NoReflection:    !s.cfg.Flags.GRPCReflection,
		MemoryLimit:     options.MemoryLimit,
		Ready:           s.ready,
		Reaches:         s.reachesCluster,
		ClientCerts:     s.cfg.Flags.ControlClientCA != "",
		Console:         page,
		Version:         s.program.Version,
		Tracer:          options.Tracer,
		Logger:          s.log,
		Metrics:         registry,
		Gatherer:        registry,
		MetricsApart:    s.cfg.Metrics != nil,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("can't start the control API: %w", err), s.broker.Shutdown(ctx))
	}
	s.onStop("control API", stopGrace, func(ctx context.Context) error {
		if s.grpc != nil {
			s.grpc.CloseIdle()
		}
		return s.api.Shutdown(ctx)
	})
	return nil
}

// listeners are the bound listeners.
func (s *Server) listeners() []*listen.Listener {
	all := []*listen.Listener{s.public, s.grpc, s.http, s.metrics}
	return slices.DeleteFunc(all, func(l *listen.Listener) bool { return l == nil })
}

// newRegistry returns a registry with the metrics of the process, its listeners and its key sets.
func (s *Server) newRegistry() (*prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	own := []prometheus.Collector{buildInfoMetric(s.program), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}
	for _, l := range s.listeners() {
		own = append(own, l.Collectors()...)
	}
	for _, set := range s.cfg.KeySets {
		own = append(own, set)
	}
	for _, c := range own {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering the metrics of the process: %w", err)
		}
	}
	return registry, nil
}

// serveHTTP makes the HTTP servers. Clients come last and leave first: while they drain, the control
// API still answers probes and finishes the backends' calls.
func (s *Server) serveHTTP() {
	s.http.Handle(s.api.HTTPHandler()).ConnContext = s.api.ConnContext
	if s.metrics != nil {
		s.metrics.Handle(s.api.MetricsHandler())
		s.onStop("metrics HTTP server", stopGrace, s.metrics.Shutdown)
	}
	s.onStop("control HTTP server", stopGrace, s.http.Shutdown)
	s.public.Handle(s.publicHandler()).MaxHeaderBytes += int(s.cfg.Flags.MaxToken) // the token may be in the URL
	s.onStop("public HTTP server", stopGrace, s.public.Shutdown)
	s.onStop("clients", s.cfg.Flags.DrainTimeout, s.broker.Shutdown)
	s.onStop("readiness", stopGrace, func(context.Context) error {
		s.api.Drain()
		return nil
	})
}

// releaseInterval is how often a node that has drained closes the HTTP connections that are idle.
// Behind a load balancer of TCP connections, a polling client would come back to this node as long
// as it keeps one, and be refused each time.
//
// It begins once the clients have been told to go. Closing an idle connection can meet a poll on its
// way, which Node's stock client then awaits until its ping timeout: its XMLHttpRequest repeats the
// request after an ECONNRESET and doesn't send it (xmlhttprequest-ssl 2.1.2). Until then connections
// end with an answer.
const releaseInterval = time.Second

// publicHandler serves clients and, if configured, health checks.
func (s *Server) publicHandler() http.Handler {
	if !s.cfg.Flags.PublicHealth {
		return s.broker.Handler()
	}
	mux := http.NewServeMux()
	for _, path := range broker.HealthPaths() {
		mux.Handle(path, s.api.HealthHandler())
	}
	mux.Handle("/", s.broker.Handler())
	return mux
}

func (s *Server) ready() error {
	if s.broker.Draining() {
		return errors.New("draining: this node is closing its clients' connections")
	}
	if s.broker.Overloaded() {
		return errors.New("overloaded: this node is short of memory and refuses new clients and messages until memory is free")
	}
	return nil
}

// Start serves on all listeners. It is called once.
func (s *Server) Start() {
	s.serve(s.public, s.public.Serve)
	s.serve(s.http, s.http.Serve)
	if s.metrics != nil {
		s.serve(s.metrics, s.metrics.Serve)
	}
	s.serve(s.grpc, func() error { return s.api.Serve(s.grpc.GRPC()) })
}

func (s *Server) serve(l *listen.Listener, serve func() error) {
	s.log.Info("listening", "listener", l.Name, "addr", l.Bound())
	s.serving.Go(func() {
		if err := serve(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("the listener of %s failed: %w", l.Flag, err)
		}
	})
}

// Run waits until ctx ends or a listener fails, then stops. It returns the listener's error, or nil.
// Until then, each value from reload makes it reload the certificates and the API keys, and reopen
// the audit log. It also checks the files of certificates and keys once a minute.
func (s *Server) Run(ctx context.Context, reload <-chan os.Signal) error {
	err := s.wait(ctx, reload)
	s.Stop(context.WithoutCancel(ctx))
	s.log.Info("stopped")
	return err
}

func (s *Server) wait(ctx context.Context, reload <-chan os.Signal) error {
	poll := time.NewTicker(s.poll)
	defer poll.Stop()
	release := time.NewTicker(releaseInterval)
	release.Stop() // starts when the node drains
	defer release.Stop()
	draining, drained := s.broker.DrainBegins(), s.broker.DrainEnds()
	for {
		select {
		case <-ctx.Done():
			s.log.Info("stopping", "drain_timeout", s.cfg.Flags.DrainTimeout.String())
			return nil
		case err := <-s.failed:
			return err
		case <-poll.C:
			s.reloadSettled()
		case <-reload:
			s.reloadAll()
		case <-draining:
			s.api.Drain()
			draining = nil
		case <-drained:
			s.public.CloseKeepAlives() // before a client that was told to go connects again over one
			release.Reset(releaseInterval)
			drained = nil
		case <-release.C:
			s.public.CloseKeepAlives()
		}
	}
}
