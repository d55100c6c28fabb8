package token

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/rawjson"
)

// journalName is the name of the file in a [Journal]'s folder.
const journalName = "revocations.jsonl"

// journalVersion is in the file's first line.
const journalVersion = 1

// maxJournalLine is longer than any entry.
const maxJournalLine = 64 << 10

// Journal keeps revocations in a file, one JSON object a line, so that they survive a restart. When
// [Revocations.Merge] returns, its revocations are on disk.
type Journal struct {
	// Static.
	folder *os.File // locked while the journal is open
	path   string

	mu    sync.Mutex
	file  *os.File // nil if the file has to be rewritten
	lines int
}

// entry is a line of the file.
type entry struct {
	Version      int        `json:"version,omitempty"`
	Token        string     `json:"token,omitempty"`
	User         string     `json:"user,omitempty"`
	IssuedBefore *time.Time `json:"issued_before,omitempty"`
	Until        *time.Time `json:"until,omitempty"`
}

// OpenJournal opens the journal in a folder, creating both if needed. It merges the journal into r,
// which writes to it from then on. It drops an incomplete last line, for which no Merge has
// returned. Errors say what to do. It must be called at most once for r, before r is used.
func OpenJournal(folder string, r *Revocations) (*Journal, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	opened, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	j := &Journal{folder: opened, path: filepath.Join(folder, journalName)}
	if err := j.start(r); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	r.journal = j
	return j, nil
}

func (j *Journal) start(r *Revocations) error {
	err := lockFolder(j.folder)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return fmt.Errorf("%s can't be locked on %s, so revocations can't be kept there", j.folder.Name(), runtime.GOOS)
	case err != nil:
		return fmt.Errorf("another sala is using %s; give each its own folder", j.folder.Name())
	}
	kept, err := readJournal(j.path)
	if err != nil {
		return err
	}
	if err := r.Merge(kept); err != nil {
		return fmt.Errorf("%s: %w", j.path, err)
	}
	return j.rewrite(r.Snapshot())
}

// readJournal returns the revocations in the file; none if it doesn't exist.
func readJournal(path string) ([]Revocation, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	var all []Revocation
	lines := bufio.NewReaderSize(file, maxJournalLine)
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return all, nil // anything after the last line break is incomplete
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		v, err := readEntry(line, n == 1)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w; restore the file from a backup, or move it away to start without its revocations", path, n, err)
		}
		if n > 1 {
			all = append(all, v)
		}
	}
}

func readEntry(line []byte, first bool) (Revocation, error) {
	var e entry
	switch {
	case !hasEntryNames(line) || json.Unmarshal(line, &e) != nil:
		return Revocation{}, errors.New("the line is malformed")
	case first && e.Version != journalVersion:
		return Revocation{}, fmt.Errorf("the file has version %d, but this sala writes version %d", e.Version, journalVersion)
	case first:
		return Revocation{}, nil
	case (e.Token == "") == (e.User == "") || e.Until == nil || (e.User == "") != (e.IssuedBefore == nil):
		return Revocation{}, errors.New("the line is not a revocation")
	}
	v := Revocation{TokenID: e.Token, User: e.User, Until: *e.Until}
	if e.IssuedBefore != nil {
		v.IssuedBefore = *e.IssuedBefore
	}
	return v, nil
}

// hasEntryNames reports whether a line is an object with no other names than those of an entry,
// each at most once. encoding/json would accept similar names and the last of two.
func hasEntryNames(line []byte) bool {
	if rawjson.CheckObject(line) != nil {
		return false
	}
	for name := range rawjson.Members(line) {
		switch string(name) {
		case "version", "token", "user", "issued_before", "until":
		default:
			return false
		}
	}
	return true
}

// add writes revocations and returns when they are on disk. It rewrites the file with snapshot if
// it has become twice as long as there can be revocations, or if it couldn't be written before.
func (j *Journal) add(revocations []Revocation, snapshot func() []Revocation) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil || j.lines+len(revocations) > 2*maxRevocations {
		return j.rewrite(snapshot())
	}
	_, err := j.file.Write(encodeEntries(revocations))
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil { // an unknown part of it was written
		err = errors.Join(err, j.file.Close())
		j.file = nil
		return err
	}
	j.lines += len(revocations)
	return nil
}

// rewrite replaces the file. The caller holds mu, or is the only one with access.
func (j *Journal) rewrite(all []Revocation) error {
	temporary := j.path + ".new"
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	header, _ := json.Marshal(entry{Version: journalVersion}) // never fails
	_, err = file.Write(append(append(header, '\n'), encodeEntries(all)...))
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = os.Rename(temporary, j.path)
	}
	if err == nil {
		err = j.folder.Sync()
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	old := j.file
	j.file, j.lines = file, len(all)
	if old != nil {
		return old.Close()
	}
	return nil
}

func encodeEntries(revocations []Revocation) []byte {
	var lines []byte
	for _, v := range revocations {
		e := entry{Token: v.TokenID, User: v.User, Until: &v.Until}
		if v.User != "" {
			e.IssuedBefore = &v.IssuedBefore
		}
		line, _ := json.Marshal(e) // never fails for strings and times of this century
		lines = append(append(lines, line...), '\n')
	}
	return lines
}

// Close closes the journal. Later revocations aren't written to it.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.folder.Close()
	if j.file != nil {
		err = errors.Join(err, j.file.Close())
		j.file = nil
	}
	return err
}
