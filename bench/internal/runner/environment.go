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
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/salabroker/sala/bench/internal/result"
)

// environment returns what the benchmarks run on.
func (r *Runner) environment(ctx context.Context, plan Plan) (result.Environment, error) {
	var peers []string
	for _, profile := range plan.Profiles {
		peers = append(peers, r.inTurn(profile.Name, 0)...)
	}
	versions, err := r.versions(ctx, peers)
	if err != nil {
		return result.Environment{}, err
	}
	if slices.ContainsFunc(plan.Profiles, func(p result.Profile) bool { return p.Job.Kind.OfCluster() }) {
		if err := redisVersion(ctx, versions); err != nil {
			return result.Environment{}, err
		}
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

// versions returns the versions of the servers, as they were built, and of what they run on.
func (r *Runner) versions(ctx context.Context, peers []string) (map[string]string, error) {
	versions := make(map[string]string)
	for _, peer := range peers {
		var err error
		switch peer {
		case Sala:
			err = r.salaVersion(ctx, versions)
		case Node:
			err = r.nodeVersion(ctx, versions)
		case Centrifuge:
			versions[peer], err = moduleVersion(r.binary("centrifuge"), "github.com/centrifugal/centrifuge")
		case Library:
			versions[peer], err = moduleVersion(r.binary("library"), "github.com/zishang520/socket.io/servers/socket/v3")
		case Empty:
			versions[peer], err = moduleVersion(r.binary("grpc"), "google.golang.org/grpc")
		}
		if err != nil {
			return nil, err
		}
	}
	return versions, nil
}

func (r *Runner) salaVersion(ctx context.Context, versions map[string]string) error {
	info, err := buildinfo.ReadFile(r.cfg.Sala)
	if err != nil {
		return fmt.Errorf("make build makes it: %w", err)
	}
	versions["go"] = strings.TrimPrefix(info.GoVersion, "go")
	answer, err := exec.CommandContext(ctx, r.cfg.Sala, "version").Output()
	if err != nil {
		return fmt.Errorf("%s version: %w", r.cfg.Sala, err)
	}
	versions[Sala] = strings.TrimPrefix(strings.TrimSpace(string(answer)), "sala ")
	return nil
}

func (r *Runner) nodeVersion(ctx context.Context, versions map[string]string) (err error) {
	answer, err := exec.CommandContext(ctx, "node", "--version").Output()
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	versions["nodejs"] = strings.TrimPrefix(strings.TrimSpace(string(answer)), "v")
	packages := filepath.Join(r.cfg.Home, "peers", "node", "node_modules")
	if versions[Node], err = packageVersion(filepath.Join(packages, "socket.io", "package.json")); err != nil {
		return err
	}
	versions["adapter"], err = packageVersion(filepath.Join(packages, "@socket.io", "redis-adapter", "package.json"))
	return err
}

// redisVersion finds out which Redis is there.
func redisVersion(ctx context.Context, versions map[string]string) error {
	answer, err := exec.CommandContext(ctx, "redis-server", "--version").Output()
	if err != nil {
		return fmt.Errorf("redis-server, which make deps installs: %w", err)
	}
	_, version, _ := strings.Cut(string(answer), "v=")
	versions[Redis], _, _ = strings.Cut(version, " ")
	return nil
}

// moduleVersion returns the version of a module that a binary was built with.
func moduleVersion(binary, module string) (string, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return "", fmt.Errorf("run bench/run, which builds this first: %w", err)
	}
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return strings.TrimPrefix(dependency.Version, "v"), nil
		}
	}
	return "", fmt.Errorf("%s has no %s in it", binary, module)
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
