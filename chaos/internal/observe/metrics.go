package observe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
)

// Names of metrics with their labels, as the server writes them.
const (
	Connections    = "sala_connections"
	Sockets        = `sala_sockets{namespace="/"}`
	SlowConsumers  = `sala_connections_closed_total{reason="slow consumer"}`
	Goroutines     = "go_goroutines"
	OpenFiles      = "process_open_fds"
	ResidentMemory = "process_resident_memory_bytes"
	collections    = "go_gc_duration_seconds_count"
	nextCollection = "go_memstats_next_gc_bytes"
	gcPercent      = "go_gc_gogc_percent"
)

// Metrics are the server's metrics at one moment, by name and labels.
type Metrics map[string]float64

// LiveHeap returns how many bytes the last garbage collection left. The runtime plans the next
// collection for when the heap has grown by a percentage of that, so this value, unlike the size of
// the heap, includes no garbage. It is never less than 2 MiB, since the next collection is never
// planned below 4 MiB.
func (m Metrics) LiveHeap() float64 { return m[nextCollection] / (1 + m[gcPercent]/100) }

// Scraper reads a server's metrics over one connection.
type Scraper struct {
	client *http.Client
	url    string
}

// NewScraper returns a scraper for a server.
func NewScraper(t *process.Target) *Scraper {
	return &Scraper{
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: load.HandshakeTimeout},
		url:    "http://" + t.HTTP + "/metrics",
	}
}

// Close closes the connection.
func (s *Scraper) Close() { s.client.CloseIdleConnections() }

// Read returns the metrics now.
func (s *Scraper) Read(ctx context.Context) (Metrics, error) {
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

// Await reads the metrics until they are as wanted, or the timeout is over, and returns the last
// ones.
func (s *Scraper) Await(ctx context.Context, timeout time.Duration, wanted func(Metrics) bool) (Metrics, error) {
	for deadline := time.Now().Add(timeout); ; {
		m, err := s.Read(ctx)
		if err != nil || wanted(m) || time.Now().After(deadline) {
			return m, err
		}
		if err := load.Sleep(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// parseMetrics reads the text format of Prometheus.
func parseMetrics(r io.Reader) (Metrics, error) {
	m := make(Metrics)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		space := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || space < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[space+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("a metric that is not a number: %q", line)
		}
		m[line[:space]] = value
	}
	return m, lines.Err()
}
