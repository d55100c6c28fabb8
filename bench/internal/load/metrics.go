package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

// Names of metrics, as the server has them.
const (
	openConnections = "sala_connections"
	openSockets     = `sala_sockets{namespace="/"}`
	slowConsumers   = `sala_connections_closed_total{reason="slow consumer"}`
	goroutines      = "go_goroutines"
	openFiles       = "process_open_fds"
	residentMemory  = "process_resident_memory_bytes"
	collections     = "go_gc_duration_seconds_count"
	nextCollection  = "go_memstats_next_gc_bytes"
	collectPercent  = "go_gc_gogc_percent"
)

// metrics are what the server's metrics say at one moment: each by its name, with its labels as they are written.
type metrics map[string]float64

// scraper reads the server's metrics, over one connection.
type scraper struct {
	client *http.Client
	url    string
}

func newScraper(j *job.Job) *scraper {
	return &scraper{
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: handshakeTimeout},
		url:    "http://" + j.Target.HTTP + "/metrics",
	}
}

func (s *scraper) close() { s.client.CloseIdleConnections() }

func (s *scraper) read(ctx context.Context) (metrics, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("reading the metrics: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("reading the metrics: %s", answer.Status)
	}
	return parseMetrics(answer.Body)
}

// await reads the metrics until they are as wanted, or patience is at an end, which is no error.
func (s *scraper) await(ctx context.Context, patience time.Duration, wanted func(metrics) bool) (metrics, error) {
	for deadline := time.Now().Add(patience); ; {
		m, err := s.read(ctx)
		if err != nil || wanted(m) || time.Now().After(deadline) {
			return m, err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// parseMetrics reads the text format of Prometheus.
func parseMetrics(r io.Reader) (metrics, error) {
	m := make(metrics)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		space := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || space < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[space+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("a metric that is no number: %q", line)
		}
		m[line[:space]] = value
	}
	return m, lines.Err()
}

// liveHeap returns what the last garbage collection left, in bytes. The runtime plans the next collection for when the
// heap has grown by a percentage from there, so unlike the size of the heap it has no garbage in it. It can't tell
// less than 2 MiB, since there is always 4 MiB before the next one.
func (m metrics) liveHeap() float64 {
	return m[nextCollection] / (1 + m[collectPercent]/100)
}
