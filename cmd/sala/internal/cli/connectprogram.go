package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// connectProgram is the Socket.IO client, which is a program of its own: docs/adr/0025.
const connectProgram = "sala-connect"

// findConnectProgram looks beside this program, and then in the PATH. A program that was compiled in
// a checkout, as "go run" does, builds the client from there.
func findConnectProgram(ctx context.Context, notes io.Writer) (string, error) {
	if self, err := os.Executable(); err == nil {
		if resolved, err := filepath.EvalSymlinks(self); err == nil {
			self = resolved
		}
		if found, err := exec.LookPath(filepath.Join(filepath.Dir(self), connectProgram)); err == nil {
			return found, nil
		}
	}
	if found, err := exec.LookPath(connectProgram); err == nil {
		return found, nil
	}
	_, file, _, _ := runtime.Caller(0)
	return buildConnectProgram(ctx, notes, checkoutOf(file))
}

// checkoutOf returns the root of the checkout that contains this source file, "" if there is none:
// released programs are compiled with -trimpath, and don't know where.
func checkoutOf(file string) string {
	root := filepath.Join(filepath.Dir(file), "..", "..", "..", "..")
	if !filepath.IsAbs(root) {
		return ""
	}
	if _, err := os.Stat(filepath.Join(root, "cmd", connectProgram, "go.mod")); err != nil {
		return ""
	}
	return root
}

// buildConnectProgram builds the client where "make build" does. Go rebuilds only what has changed.
func buildConnectProgram(ctx context.Context, notes io.Writer, checkout string) (string, error) {
	if checkout == "" {
		return "", fmt.Errorf("this command runs the program %s, which is neither beside sala nor in the PATH; "+
			"install it with: go install github.com/salabroker/sala/cmd/%s@latest", connectProgram, connectProgram)
	}
	source, program := filepath.Join(checkout, "cmd", connectProgram), filepath.Join(checkout, "bin", connectProgram)
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	if _, err := os.Stat(program); err != nil {
		fmt.Fprintf(notes, "sala: building %s, which takes longer the first time\n", program)
	}
	build := exec.CommandContext(ctx, "go", "build", "-C", source, "-o", program, ".") //nolint:gosec // paths of the checkout
	build.Stdout, build.Stderr = notes, notes
	if err := build.Run(); err != nil {
		if ctx.Err() != nil {
			return "", errors.New("interrupted")
		}
		return "", fmt.Errorf("can't build %s: %w; build it with: make -C %s build", connectProgram, err, checkout)
	}
	return program, nil
}
