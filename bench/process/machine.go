package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// MachineTime is what all processors of this machine have done since it started, in clock ticks.
type MachineTime struct {
	total, idle, stolen uint64
}

// ReadMachineTime reads it from /proc/stat.
func ReadMachineTime() (MachineTime, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return MachineTime{}, err
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	return parseMachineTime(first)
}

// parseMachineTime reads the line of all processors: user, nice, system, idle, iowait, irq, softirq,
// steal; what follows is part of user and nice (proc_stat(5)).
func parseMachineTime(line []byte) (t MachineTime, err error) {
	const idle, waiting, stolen, columns = 3, 4, 7, 8
	fields := bytes.Fields(line)
	if len(fields) < 1+columns || string(fields[0]) != "cpu" {
		return t, errors.New("the first line of /proc/stat isn't that of all processors")
	}
	for i, field := range fields[1 : 1+columns] {
		ticks, err := strconv.ParseUint(string(field), 10, 64)
		if err != nil {
			return t, fmt.Errorf("/proc/stat: %w", err)
		}
		t.total += ticks
		switch i {
		case idle, waiting:
			t.idle += ticks
		case stolen:
			t.stolen += ticks
		}
	}
	return t, nil
}

// Since returns which share of the processors' time was in use since an earlier time, and which
// share the host of a virtual machine gave to others; from 0 to 1, and 0 if no tick has passed.
func (t MachineTime) Since(earlier MachineTime) (busy, stolen float64) {
	total := float64(t.total - earlier.total)
	if total == 0 {
		return 0, 0
	}
	stolen = float64(t.stolen-earlier.stolen) / total
	return 1 - float64(t.idle-earlier.idle)/total - stolen, stolen
}
