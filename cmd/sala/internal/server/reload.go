package server

import (
	"errors"
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/cmd/sala/internal/config"
)

// reloads holds what reloading certificates and API keys takes. Only the goroutine of [Server.Run]
// uses it.
type reloads struct {
	listeners []config.Listener // those with TLS
	done      *prometheus.CounterVec
	keys      *config.KeyFile // nil if the API keys can't change
	keysDone  *prometheus.CounterVec
}

// newReloads registers the metrics of reloads.
func newReloads(registry prometheus.Registerer, keys *config.KeyFile, listeners ...config.Listener) (*reloads, error) {
	r := &reloads{
		done: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sala_tls_reloads_total",
			Help: "Reloads of changed certificates that succeeded (ok) or failed (failed), by listener.",
		}, []string{"listener", "result"}),
		keys: keys,
		keysDone: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sala_api_key_reloads_total",
			Help: "Reloads of changed API keys that succeeded (ok) or failed (failed).",
		}, []string{"result"}),
	}
	err := errors.Join(registry.Register(r.done), registry.Register(r.keysDone))
	r.keysDone.WithLabelValues("ok")
	r.keysDone.WithLabelValues("failed")
	for _, l := range listeners {
		if l.TLS == nil {
			continue
		}
		r.listeners = append(r.listeners, l)
		r.done.WithLabelValues(l.Name, "ok")
		r.done.WithLabelValues(l.Name, "failed")
		err = errors.Join(err, registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "sala_tls_certificate_expiry_timestamp_seconds",
			Help:        "Expiry of the certificate in use, in seconds since 1970, by listener.",
			ConstLabels: prometheus.Labels{"listener": l.Name},
		}, func() float64 { return float64(l.TLS.NotAfter().Unix()) })))
	}
	if err != nil {
		return nil, fmt.Errorf("registering the metrics of reloads: %w", err)
	}
	return r, nil
}

// reloadCertificates uses changed certificates for new connections. If they are invalid, it logs that
// each time and keeps the previous ones.
func (s *Server) reloadCertificates() {
	for _, l := range s.reloads.listeners {
		changed, err := l.TLS.Reload()
		switch {
		case err != nil:
			s.reloads.done.WithLabelValues(l.Name, "failed").Inc()
			s.log.Error("can't reload the certificate; the previous one stays in use", "listener", l.Name, "error", err)
		case changed:
			s.reloads.done.WithLabelValues(l.Name, "ok").Inc()
			s.log.Info("reloaded the certificate", "listener", l.Name, "expires", l.TLS.NotAfter())
		}
	}
}

// reloadAll reloads everything that a signal reloads.
func (s *Server) reloadAll() {
	s.log.Info("reloading certificates and API keys, and reopening the audit log")
	s.reloadCertificates()
	if s.reloads.keys == nil {
		s.log.Info("the API keys stay: they aren't in the configuration file, and only a restart changes flags and variables")
	} else {
		s.reloadKeys()
	}
	if s.audit != nil {
		s.audit.Reopen()
	}
}

// reloadSettled reloads what has changed without a signal.
func (s *Server) reloadSettled() {
	s.reloadCertificates()
	if keys := s.reloads.keys; keys != nil && keys.Settled() {
		s.reloadKeys()
	}
}

// reloadKeys uses the API keys of a changed configuration file from now on. If it is invalid, it logs
// that each time and keeps the previous ones.
func (s *Server) reloadKeys() {
	keys, warnings, err := s.reloads.keys.Reload()
	if err == nil && keys != nil {
		err = s.api.ReplaceKeys(keys)
	}
	switch {
	case err != nil:
		s.reloads.keysDone.WithLabelValues("failed").Inc()
		s.log.Error("can't reload the API keys; the previous ones stay in use", "error", strings.ReplaceAll(err.Error(), "\n", "; "))
	case keys != nil:
		s.reloads.keysDone.WithLabelValues("ok").Inc()
		for _, warning := range warnings {
			s.log.Warn(warning)
		}
		s.log.Info("reloaded the API keys; other settings of the file need a restart", "file", s.reloads.keys.Path(), "keys", len(keys))
	}
}
