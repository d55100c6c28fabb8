// Package buildinfo says which build of Sala the program is.
package buildinfo

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// The linker sets these: -ldflags "-X github.com/salabroker/sala/cmd/sala/internal/buildinfo.version=v1.2.3".
var version, commit, date string

// Info describes a build. Its JSON is the output of "sala version -o json".
type Info struct {
	// Version is the release, such as v1.2.3. It is "devel" in builds that aren't from a release.
	Version string `json:"version"`
	// Commit is the full hash of the commit that was built, "" if unknown.
	Commit string `json:"commit"`
	// Date is the time of that commit in RFC 3339, "" if unknown. It isn't the time of the build,
	// so that the same commit gives the same binary.
	Date string `json:"date"`
	// Go is the version of Go that compiled it, such as go1.26.0.
	Go string `json:"go"`
	// Platform is the operating system and the architecture, such as linux/amd64.
	Platform string `json:"platform"`
}

// Get returns what the linker was told, and otherwise what the Go tool has recorded in the binary.
func Get() Info {
	info := Info{Version: version, Commit: commit, Date: date, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	recorded, ok := debug.ReadBuildInfo()
	if !ok {
		info.Version = cmp.Or(info.Version, "unknown")
		return info
	}
	return info.withRecorded(recorded)
}

// withRecorded fills in what is missing.
func (i Info) withRecorded(recorded *debug.BuildInfo) Info {
	settings := make(map[string]string)
	for _, s := range recorded.Settings {
		settings[s.Key] = s.Value
	}
	i.Commit = cmp.Or(i.Commit, settings["vcs.revision"])
	i.Date = cmp.Or(i.Date, settings["vcs.time"])
	switch module := recorded.Main.Version; {
	case i.Version != "":
	case module != "" && module != "(devel)":
		i.Version = module
	default:
		i.Version = "devel"
		if i.Commit != "" {
			i.Version += "-" + i.Commit[:min(12, len(i.Commit))]
		}
		if settings["vcs.modified"] == "true" {
			i.Version += "-dirty"
		}
	}
	return i
}

// String is the output of "sala version".
func (i Info) String() string {
	source := ""
	if i.Commit != "" {
		source = "commit " + i.Commit[:min(12, len(i.Commit))] + ", "
	}
	if i.Date != "" {
		source += i.Date + ", "
	}
	return fmt.Sprintf("sala %s (%s%s, %s)", i.Version, source, i.Go, i.Platform)
}

// UserAgent is what requests of this program have as User-Agent.
func (i Info) UserAgent() string { return "sala/" + i.Version }
