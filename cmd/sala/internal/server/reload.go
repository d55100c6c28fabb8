package server

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/cmd/sala/internal/config"
)

// reloads holds what reloading certificates takes. Only the goroutine of [Server.Run] uses it.
type reloads struct {
	listeners []config.Listener // those with TLS
	done      *prometheus.CounterVec
}

// newReloads registers the metrics of reloads.
func newReloads(registry prometheus.Registerer, listeners ...config.Listener) (*reloads, error) {
	r := &reloads{done: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sala_tls_reloads_total",
		Help: "Reloads of changed certificates that succeeded (ok) or failed (failed), by listener.",
	}, []string{"listener", "result"})}
	err := registry.Register(r.done)
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
		return nil, fmt.Errorf("registering the metrics of certificates: %w", err)
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
