package sala

import (
	"testing"

	"google.golang.org/grpc/codes"
)

// The texts are those of gRPC, as it gives them for a broker on 127.0.0.1:9090.
func TestErrorsSayWhyTheBrokerCantBeReached(t *testing.T) {
	const prefix = "can't reach the broker at 127.0.0.1:9090: "
	plain := address{hostPort: "127.0.0.1:9090"}
	encrypted := address{hostPort: "127.0.0.1:9090", encrypted: true}
	for _, test := range []struct {
		at         address
		code       codes.Code
		text, want string
	}{
		{plain, codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:9090: connect: connection refused"`, prefix + "connection refused; is it running, and is this the address of its gRPC listener?"},
		{plain, codes.Unavailable, "name resolver error: produced zero addresses", prefix + "the name 127.0.0.1 doesn't resolve; check the address"},
		{plain, codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp: lookup sala.invalid: no such host"`, prefix + "the name 127.0.0.1 doesn't resolve; check the address"},
		{plain, codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 192.0.2.1:9090: i/o timeout"`, prefix + "it doesn't answer; check the address, and the firewalls on the way"},
		{plain, codes.Unavailable, `connection error: desc = "error reading server preface: EOF"`, prefix + "it closes the connection; if it uses TLS, connect to https://127.0.0.1:9090"},
		{plain, codes.Unavailable, `connection error: desc = "error reading server preface: read tcp 127.0.0.1:1->127.0.0.1:9090: read: connection reset by peer"`, prefix + "it closes the connection; if it uses TLS, connect to https://127.0.0.1:9090"},
		{plain, codes.Unavailable, `connection error: desc = "error reading server preface: http2: failed reading the frame payload: http2: frame too large, note that the frame header looked like an HTTP/1.1 header"`, prefix + "it speaks HTTP/1 there, not gRPC; connect to the port of --grpc-listen, 9090 by default"},
		{encrypted, codes.Unavailable, `connection error: desc = "transport: authentication handshake failed: remote error: tls: no application protocol"`, prefix + "it speaks HTTP/1 there, not gRPC; connect to the port of --grpc-listen, 9090 by default"},
		{encrypted, codes.Unavailable, `connection error: desc = "transport: authentication handshake failed: tls: first record does not look like a TLS handshake"`, prefix + "it doesn't speak TLS there; connect to http://127.0.0.1:9090, or give the broker a certificate"},
		{encrypted, codes.Unavailable, `connection error: desc = "error reading server preface: remote error: tls: certificate required"`, prefix + "it ends the TLS connection; does it ask for a client certificate?"},
		{encrypted, codes.Unavailable, `connection error: desc = "error reading server preface: EOF"`, prefix + "it ends the TLS connection; does it ask for a client certificate?"},
		{encrypted, codes.Unavailable, `connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority"`, prefix + "its certificate isn't trusted; give the client that of the CA which signed it, and check its dates"},
		{encrypted, codes.Unavailable, `connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate is valid for sala, not localhost"`, prefix + "its certificate isn't for 127.0.0.1; connect to a name that the certificate has"},
		{plain, codes.Unimplemented, "unexpected HTTP status code received from server: 404 (Not Found)", prefix + "what answers there is no gRPC listener: unexpected HTTP status code received from server: 404 (Not Found)"},
		{plain, codes.Unavailable, "something else", prefix + "something else"},
		{plain, codes.Unavailable, "error reading from server: EOF", "the connection to the broker at 127.0.0.1:9090 broke"},
		{plain, codes.DeadlineExceeded, "context deadline exceeded", "the broker at 127.0.0.1:9090 didn't answer in time"},
		{plain, codes.Canceled, "grpc: the client connection is closing", "the client is closed"},
		{plain, codes.Canceled, "context canceled", "context canceled"},
		{plain, codes.Unimplemented, "unknown method Emit", "unknown method Emit"},
	} {
		if got := test.at.explain(test.code, test.text); got != test.want {
			t.Errorf("%s: %s\n got %s\nwant %s", test.code, test.text, got, test.want)
		}
	}
}
