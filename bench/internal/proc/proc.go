// Package proc reads what a process has used.
package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what a process has used.
type Usage struct {
	CPU time.Duration // see [CPU]
	RSS int64         // see [RSS]
}

// Read returns what a process has used until now.
func Read(pid int) (u Usage, err error) {
	if u.CPU, err = CPU(pid); err == nil {
		u.RSS, err = RSS(pid)
	}
	return u, err
}

// CPU returns the time that all threads of a process have spent on a processor, in user and in system mode, since it
// began. It is exact to the nanosecond, unlike the clock ticks in /proc/PID/stat, and counts threads that have ended.
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
