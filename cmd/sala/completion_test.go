package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	for _, tt := range []struct {
		words string // the last may be empty
		want  string // all of it, or what it begins with before an ellipsis
	}{
		{"", "broadcast completion config connect emit …"},
		{"se", "serve"},
		{"sockets ", "disconnect get join leave list update"},
		{"sockets l", "leave list"},
		{"sockets --na", "--namespace"},
		{"rooms list --na", "--namespace"},
		{"serve --log-level ", "debug error info warn"},
		{"serve --log-level w", "warn"},
		{"serve --log-level=w", "--log-level=warn"},
		{"serve --log-level = w", "warn"},
		{"serve --log-level =", "debug error info warn"},
		{"serve --log-level warn --log-f", "--log-format"},
		{"serve --dev --log-f", "--log-format"},
		{"serve --config ", ""},
		{"serve --no-such=", ""},
		{"emit -o ", "json table"},
		{"emit news --room ", ""},
		{"completion ", "bash fish zsh"},
		{"completion bash ", ""},
		{"comple", "completion"},
		{"emit -- ", ""},
		{"tail --kind conn", "connect"},
		{"forward --kind user_o", "user_offline user_online"},
		{"connect http://127.0.0.1 --jo", "--join --join-event"},
		{"connect http://127.0.0.1 -o ", "json text"},
		{"config ", "check init"},
		{"config init ", ""},
		{"health ", ""},
		{"nonsense ", "broadcast …"},
	} {
		code, out, stderr := sala(t, append([]string{"complete", "--"}, strings.Split(tt.words, " ")...)...)
		got := strings.Join(strings.Fields(out), " ")
		fits := got == tt.want
		if start, more := strings.CutSuffix(tt.want, "…"); more {
			fits = strings.HasPrefix(got, start)
		}
		if code != exitOK || stderr != "" || !fits {
			t.Errorf("%q: %q, want %q (exit code %d, %s)", tt.words, got, tt.want, code, stderr)
		}
	}
}

// TestCompletionScripts runs those of the shells that are here.
func TestCompletionScripts(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "sala")); err != nil {
		t.Fatal(err)
	}
	for shell, script := range map[string]string{
		"bash": `source <(sala completion bash)
			COMP_WORDS=(sala serve --log-level =) COMP_CWORD=3; _sala; echo "${COMPREPLY[*]}"
			COMP_WORDS=(sala sockets l) COMP_CWORD=2; _sala; echo "${COMPREPLY[*]}"`,
		"zsh": `compdef() { :; }; compadd() { shift; echo $*; }; _files() { :; }
			source <(sala completion zsh)
			words=(sala serve --log-level "") CURRENT=4; _sala
			words=(sala sockets l) CURRENT=3; _sala`,
		"fish": `sala completion fish | source
			complete -C "sala serve --log-level " | string join " "
			complete -C "sala sockets l" | string join " "`,
	} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skip(shell + " isn't installed")
			}
			command := exec.CommandContext(t.Context(), path, "-c", script)
			command.Dir = t.TempDir() // no files to complete
			command.Env = append(slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "PATH=") }),
				"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), beMain+"=1", "HOME="+t.TempDir())
			out, err := command.CombinedOutput()
			if want := "debug error info warn\nleave list\n"; err != nil || strings.Join(strings.Fields(string(out)), " ") != strings.Join(strings.Fields(want), " ") {
				t.Errorf("%v, %q, want %q", err, out, want)
			}
		})
	}
}

func TestDurationsNeedUnits(t *testing.T) {
	for value, want := range map[string]string{
		"5":    `--timeout: "5" has no unit: write 5s for seconds or 5ms for milliseconds`,
		"0.5":  `--timeout: "0.5" has no unit`,
		"soon": `--timeout: "soon" is not a duration such as 10s, 1m30s or 500ms`,
	} {
		code, _, stderr := sala(t, "rooms", "--timeout", value)
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %s", value, code, stderr)
		}
	}
}
