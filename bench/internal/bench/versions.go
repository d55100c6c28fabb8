package bench

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/salabroker/sala/bench/results"
)

// The keys of versions besides those of [results.NewEnvironment] and the names of servers.
const (
	VersionNodeJS  = "nodejs"
	VersionAdapter = "adapter"
	VersionRing    = "io_uring" // whether the kernel allows it, and if not, why
)

// environment describes the machine and the servers of a plan.
func (r *Runner) environment(ctx context.Context, plan Plan) (results.Environment, error) {
	cluster := slices.ContainsFunc(plan.Profiles, func(p Profile) bool { return p.Name == ProfileCluster })
	e, err := results.NewEnvironment(ctx, r.cfg.Sala, cluster)
	if err != nil {
		return e, err
	}
	e.Versions[VersionRing] = "allowed"
	if r.ring != nil {
		e.Versions[VersionRing] = "refused: " + r.ring.Error()
	}
	for _, profile := range plan.Profiles {
		for _, peer := range r.inTurn(profile.Name, 0) {
			if err := r.addVersion(ctx, e.Versions, peer); err != nil {
				return e, err
			}
		}
	}
	return e, nil
}

// addVersion adds the version of a server, as it was built, and of what it runs on.
func (r *Runner) addVersion(ctx context.Context, versions map[string]string, peer string) (err error) {
	switch peer {
	case PeerNode:
		return r.addNodeVersions(ctx, versions)
	case PeerCentrifuge:
		versions[peer], err = moduleVersion(r.binary("centrifuge"), "github.com/centrifugal/centrifuge")
	case PeerLibrary:
		versions[peer], err = moduleVersion(r.binary("library"), "github.com/zishang520/socket.io/servers/socket/v3")
	case PeerEmpty:
		versions[peer], err = moduleVersion(r.binary("grpc"), "google.golang.org/grpc")
	}
	return err
}

func (r *Runner) addNodeVersions(ctx context.Context, versions map[string]string) error {
	answer, err := exec.CommandContext(ctx, "node", "--version").Output()
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	versions[VersionNodeJS] = strings.TrimPrefix(strings.TrimSpace(string(answer)), "v")
	packages := filepath.Join(r.cfg.Home, "peers", "node", "node_modules")
	if versions[PeerNode], err = packageVersion(filepath.Join(packages, "socket.io", "package.json")); err != nil {
		return err
	}
	versions[VersionAdapter], err = packageVersion(filepath.Join(packages, "@socket.io", "redis-adapter", "package.json"))
	return err
}

// moduleVersion returns the version of a module that a binary was built with.
func moduleVersion(binary, module string) (string, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return "", fmt.Errorf("bench/run builds this first: %w", err)
	}
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return strings.TrimPrefix(dependency.Version, "v"), nil
		}
	}
	return "", fmt.Errorf("%s does not contain %s", binary, module)
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
