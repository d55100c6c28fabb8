package results

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Environment is what a run ran on.
type Environment struct {
	CPU       string  `json:"cpu"`
	Cores     int     `json:"cores"`
	MemoryMiB int64   `json:"memoryMiB"`
	System    string  `json:"system"`
	Kernel    string  `json:"kernel"`
	Load      float64 `json:"load"` // the load average before the first measurement
	// Versions are those of the servers and their runtimes, by name.
	Versions map[string]string `json:"versions"`
}

// The keys of [Environment].Versions that [NewEnvironment] sets.
const (
	VersionSala  = "sala"
	VersionGo    = "go"
	VersionRedis = "redis"
)

// NewEnvironment describes this machine, a binary of Sala, and redis-server if it is wanted.
func NewEnvironment(ctx context.Context, sala string, redis bool) (Environment, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return Environment{}, err
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return Environment{}, err
	}
	e := Environment{
		CPU:       field("/proc/cpuinfo", "model name", ":"),
		Cores:     runtime.NumCPU(),
		MemoryMiB: int64(info.Totalram) * int64(info.Unit) >> 20,
		System:    strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`),
		Kernel:    unix.ByteSliceToString(name.Release[:]),
		Load:      float64(info.Loads[0]) / (1 << 16),
		Versions:  make(map[string]string),
	}
	if err := e.addSala(ctx, sala); err != nil {
		return e, err
	}
	if redis {
		return e, e.addRedis(ctx)
	}
	return e, nil
}

// field returns the first value of a key in a file of lines.
func field(path, key, separator string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range bytes.Lines(text) {
		if k, v, ok := strings.Cut(string(line), separator); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

func (e *Environment) addSala(ctx context.Context, binary string) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("run make build first: %w", err)
	}
	e.Versions[VersionGo] = strings.TrimPrefix(info.GoVersion, "go")
	answer, err := exec.CommandContext(ctx, binary, "version").Output()
	if err != nil {
		return fmt.Errorf("%s version: %w", binary, err)
	}
	e.Versions[VersionSala] = strings.TrimPrefix(strings.TrimSpace(string(answer)), "sala ")
	return nil
}

func (e *Environment) addRedis(ctx context.Context) error {
	answer, err := exec.CommandContext(ctx, "redis-server", "--version").Output()
	if err != nil {
		return fmt.Errorf("redis-server, which make deps installs: %w", err)
	}
	_, version, _ := strings.Cut(string(answer), "v=")
	e.Versions[VersionRedis], _, _ = strings.Cut(version, " ")
	return nil
}
