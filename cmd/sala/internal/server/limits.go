package server

import (
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/salabroker/sala/cmd/sala/internal/listen"
)

// cgroupShare is the percentage of the control group's memory limit that Go may use. The rest is
// for memory that Go doesn't count, and for allocations until the shortage is noticed.
const cgroupShare = 90

// connectionLimit is the configured limit or, if that is missing or more, what the open files allow.
func (s *Server) connectionLimit() int64 {
	configured, files := s.cfg.Flags.MaxConnections, listen.OpenFiles()
	most := listen.MaxClients(files)
	switch {
	case configured > most:
		s.log.Warn("--max-connections is more than the limit of open files allows; raise the hard limit (ulimit -Hn)", "max_connections", configured, "open_files", files, "used", most)
		return most
	case configured > 0:
		return configured
	default:
		return most
	}
}

// limitMemory sets Go's memory limit, unless GOMEMLIMIT has set it already. It returns the limit in
// effect, 0 for none, and its source.
func (s *Server) limitMemory() (limit int64, source string) {
	if asked := s.cfg.Flags.MemoryLimit; asked > 0 {
		debug.SetMemoryLimit(asked)
		return asked, "--memory-limit-bytes"
	}
	if current := debug.SetMemoryLimit(-1); current != math.MaxInt64 {
		return current, "GOMEMLIMIT"
	}
	allowed, err := memlimit.FromCgroup()
	if err != nil || allowed == 0 || allowed > math.MaxInt64/cgroupShare {
		return 0, "none" // no control group, or one without a limit
	}
	limit = int64(allowed) / 100 * cgroupShare
	debug.SetMemoryLimit(limit)
	return limit, "control group"
}
