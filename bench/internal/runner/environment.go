package runner

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/salabroker/sala/bench/internal/result"
)

// environment returns what the benchmarks run on.
func (r *Runner) environment(ctx context.Context) (result.Environment, error) {
	versions, err := r.versions(ctx)
	if err != nil {
		return result.Environment{}, err
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return result.Environment{}, err
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return result.Environment{}, err
	}
	return result.Environment{
		CPU:       field("/proc/cpuinfo", "model name", ":"),
		Cores:     runtime.NumCPU(),
		MemoryMiB: int64(info.Totalram) * int64(info.Unit) >> 20,
		System:    strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`),
		Kernel:    unix.ByteSliceToString(name.Release[:]),
		Load:      float64(info.Loads[0]) / (1 << 16),
		Versions:  versions,
	}, nil
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

// versions returns the versions of everything, as it was built.
func (r *Runner) versions(ctx context.Context) (map[string]string, error) {
	versions := make(map[string]string)
	for peer, module := range map[string]string{
		Centrifuge: "github.com/centrifugal/centrifuge",
		Library:    "github.com/zishang520/socket.io/servers/socket/v3",
		Empty:      "google.golang.org/grpc",
	} {
		name := peer
		if peer == Empty {
			name = "grpc"
		}
		info, err := buildinfo.ReadFile(r.binary(name))
		if err != nil {
			return nil, fmt.Errorf("run bench/run, which builds this first: %w", err)
		}
		versions["go"] = strings.TrimPrefix(info.GoVersion, "go")
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				versions[peer] = strings.TrimPrefix(dependency.Version, "v")
			}
		}
	}
	node, err := exec.CommandContext(ctx, "node", "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	versions["nodejs"] = strings.TrimPrefix(strings.TrimSpace(string(node)), "v")
	versions[Node], err = packageVersion(filepath.Join(r.cfg.Home, "peers", "node", "node_modules", "socket.io", "package.json"))
	if err != nil {
		return nil, err
	}
	sala, err := exec.CommandContext(ctx, r.cfg.Sala, "version").Output()
	if err != nil {
		return nil, fmt.Errorf("%s version, make build makes it: %w", r.cfg.Sala, err)
	}
	versions[Sala] = strings.TrimPrefix(strings.TrimSpace(string(sala)), "sala ")
	return versions, nil
}

func packageVersion(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("bench/run installs this first: %w", err)
	}
	var p struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return p.Version, nil
}
