package engineio

import (
	"flag"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

// throughNet has the servers of all tests write through package net, as they do on systems other than
// Linux.
var throughNet bool

// bothPaths runs the tests once over each path by which a server writes.
type bothPaths struct{ *testing.M }

func (m bothPaths) Run() int {
	code := m.M.Run()
	once := slices.ContainsFunc([]string{"test.list", "test.bench", "test.fuzz"}, func(name string) bool {
		return flag.Lookup(name).Value.String() != ""
	})
	if code != 0 || once || !ownsDescriptors {
		return code
	}
	throughNet = true
	return m.M.Run()
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(bothPaths{m}) }
