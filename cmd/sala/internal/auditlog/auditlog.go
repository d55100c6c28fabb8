// Package auditlog writes what callers of the control API have done, as a JSON
// object on each line.
//
// [Log.Record] hands a record to the goroutine that writes and never waits for
// it: what finds no room, or can't be written, is counted and said in the
// broker's log.
package auditlog

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/api"
)

const (
	// maxWaiting bounds the records that wait to be written.
	maxWaiting = 4096
	// complainEvery is how often it is said at the most that records are lost.
	complainEvery = time.Minute
)

var errOverflow = errors.New("records come faster than they can be written")

// Log is an audit log. Its methods may be called concurrently.
type Log struct {
	// Static.
	path    string // empty for a stream that isn't ours
	log     *slog.Logger
	records chan api.AuditRecord
	reopen  chan struct{}
	done    chan struct{} // closed when the goroutine has ended
	written prometheus.Counter
	lost    prometheus.Counter

	overflowed atomic.Bool // a record has found no room

	closing sync.RWMutex // held to send to records, and exclusively to close it
	closed  bool

	// Owned by the goroutine.
	out        io.Writer
	file       *os.File // nil for a stream
	complained time.Time
}

// Open appends to a file, or if path is "-" writes to out. The caller closes
// the log.
func Open(path string, out io.Writer, log *slog.Logger) (*Log, error) {
	l := &Log{
		log:     log,
		records: make(chan api.AuditRecord, maxWaiting),
		reopen:  make(chan struct{}, 1),
		done:    make(chan struct{}),
		written: prometheus.NewCounter(prometheus.CounterOpts{Name: "sala_audit_records_total", Help: "Records written to the audit log."}),
		lost:    prometheus.NewCounter(prometheus.CounterOpts{Name: "sala_audit_lost_total", Help: "Records that the audit log had no room for, or could not write."}),
		out:     out,
	}
	if path != "-" {
		l.path = path
		if err := l.open(); err != nil {
			return nil, fmt.Errorf("--audit-log can't be written: %w", err)
		}
	}
	go l.run()
	return l, nil
}

// Record implements [api.AuditLog].
func (l *Log) Record(r api.AuditRecord) {
	l.closing.RLock()
	defer l.closing.RUnlock()
	if l.closed {
		l.lost.Inc()
		return
	}
	select {
	case l.records <- r:
	default:
		l.lost.Inc()
		l.overflowed.Store(true)
	}
}

// Reopen opens the file anew, which may have been renamed.
func (l *Log) Reopen() {
	select {
	case l.reopen <- struct{}{}:
	default: // about to be
	}
}

// Close writes what waits, and ends the log.
func (l *Log) Close() error {
	l.closing.Lock()
	if !l.closed {
		l.closed = true
		close(l.records)
	}
	l.closing.Unlock()
	<-l.done
	return nil
}

// Describe implements [prometheus.Collector].
func (l *Log) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(l, ch) }

// Collect implements [prometheus.Collector].
func (l *Log) Collect(ch chan<- prometheus.Metric) {
	l.written.Collect(ch)
	l.lost.Collect(ch)
}

// open replaces the file if it can.
func (l *Log) open() error {
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if l.file != nil {
		_ = l.file.Close() // what it was given has been written
	}
	l.file, l.out = file, file
	return nil
}

func (l *Log) run() {
	defer close(l.done)
	buffer := bufio.NewWriter(l.out)
	for {
		select {
		case r, more := <-l.records:
			if !more {
				if l.file != nil {
					_ = l.file.Close() // as above
				}
				return
			}
			l.write(buffer, r)
		case <-l.reopen:
			if l.path == "" {
				continue
			}
			if err := l.open(); err != nil {
				l.complain(err)
				continue
			}
			buffer.Reset(l.out)
		}
	}
}

// write writes a record, and those that wait behind it in the same go.
func (l *Log) write(buffer *bufio.Writer, r api.AuditRecord) {
	waiting := len(l.records)
	err := encode(buffer, r)
	for range waiting {
		err = errors.Join(err, encode(buffer, <-l.records))
	}
	if err = errors.Join(err, buffer.Flush()); err != nil {
		l.lost.Add(float64(1 + waiting))
		buffer.Reset(l.out) // it would go on failing
		l.complain(err)
		return
	}
	l.written.Add(float64(1 + waiting))
	if l.overflowed.Swap(false) {
		l.complain(errOverflow)
	}
}

func encode(out io.Writer, r api.AuditRecord) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = out.Write(append(line, '\n'))
	return err
}

func (l *Log) complain(err error) {
	if now := time.Now(); now.Sub(l.complained) >= complainEvery {
		l.complained = now
		l.log.Error("the audit log can't be written; sala_audit_lost_total counts what is lost", "error", err)
	}
}
