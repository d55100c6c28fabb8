// Package auditlog records what callers of the control API do, as one JSON object per line.
//
// [Log.Record] never blocks. It hands the record to a goroutine that writes. Records that don't fit
// into its queue or can't be written are counted, and the broker's log reports them.
package auditlog

import (
	"bufio"
	"encoding/json"
	"errors"
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
	// maxWaiting is how many records may wait to be written.
	maxWaiting = 4096
	// errorInterval is the minimum interval between two log messages about lost records.
	errorInterval = time.Minute
)

var errOverflow = errors.New("records arrive faster than they can be written")

// Log is an audit log. It is safe for concurrent use.
type Log struct {
	// Static.
	path    string // empty for standard output
	log     *slog.Logger
	records chan api.AuditRecord
	reopen  chan struct{}
	done    chan struct{} // closed when the goroutine ends
	written prometheus.Counter
	lost    prometheus.Counter

	overflowed atomic.Bool // the queue was full

	closing sync.RWMutex // held for reading to send to records, for writing to close it
	closed  bool

	// Owned by the goroutine.
	out      io.Writer
	file     *os.File // nil for standard output
	reported time.Time
}

// Open appends to the file at path, or writes to out if path is "-". The caller closes the log.
func Open(path string, out io.Writer, log *slog.Logger) (*Log, error) {
	l := &Log{
		log:     log,
		records: make(chan api.AuditRecord, maxWaiting),
		reopen:  make(chan struct{}, 1),
		done:    make(chan struct{}),
		written: prometheus.NewCounter(prometheus.CounterOpts{Name: "sala_audit_records_total", Help: "Records written to the audit log."}),
		lost:    prometheus.NewCounter(prometheus.CounterOpts{Name: "sala_audit_lost_total", Help: "Records that were lost because the audit log's queue was full or writing failed."}),
		out:     out,
	}
	if path != "-" {
		l.path = path
		if err := l.open(); err != nil {
			return nil, err
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

// Reopen reopens the file by its path, for log rotation.
func (l *Log) Reopen() {
	select {
	case l.reopen <- struct{}{}:
	default: // it is about to reopen
	}
}

// Close writes the waiting records and closes the log.
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

// open opens the file and then closes the previous one.
func (l *Log) open() error {
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if l.file != nil {
		_ = l.file.Close() // everything has been written to it
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
				l.reportError(err)
				continue
			}
			buffer.Reset(l.out)
		}
	}
}

// write writes a record together with those that wait behind it.
func (l *Log) write(buffer *bufio.Writer, r api.AuditRecord) {
	waiting := len(l.records)
	err := encode(buffer, r)
	for range waiting {
		err = errors.Join(err, encode(buffer, <-l.records))
	}
	err = errors.Join(err, buffer.Flush())
	if err != nil {
		l.lost.Add(float64(1 + waiting))
		buffer.Reset(l.out) // a bufio.Writer keeps its first error
		l.reportError(err)
		return
	}
	l.written.Add(float64(1 + waiting))
	overflowed := l.overflowed.Swap(false)
	if overflowed {
		l.reportError(errOverflow)
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

func (l *Log) reportError(err error) {
	if now := time.Now(); now.Sub(l.reported) >= errorInterval {
		l.reported = now
		l.log.Error("can't write the audit log; sala_audit_lost_total counts lost records", "error", err)
	}
}
