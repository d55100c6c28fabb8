package process

import (
	"bytes"
	"context"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// Target says where a running server is reached.
type Target struct {
	// PID is the server's process, whose CPU and memory are measured.
	PID int
	// Listen is where clients connect.
	Listen string
	// Control is where messages are published: Sala's gRPC API, or the line protocol of the other
	// servers.
	Control string
	// HTTP is Sala's REST API; empty for the other servers.
	HTTP string
	// APIKey authorizes calls to Sala's control API; empty for the other servers.
	APIKey string
	// SecondKey is another key, for callers that take more than their share.
	SecondKey string
	// Log is the file with the server's output.
	Log string
}

// DialControl opens a connection to the control API. It is safe for concurrent use.
func (t *Target) DialControl(options ...grpc.DialOption) (*grpc.ClientConn, error) {
	return grpc.NewClient(t.Control, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
}

// Authorize returns a context whose calls carry the API key.
func (t *Target) Authorize(ctx context.Context) context.Context {
	if t.APIKey == "" {
		return ctx
	}
	return WithKey(ctx, t.APIKey)
}

// WithKey returns a context whose calls carry an API key.
func WithKey(ctx context.Context, key string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
}

// LoggedFailures counts the lines of the server's log that report a failure of the server itself.
func (t *Target) LoggedFailures() (n float64, err error) {
	text, err := os.ReadFile(t.Log)
	for line := range bytes.Lines(text) {
		for _, word := range []string{"level=ERROR", "panic", "fatal error"} {
			if bytes.Contains(line, []byte(word)) {
				n++
				break
			}
		}
	}
	return n, err
}
