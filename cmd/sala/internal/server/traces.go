package server

import (
	"context"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker/tracing"
	"github.com/salabroker/sala/cmd/sala/internal/config"
	"github.com/salabroker/sala/cmd/sala/internal/telemetry"
)

// startTraces starts to send spans, if the environment names a collector. It returns nil if not. What
// the other parts do until they have stopped is sent as well.
func (s *Server) startTraces(ctx context.Context, metrics prometheus.Registerer) (*tracing.Tracer, error) {
	traces, err := telemetry.New(ctx, telemetry.Options{Version: s.program.Version, Logger: s.log, Metrics: metrics})
	if err != nil {
		return nil, invalidVariables(err)
	}
	if traces == nil {
		return nil, nil
	}
	s.onStop("traces", stopGrace, traces.Shutdown)
	return traces.Tracer(), nil
}

// invalidVariables returns the error for variables of the environment that are wrong, one by line.
func invalidVariables(err error) error {
	return &config.Error{Problems: strings.Split(err.Error(), "\n")}
}
