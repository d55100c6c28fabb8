package auditlog

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/salabroker/sala/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, path string, out io.Writer, log io.Writer) *Log {
	t.Helper()
	l, err := Open(path, out, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func read(t *testing.T, path string) string {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// As with logrotate, the file is renamed and then reopened.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit.log")
		if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, path, nil, io.Discard)
		l.Record(api.AuditRecord{Key: "one", Method: "m", Code: "OK"})
		synctest.Wait()
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		l.Record(api.AuditRecord{Key: "two"})
		synctest.Wait()
		l.Reopen()
		synctest.Wait()
		l.Record(api.AuditRecord{Key: "three", Counts: map[string]uint32{"matched": 0}})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l.Record(api.AuditRecord{Key: "too late"})
		const empty = `{"time":"0001-01-01T00:00:00Z","key":`
		want := "before\n" + empty + `"one","peer":"","method":"m","code":"OK"}` + "\n" + empty + `"two","peer":"","method":"","code":""}` + "\n"
		if got := read(t, path+".1"); got != want {
			t.Errorf("the first file has\n%swant\n%s", got, want)
		}
		if got := read(t, path); got != empty+`"three","peer":"","method":"","code":"","counts":{"matched":0}}`+"\n" {
			t.Errorf("the second file has %s", got)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("its mode: %v, %v", info, err)
		}
		if written, lost := testutil.ToFloat64(l.written), testutil.ToFloat64(l.lost); written != 3 || lost != 1 {
			t.Errorf("written %v, lost %v", written, lost)
		}
	})
}

// stuckWriter blocks until it is let go, and then fails.
type stuckWriter struct {
	stuck, free chan struct{}
	once        sync.Once
}

func (w *stuckWriter) Write([]byte) (int, error) {
	w.once.Do(func() { close(w.stuck) })
	<-w.free
	return 0, errors.New("the disk is full")
}

// Records that can't be written block nobody, are counted, and are logged.
func TestStuckWriter(t *testing.T) {
	w, log := &stuckWriter{stuck: make(chan struct{}), free: make(chan struct{})}, &bytes.Buffer{}
	l := open(t, "-", w, log)
	l.Record(api.AuditRecord{Key: strings.Repeat("k", 8<<10)}) // more than the buffer
	<-w.stuck
	for range maxWaiting + 7 {
		l.Record(api.AuditRecord{})
	}
	if lost := testutil.ToFloat64(l.lost); lost != 7 {
		t.Errorf("%v are lost while it is stuck", lost)
	}
	close(w.free)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if written, lost := testutil.ToFloat64(l.written), testutil.ToFloat64(l.lost); written != 0 || lost != maxWaiting+8 {
		t.Errorf("written %v, lost %v", written, lost)
	}
	if got := log.String(); strings.Count(got, "can't write the audit log") != 1 || !strings.Contains(got, "the disk is full") {
		t.Errorf("the log: %s", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no", "folder")
	if _, err := Open(path, nil, nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
}
