package buildinfo

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestWithRecorded(t *testing.T) {
	const hash = "0123456789abcdef0123456789abcdef01234567"
	vcs := []debug.BuildSetting{{Key: "vcs.revision", Value: hash}, {Key: "vcs.time", Value: "2026-11-26T10:00:00Z"}}
	dirty := append([]debug.BuildSetting{{Key: "vcs.modified", Value: "true"}}, vcs...)
	for name, tt := range map[string]struct {
		linked  Info
		module  string
		setting []debug.BuildSetting
		want    Info
	}{
		"nothing is known":     {want: Info{Version: "devel"}},
		"of a checkout":        {module: "(devel)", setting: vcs, want: Info{Version: "devel-0123456789ab", Commit: hash, Date: "2026-11-26T10:00:00Z"}},
		"with changes":         {module: "(devel)", setting: dirty, want: Info{Version: "devel-0123456789ab-dirty", Commit: hash, Date: "2026-11-26T10:00:00Z"}},
		"by go install":        {module: "v1.2.3", want: Info{Version: "v1.2.3"}},
		"the linker was told":  {linked: Info{Version: "v1.2.3", Commit: "abc", Date: "now"}, module: "v0.0.0", setting: vcs, want: Info{Version: "v1.2.3", Commit: "abc", Date: "now"}},
		"only of the version":  {linked: Info{Version: "v1.2.3"}, setting: dirty, want: Info{Version: "v1.2.3", Commit: hash, Date: "2026-11-26T10:00:00Z"}},
		"the commit is short ": {linked: Info{Commit: "abc"}, want: Info{Version: "devel-abc", Commit: "abc"}},
	} {
		t.Run(name, func(t *testing.T) {
			recorded := &debug.BuildInfo{Main: debug.Module{Version: tt.module}, Settings: tt.setting}
			if got := tt.linked.withRecorded(recorded); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestString(t *testing.T) {
	info := Info{Version: "v1.2.3", Go: "go1.26.0", Platform: "linux/arm64"}
	if got, want := info.String(), "sala v1.2.3 (go1.26.0, linux/arm64)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	info.Commit, info.Date = "0123456789abcdef", "2026-11-26T10:00:00Z"
	if got, want := info.String(), "sala v1.2.3 (commit 0123456789ab, 2026-11-26T10:00:00Z, go1.26.0, linux/arm64)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := info.UserAgent(); got != "sala/v1.2.3" {
		t.Errorf("the user agent is %q", got)
	}
}

func TestGet(t *testing.T) {
	got := Get()
	if got.Version == "" || got.Go != runtime.Version() || got.Platform != runtime.GOOS+"/"+runtime.GOARCH {
		t.Errorf("got %+v", got)
	}
}
