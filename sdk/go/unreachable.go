package sala

import (
	"errors"
	"net"
	"strings"

	"google.golang.org/grpc/codes"
)

// Why the broker can't be reached, in the words that all client libraries use. {at} is the address,
// {host} its first part, and {why} what gRPC says.
const (
	unreachable  = "can't reach the broker at {at}: "
	brokenPrefix = "the connection to the broker at "

	refused      = unreachable + "connection refused; is it running, and is this the address of its gRPC listener?"
	unresolved   = unreachable + "the name {host} doesn't resolve; check the address"
	silent       = unreachable + "it doesn't answer; check the address, and the firewalls on the way"
	noTLS        = unreachable + "it doesn't speak TLS there; connect to http://{at}, or give the broker a certificate"
	noGRPC       = unreachable + "it speaks HTTP/1 there, not gRPC; connect to the port of --grpc-listen, 9090 by default"
	closed       = unreachable + "it closes the connection; if it uses TLS, connect to https://{at}"
	noClientCert = unreachable + "it ends the TLS connection; does it ask for a client certificate?"
	untrusted    = unreachable + "its certificate isn't trusted; give the client that of the CA which signed it, and check its dates"
	otherName    = unreachable + "its certificate isn't for {host}; connect to a name that the certificate has"
	elsewhere    = unreachable + "what answers there is no gRPC listener: {why}"
	unknownCause = unreachable + "{why}"
	broken       = brokenPrefix + "{at} broke"
	ended        = "the client is closed"
	late         = "the broker at {at} didn't answer in time"
)

// causes are parts of what gRPC and crypto/tls say, and what it means. The first one that occurs counts.
var causes = []struct{ part, sentence string }{
	{"connection refused", refused},
	{"no such host", unresolved},
	{"produced zero addresses", unresolved},
	{"first record does not look like a TLS handshake", noTLS},
	{"no application protocol", noGRPC},
	{"HTTP/1", noGRPC},
	{"certificate required", noClientCert},
	{"bad certificate", noClientCert},
	{"certificate is valid for", otherName},
	{"certificate is not valid for any names", otherName},
	{"cannot validate certificate for", otherName},
	{"failed to verify certificate", untrusted},
	{"i/o timeout", silent},
	{"connection timed out", silent},
	{"no route to host", silent},
	{"network is unreachable", silent},
	{"unexpected HTTP status code", elsewhere},
	{"malformed header", elsewhere},
	{"error reading server preface", closed},
	{"connection error", unknownCause},
	{"the client connection is closing", ended},
	{"error reading from server", broken},
	{"transport is closing", broken},
	{"the connection is draining", broken},
	{"connection reset by peer", broken},
	{"broken pipe", broken},
	{"keepalive", broken},
}

// explain returns a sentence for what gRPC itself reports, without the broker: that it can't be reached,
// for example. Other errors keep their text.
func (a address) explain(code codes.Code, why string) string {
	sentence := ""
	switch code {
	case codes.DeadlineExceeded:
		sentence = late
	case codes.Unavailable, codes.Canceled, codes.Unimplemented, codes.Unknown, codes.Internal, codes.Unauthenticated, codes.PermissionDenied:
		sentence = causeOf(why)
	}
	switch {
	case sentence == "" && code == codes.Unavailable:
		sentence = unknownCause
	case sentence == "":
		return why
	case sentence == closed && a.encrypted:
		sentence = noClientCert
	}
	host, _, err := net.SplitHostPort(a.hostPort)
	if err != nil { // parseAddress lets none through
		host = a.hostPort
	}
	return strings.NewReplacer("{at}", a.hostPort, "{host}", host, "{why}", why).Replace(sentence)
}

// causeOf returns the sentence for a text of gRPC's, or an empty one.
func causeOf(text string) string {
	for _, cause := range causes {
		if strings.Contains(text, cause.part) {
			return cause.sentence
		}
	}
	return ""
}

// isBroken reports whether an error says that a connection broke.
func isBroken(err error) bool {
	failed, ok := errors.AsType[*Error](err)
	return ok && strings.HasPrefix(failed.Message, brokenPrefix)
}
