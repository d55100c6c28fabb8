package server

import (
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// cgroupShare is how much of the memory that the control group allows Go may
// use, in percent: the rest is for what Go doesn't count, and for the time
// until it is heard that memory is short.
const cgroupShare = 90

// setLimits limits what the process takes, and says so: of open files and of
// memory, which it returns, 0 for none.
func (s *Server) setLimits() (memory int64) {
	s.places = s.connectionLimit()
	memory, source := s.limitMemory()
	s.log.Info("limits", "max_connections", s.places, "open_files", maxOpenFiles(), "memory", memory, "memory_from", source)
	return memory
}

// limitMemory sets Go's memory limit, unless the environment has set it as
// GOMEMLIMIT, and returns the one that holds, 0 for none, and where it is from.
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
		return 0, "none" // there is no control group, or it has no limit
	}
	limit = int64(allowed) / 100 * cgroupShare
	debug.SetMemoryLimit(limit)
	return limit, "control group"
}
