package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what a process uses.
type Usage struct {
	CPU time.Duration // see [CPU]
	RSS int64         // see [RSS]
}

// ReadUsage returns what a process uses now.
func ReadUsage(pid int) (u Usage, err error) {
	if u.CPU, err = CPU(pid); err == nil {
		u.RSS, err = RSS(pid)
	}
	return u, err
}

// CPU returns the CPU time of a process since its start: of all threads, ended ones included, in
// user and in system mode. It has nanoseconds, unlike the clock ticks in /proc/PID/stat.
func CPU(pid int) (time.Duration, error) {
	const scheduler = 2 // CPUCLOCK_SCHED; the clock of a process is (~pid << 3) | which
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduler), &ts); err != nil {
		return 0, fmt.Errorf("the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// RSS returns the resident memory of a process in bytes.
func RSS(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			kib, err := strconv.ParseInt(string(bytes.TrimSuffix(bytes.TrimSpace(value), []byte(" kB"))), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", pid)
}

// OwnCPU returns the CPU time of this process since its start.
func OwnCPU() time.Duration {
	used, err := CPU(os.Getpid())
	if err != nil {
		return 0 // a process always has a clock of its own
	}
	return used
}
