package server

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/api"
	"github.com/salabroker/sala/cmd/sala/internal/auditlog"
)

// openAudit opens the audit log. It returns nil if none is configured or nothing runs.
func (s *Server) openAudit(registry prometheus.Registerer, run bool) (api.AuditLog, error) {
	path := string(s.cfg.Flags.AuditLog)
	if path == "" || !run {
		return nil, nil
	}
	log, err := auditlog.Open(path, s.out, s.log)
	if err != nil {
		return nil, fmt.Errorf("can't write the file of --audit-log: %w", err)
	}
	s.audit = log
	s.onStop("audit log", stopGrace, func(context.Context) error { return log.Close() })
	if err := registry.Register(log); err != nil {
		return nil, fmt.Errorf("registering the metrics of the audit log: %w", err)
	}
	return log, nil
}
