package token

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// openJournal opens the journal of a folder, as a process does that starts.
func openJournal(t *testing.T, folder string, now *time.Time) (*Revocations, *Journal) {
	t.Helper()
	r := newRevocations(func() time.Time { return *now }, maxRevocations)
	j, err := OpenJournal(folder, r)
	must(t, err)
	return r, j
}

// said returns the revocations, sorted and with times that can be compared.
func said(r *Revocations) []string {
	all := r.Snapshot()
	for i := range all {
		all[i].IssuedBefore, all[i].Until = all[i].IssuedBefore.UTC(), all[i].Until.UTC()
	}
	return names(all)
}

// Restarts at random, gracefully or as if killed, and compares with revocations without restarts.
func TestRevocationsSurviveRestarts(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "made", "by it")
	now := time.Unix(1_700_000_000, 123_456_789)
	lasting := newRevocations(func() time.Time { return now }, maxRevocations)
	r, j := openJournal(t, folder, &now)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		name := fmt.Sprintf("näme\n%d", rnd.IntN(30))
		switch rnd.IntN(8) {
		case 0:
			now = now.Add(time.Duration(rnd.IntN(100)) * time.Hour)
		case 1: // a clean restart
			must(t, j.Close())
			r, j = openJournal(t, folder, &now)
		case 2: // killed in the middle of a line
			must(t, j.Close())
			f, err := os.OpenFile(filepath.Join(folder, journalName), os.O_WRONLY|os.O_APPEND, 0)
			must(t, err)
			line := encodeEntries([]Revocation{{TokenID: "never answered", Until: now.Add(time.Hour)}})
			_, err = f.Write(line[:rnd.IntN(len(line))])
			must(t, errors.Join(err, f.Close()))
			r, j = openJournal(t, folder, &now)
		case 3:
			at := now.Add(-time.Duration(rnd.IntN(1000)) * time.Millisecond)
			must(t, errors.Join(lasting.RevokeUser(name, at), r.RevokeUser(name, at)))
		default:
			must(t, errors.Join(lasting.RevokeID(name), r.RevokeID(name)))
		}
		if got, want := said(r), said(lasting); !slices.Equal(got, want) {
			t.Fatalf("it says\n%q\nwant\n%q", got, want)
		}
	}
	if info, err := os.Stat(filepath.Join(folder, journalName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder's mode is %v, %v", info.Mode(), err)
	}
	must(t, j.Close())
}

// When Merge returns, the revocations are in the file, even if the process then dies.
func TestAnsweredIsWritten(t *testing.T) {
	folder := t.TempDir()
	now := time.Unix(1_700_000_000, 0)
	r, j := openJournal(t, folder, &now)
	defer func() { must(t, j.Close()) }()
	var revoking sync.WaitGroup
	for i := range 20 {
		revoking.Go(func() {
			for n := range 10 {
				if err := r.RevokeID(fmt.Sprint(i, " ", n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	revoking.Wait()
	kept, err := readJournal(filepath.Join(folder, journalName))
	if err != nil || len(kept) != 200 {
		t.Errorf("%d are in the file, %v", len(kept), err)
	}
	lines := j.lines
	now = now.Add(-time.Hour) // so that nothing is prolonged
	must(t, r.RevokeID("1 1"))
	if j.lines != lines {
		t.Error("known revocations are written again")
	}
}

func TestJournalIsWrittenAnew(t *testing.T) {
	folder := t.TempDir()
	now := time.Unix(1_700_000_000, 0)
	r, j := openJournal(t, folder, &now)
	defer func() { must(t, j.Close()) }()
	must(t, r.RevokeID("a"))
	j.lines = 2 * maxRevocations // as if it had grown
	must(t, r.RevokeID("b"))
	if j.lines != 2 {
		t.Errorf("%d lines after a rewrite", j.lines)
	}
	// If the disk fails, the caller gets an error, and nothing is lost once it works again.
	must(t, j.file.Close())
	if err := r.RevokeID("c"); !errors.Is(err, ErrNotKept) || !r.Revoked(Claims{ID: "c"}) {
		t.Errorf("a disk that fails: %v", err)
	}
	must(t, os.Mkdir(filepath.Join(folder, journalName+".new"), 0o700))
	if err := r.RevokeID("d"); !errors.Is(err, ErrNotKept) {
		t.Errorf("it still fails: %v", err)
	}
	must(t, os.Remove(filepath.Join(folder, journalName+".new")))
	must(t, r.RevokeID("e"))
	kept, err := readJournal(filepath.Join(folder, journalName))
	if err != nil || len(kept) != 5 {
		t.Errorf("%d are kept, %v", len(kept), err)
	}
}

func TestDamagedJournals(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	const head = `{"version":1}` + "\n"
	const good = `{"token":"a","until":"2024-01-01T00:00:00Z"}` + "\n"
	for name, tt := range map[string]struct{ text, want string }{
		"empty":               {"", ""},
		"only a version":      {head, ""},
		"cut":                 {head + good + `{"token":"b","un`, ""},
		"cut in the version":  {head[:5], ""},
		"cut at its end":      {head + good + `{"token":"b","until":"2024-01-01T00:00:00Z"}`, ""},
		"no version":          {good, ":1: the file has version 0"},
		"a newer version":     {`{"version":2}` + "\n", ":1: the file has version 2"},
		"zeros":               {head + "\x00\x00\x00\x00\n" + good, ":2: the line is malformed"},
		"garbage in between":  {head + good + "garbage\n" + good, ":3: the line is malformed"},
		"both":                {head + `{"token":"a","user":"b","until":"2024-01-01T00:00:00Z"}` + "\n", ":2: the line is not a revocation"},
		"neither":             {head + `{"until":"2024-01-01T00:00:00Z"}` + "\n", ":2: the line is not a revocation"},
		"no end":              {head + `{"token":"a"}` + "\n", ":2: the line is not a revocation"},
		"a user without time": {head + `{"user":"a","until":"2024-01-01T00:00:00Z"}` + "\n", ":2: the line is not a revocation"},
		"an unknown field":    {head + `{"tokens":["a"],"until":"2024-01-01T00:00:00Z"}` + "\n", ":2: the line is malformed"},
		"another case":        {head + `{"TOKEN":"a","until":"2024-01-01T00:00:00Z"}` + "\n", ":2: the line is malformed"},
		"said twice":          {head + `{"token":"a","token":"b","until":"2024-01-01T00:00:00Z"}` + "\n", ":2: the line is malformed"},
		"an endless line":     {head + strings.Repeat("x", 100_000) + "\n", ":2: the line is malformed"},
	} {
		folder := t.TempDir()
		path := filepath.Join(folder, journalName)
		must(t, os.WriteFile(path, []byte(tt.text), 0o600))
		r := newRevocations(func() time.Time { return now }, maxRevocations)
		j, err := OpenJournal(folder, r)
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), path+tt.want) || !strings.Contains(err.Error(), "move it away")) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if err != nil {
			if text, _ := os.ReadFile(path); string(text) != tt.text {
				t.Errorf("%s: what was damaged is gone", name)
			}
			continue
		}
		if _, err := OpenJournal(folder, newRevocations(time.Now, 1)); err == nil || !strings.Contains(err.Error(), "another sala") {
			t.Errorf("%s: a second one: %v", name, err)
		}
		must(t, j.Close())
	}
}

func FuzzReadEntry(f *testing.F) {
	f.Add([]byte(`{"token":"a","until":"2024-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"user":"a","issued_before":"2024-01-01T00:00:00.123456789+01:00","until":"2024-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		v, err := readEntry(line, false)
		if err != nil {
			return
		}
		again, err := readEntry(encodeEntries([]Revocation{v}), false)
		if err != nil || again.TokenID != v.TokenID || again.User != v.User || !again.Until.Equal(v.Until) || !again.IssuedBefore.Equal(v.IssuedBefore) {
			t.Errorf("%q is read as %+v, and then as %+v, %v", line, v, again, err)
		}
	})
}
