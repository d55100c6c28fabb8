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

// explain says in words what a call's error means and what to do about it.
// Errors that aren't gRPC's are returned as they are.
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
			return errors.New("the broker wants an API key: set SALA_API_KEY or give --api-key")
		}
		return fmt.Errorf("the broker at %s refused the API key: set SALA_API_KEY or --api-key to one of those that it was started with", c.Server)
	case codes.DeadlineExceeded:
		return fmt.Errorf("%s did not answer within %s; allow more with --timeout", c.Server, c.Timeout)
	case codes.Canceled:
		return errors.New("interrupted")
	case codes.Unimplemented:
		return fmt.Errorf("the broker at %s doesn't know this call; is it as new as this command? (%s)", c.Server, s.Message())
	}
	if fields := violations(s); len(fields) > 0 {
		return errors.New("the broker refused the request:\n  " + strings.Join(fields, "\n  "))
	}
	return errors.New(s.Message())
}

// fromBroker reports whether a status is the broker's word rather than that of the
// way to it.
func fromBroker(s *status.Status) bool {
	return slices.ContainsFunc(s.Details(), func(detail any) bool {
		_, ok := detail.(*errdetails.ErrorInfo)
		return ok
	})
}

func (c *Client) unreachable(detail string) string {
	message := fmt.Sprintf("no broker can be reached at %s; is it running? --server or SALA_SERVER sets its gRPC address", c.Server)
	switch {
	case strings.Contains(detail, "first record does not look like a TLS handshake"):
		message = fmt.Sprintf("%s has no TLS: leave out --tls and --tls-ca", c.Server)
	case c.refusedByTLS(detail):
		message = fmt.Sprintf("%s doesn't accept this client in the TLS handshake: if it has --control-client-ca, "+
			"give a certificate that an authority of that has signed with --tls-cert and --tls-key", c.Server)
	case strings.Contains(detail, "certificate"):
		message = fmt.Sprintf("the certificate of %s isn't trusted; --tls-ca names the authority to trust", c.Server)
	case strings.Contains(detail, "server preface"):
		message = fmt.Sprintf("%s answers, but not with gRPC: if its control API has TLS, give --tls; if this is the REST address, give the gRPC one (--grpc-listen of the broker)", c.Server)
	}
	return message + " (" + detail + ")"
}

// refusedByTLS reports whether the server has ended the connection since it
// wants another client certificate. It says so after the handshake, which the
// client may not get to read before it finds the connection closed.
func (c *Client) refusedByTLS(detail string) bool {
	return strings.Contains(detail, "remote error: tls:") ||
		c.hasTLS() && (strings.Contains(detail, "broken pipe") || strings.Contains(detail, "connection reset"))
}

// violations lists the fields at fault.
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
