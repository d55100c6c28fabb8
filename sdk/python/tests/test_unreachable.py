"""What gRPC says when it can't reach a broker on 127.0.0.1:9090, and what the library makes of it."""

import unittest

from sala._unreachable import explain

NOT_CONNECTED = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:9090: "
HANDSHAKE = NOT_CONNECTED + "Ssl handshake failed: SSL_ERROR_SSL: "
PREFIX = "can't reach the broker at 127.0.0.1:9090: "
REFUSED = "connection refused; is it running, and is this the address of its gRPC listener?"
CLOSED = "it closes the connection; if it uses TLS, connect to https://127.0.0.1:9090"
NO_TLS = (
    "it doesn't speak TLS there; connect to http://127.0.0.1:9090, or give the broker a certificate"
)
NO_GRPC = "it speaks HTTP/1 there, not gRPC; connect to the port of --grpc-listen, 9090 by default"
NO_CLIENT_CERT = "it ends the TLS connection; does it ask for a client certificate?"
UNTRUSTED = (
    "its certificate isn't trusted; give the client that of the CA which signed it, "
    "and check its dates"
)
ELSEWHERE = "what answers there is no gRPC listener: Received http2 header with status: 404"


class Unreachable(unittest.TestCase):
    def test_errors_say_why_the_broker_cant_be_reached(self) -> None:
        name = "DNS resolution failed for 127.0.0.1:9090: C-ares status is not ARES_SUCCESS"
        version = HANDSHAKE + "error:0A00010B:SSL routines::wrong version number"
        boring = HANDSHAKE + "error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER"
        alpn = HANDSHAKE + "error:0A000460:SSL routines::tlsv1 alert no application protocol"
        verify = HANDSHAKE + "error:0A000086:SSL routines::certificate verify failed"
        for encrypted, code, text, want in [
            (False, "UNAVAILABLE", NOT_CONNECTED + "Connection refused", PREFIX + REFUSED),
            (
                False,
                "UNAVAILABLE",
                name,
                PREFIX + "the name 127.0.0.1 doesn't resolve; check the address",
            ),
            (
                False,
                "UNAVAILABLE",
                NOT_CONNECTED + "Connection timed out",
                PREFIX + "it doesn't answer; check the address, and the firewalls on the way",
            ),
            (False, "UNAVAILABLE", NOT_CONNECTED + "Socket closed", PREFIX + CLOSED),
            (False, "UNAVAILABLE", NOT_CONNECTED + "Connection reset by peer", PREFIX + CLOSED),
            (
                False,
                "UNAVAILABLE",
                NOT_CONNECTED + "Trying to connect an http1.x server",
                PREFIX + NO_GRPC,
            ),
            (True, "UNAVAILABLE", alpn, PREFIX + NO_GRPC),
            (True, "UNAVAILABLE", version, PREFIX + NO_TLS),
            (True, "UNAVAILABLE", boring, PREFIX + NO_TLS),
            (True, "UNAVAILABLE", NOT_CONNECTED + "Endpoint read failed", PREFIX + NO_CLIENT_CERT),
            (True, "UNAVAILABLE", verify, PREFIX + UNTRUSTED),
            (
                True,
                "UNAVAILABLE",
                NOT_CONNECTED + "Peer name 127.0.0.1 is not in peer certificate",
                PREFIX + "its certificate isn't for 127.0.0.1; connect to a name that the "
                "certificate has",
            ),
            (
                False,
                "UNIMPLEMENTED",
                "Received http2 header with status: 404",
                PREFIX + ELSEWHERE,
            ),
            (False, "UNAVAILABLE", "something {else}", PREFIX + "something {else}"),
            (
                False,
                "UNAVAILABLE",
                "Socket closed",
                "the connection to the broker at 127.0.0.1:9090 broke",
            ),
            (
                False,
                "UNAVAILABLE",
                "recvmsg:Connection reset by peer",
                "the connection to the broker at 127.0.0.1:9090 broke",
            ),
            (
                False,
                "DEADLINE_EXCEEDED",
                "Deadline Exceeded",
                "the broker at 127.0.0.1:9090 didn't answer in time",
            ),
            (False, "UNIMPLEMENTED", "Method not found!", "Method not found!"),
        ]:
            with self.subTest(text):
                self.assertEqual(explain("127.0.0.1:9090", encrypted, code, text), want)
