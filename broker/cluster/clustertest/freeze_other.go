//go:build !unix

package clustertest

// Freeze skips the test: this system can't stop a process and let it go on.
func (r *Redis) Freeze() {
	r.t.Helper()
	r.t.Skip("freezing a Redis takes SIGSTOP, which this system lacks")
}

// Thaw is the end of Freeze.
func (*Redis) Thaw() {}
