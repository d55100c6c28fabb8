package api

import (
	_ "embed"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc/status"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker/grace"
)

// openAPI is what tools/openapi generates from the protos, http.yaml and openapi.yaml.
//
//go:embed openapi/openapi.json
var openAPI []byte

// maxScrapes bounds the concurrent requests for /metrics.
const maxScrapes = 10

// newHTTPHandler returns the handler of the control HTTP listener. Bodies may take bodyTime
// to arrive.
func (s *Server) newHTTPHandler(cfg Config, bodyTime time.Duration) http.Handler {
	// JSON takes up to twice the bytes: quotes in argsJson, Base64.
	maxBody := 2 * (cfg.MaxMessageBytes + maxOverhead)
	mux := http.NewServeMux()
	mux.Handle("/v1/", apiHeaders(headAsGet(s.prepareREST(&bodies{maxBody, bodyTime, s.intake}, s.gateway))))
	mux.Handle("/openapi.json", apiHeaders(get(serveOpenAPI)))
	mux.Handle("/livez", apiHeaders(get(serveLive)))
	mux.Handle("/readyz", apiHeaders(get(s.serveReady)))
	if cfg.Gatherer != nil && !cfg.MetricsApart {
		mux.Handle("/metrics", metricsHandler(cfg))
	}
	if cfg.Console != nil {
		mux.Handle("/", ownHost(cfg.Console))
	} else {
		mux.Handle("/", apiHeaders(http.HandlerFunc(NotFound)))
	}
	var handler http.Handler = mux
	if cfg.ClientCerts {
		handler = s.requireClientCert(mux)
	}
	return serverHeaders(cfg.Version, s.recoverHTTP(limitWriteTime(writeTimeout, grace.LimitBodies(handler, bodyTime))))
}

// newMetricsHandler returns the handler of a separate listener for metrics. It serves no part
// of the API, so that those who may scrape needn't be able to call.
func (s *Server) newMetricsHandler(cfg Config) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/livez", apiHeaders(get(serveLive)))
	mux.Handle("/readyz", apiHeaders(get(s.serveReady)))
	if cfg.Gatherer != nil {
		mux.Handle("/metrics", metricsHandler(cfg))
	}
	mux.Handle("/", apiHeaders(http.HandlerFunc(NotFound)))
	return serverHeaders(cfg.Version, s.recoverHTTP(limitWriteTime(writeTimeout, grace.LimitBodies(mux, bodyTimeout))))
}

func metricsHandler(cfg Config) http.Handler {
	scrape := promhttp.HandlerFor(cfg.Gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes, EnableOpenMetrics: true})
	return apiHeaders(ownHost(get(scrape.ServeHTTP)))
}

// requireClientCert refuses requests without a client certificate before anything of them is
// read. Health probes pass: a kubelet, for example, has no certificate, and probes reveal only
// whether the node is healthy.
func (s *Server) requireClientCert(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown := r.TLS != nil && len(r.TLS.VerifiedChains) > 0
		if shown || r.URL.Path == "/livez" || r.URL.Path == "/readyz" {
			next.ServeHTTP(w, r)
			return
		}
		err := apierror.Unauthenticated(apierror.ReasonClientCertRequired,
			"a client certificate is needed: present one that is signed by an authority that this broker trusts (curl: --cert and --key)")
		c := &call{server: s, method: restMethod, start: time.Now(), peer: r.RemoteAddr}
		refuse(w, status.Convert(c.end(r.Context(), err, nil)))
	})
}

// serverHeaders sets the headers of every response, including the console's.
func serverHeaders(version string, next http.Handler) http.Handler {
	name := "sala"
	if version != "" {
		name += "/" + version
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Server", name)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

// apiHeaders keeps answers out of caches and keeps browsers from executing them.
func apiHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		next.ServeHTTP(w, r)
	})
}

// get refuses all methods except GET and HEAD.
func get(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			MethodNotAllowed(w, r)
			return
		}
		next(w, r)
	})
}

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openAPI) // an error means that the client is gone
}

// serveLive answers that the process is alive.
func serveLive(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok") }

// HealthHandler serves /livez and /readyz to the public: whether the node is ready, but not
// why it isn't.
func (s *Server) HealthHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/livez", apiHeaders(get(serveLive)))
	mux.Handle("/readyz", apiHeaders(get(func(w http.ResponseWriter, r *http.Request) {
		if s.unready(r) != nil {
			writeText(w, http.StatusServiceUnavailable, "not ready")
			return
		}
		writeText(w, http.StatusOK, "ok")
	})))
	return mux
}

// serveReady answers whether the node should get new clients.
func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	if err := s.unready(r); err != nil {
		writeText(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	writeText(w, http.StatusOK, "ok")
}

// unready returns why the node should get no new clients, or nil. With ?local=1 it doesn't
// matter whether the node reaches the others: its own clients don't need them, and perhaps no
// node reaches them.
func (s *Server) unready(r *http.Request) error {
	checks := []func() error{s.ready}
	if r.URL.Query().Get("local") != "1" {
		checks = append(checks, s.reaches)
	}
	for _, check := range checks {
		if check == nil {
			continue
		}
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func writeText(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text+"\n") // an error means that the client is gone
}
