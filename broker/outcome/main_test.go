package outcome

import (
	"runtime"
	"testing"

	"go.uber.org/goleak"
)

// The tests run in bubbles of synctest. When the timers of a bubble fire on several processors,
// the race detector may crash: https://go.dev/issue/78156.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	goleak.VerifyTestMain(m)
}
