package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// explain says what a gRPC error means and what to do about it. It returns other errors unchanged.
func (c *Client) explain(err error) error {
	s, ok := status.FromError(err)
	if !ok || err == nil {
		return err
	}
	switch s.Code() {
	case codes.Unavailable:
		if fromBroker(s) {
			return errors.New(s.Message())
		}
		return errors.New(c.unreachable(s.Message()))
	case codes.Unauthenticated:
		if c.key() == "" {
			return errors.New("the broker needs an API key: set SALA_API_KEY or --api-key")
		}
		return fmt.Errorf("the broker at %s doesn't know this API key: set SALA_API_KEY or --api-key to a key in its configuration", c.Server)
	case codes.DeadlineExceeded:
		return fmt.Errorf("%s did not answer within %s; to wait longer, set --timeout", c.Server, c.Timeout)
	case codes.Canceled:
		return errors.New("interrupted")
	case codes.Unimplemented:
		return fmt.Errorf("the broker at %s doesn't know this call; it may be older than this command (%s)", c.Server, s.Message())
	}
	if fields := violations(s); len(fields) > 0 {
		return errors.New("the broker refused the request:\n  " + strings.Join(fields, "\n  "))
	}
	return errors.New(s.Message())
}

// fromBroker reports whether a status comes from the broker and not from the network or a proxy.
func fromBroker(s *status.Status) bool {
	return slices.ContainsFunc(s.Details(), func(detail any) bool {
		_, ok := detail.(*errdetails.ErrorInfo)
		return ok
	})
}

func (c *Client) unreachable(detail string) string {
	message := fmt.Sprintf("can't reach a broker at %s: start one, or set its gRPC address with --server or SALA_SERVER", c.Server)
	switch {
	case strings.Contains(detail, "first record does not look like a TLS handshake"):
		message = fmt.Sprintf("%s doesn't use TLS: leave out the --tls flags", c.Server)
	case c.refusedByTLS(detail):
		message = fmt.Sprintf("%s refused this client in the TLS handshake: if the broker has --control-client-ca, "+
			"set --tls-cert and --tls-key to a certificate that one of its authorities has signed", c.Server)
	case strings.Contains(detail, "certificate"):
		message = fmt.Sprintf("the certificate of %s isn't trusted: set --tls-ca to the authority that signed it", c.Server)
	case strings.Contains(detail, "server preface"):
		message = fmt.Sprintf("%s answers, but not with gRPC: set --tls if the broker uses TLS, or, if this is its REST address, set --server to its gRPC address (--grpc-listen)", c.Server)
	}
	return message + " (" + detail + ")"
}

// refusedByTLS reports whether the server closed the connection because it requires another client
// certificate. It says so after the handshake, but the client may notice the closed connection
// before it reads that.
func (c *Client) refusedByTLS(detail string) bool {
	return strings.Contains(detail, "remote error: tls:") ||
		c.hasTLS() && (strings.Contains(detail, "broken pipe") || strings.Contains(detail, "connection reset"))
}

// violations describes the invalid fields.
func violations(s *status.Status) []string {
	var fields []string
	for _, detail := range s.Details() {
		bad, ok := detail.(*errdetails.BadRequest)
		if !ok {
			continue
		}
		for _, v := range bad.GetFieldViolations() {
			fields = append(fields, v.GetField()+": "+v.GetDescription())
		}
	}
	return fields
}
