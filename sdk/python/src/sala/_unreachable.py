"""Why the broker can't be reached, in the words that all client libraries use."""

_UNREACHABLE = "can't reach the broker at {at}: "

_REFUSED = "connection refused; is it running, and is this the address of its gRPC listener?"
_UNRESOLVED = "the name {host} doesn't resolve; check the address"
_SILENT = "it doesn't answer; check the address, and the firewalls on the way"
_NO_TLS = "it doesn't speak TLS there; connect to http://{at}, or give the broker a certificate"
_NO_GRPC = "it speaks HTTP/1 there, not gRPC; connect to the port of --grpc-listen, 9090 by default"
_CLOSED = "it closes the connection; if it uses TLS, connect to https://{at}"
_NO_CLIENT_CERT = "it ends the TLS connection; does it ask for a client certificate?"
_UNTRUSTED = (
    "its certificate isn't trusted; give the client that of the CA which signed it, "
    "and check its dates"
)
_OTHER_NAME = "its certificate isn't for {host}; connect to a name that the certificate has"
_ELSEWHERE = "what answers there is no gRPC listener: {why}"

_BROKEN = "the connection to the broker at {at} broke"
_LATE = "the broker at {at} didn't answer in time"

# Parts of what gRPC and OpenSSL say if there is no connection, in lower case, and what it means. The
# first one that occurs counts.
_CAUSES = [
    ("connection refused", _REFUSED),
    ("dns resolution failed", _UNRESOLVED),
    ("wrong_version_number", _NO_TLS),
    ("wrong version number", _NO_TLS),
    ("http1.x server", _NO_GRPC),
    ("no application protocol", _NO_GRPC),
    ("certificate required", _NO_CLIENT_CERT),
    ("bad certificate", _NO_CLIENT_CERT),
    ("is not in peer certificate", _OTHER_NAME),
    ("certificate verify failed", _UNTRUSTED),
    ("certificate_verify_failed", _UNTRUSTED),
    ("timed out", _SILENT),
    ("no route to host", _SILENT),
    ("network is unreachable", _SILENT),
    ("header with status", _ELSEWHERE),
    ("socket closed", _CLOSED),
    ("connection reset", _CLOSED),
    ("endpoint read failed", _CLOSED),
]

# The same if there was a connection.
_LOSSES = ("socket closed", "connection reset", "broken pipe", "goaway", "endpoint", "removed")

_NOT_CONNECTED = ("failed to connect", "dns resolution failed", "received http2 header with status")

# The codes of errors that gRPC makes itself.
_CODES = {
    "UNAVAILABLE",
    "INTERNAL",
    "UNKNOWN",
    "UNIMPLEMENTED",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
}


def explain(target: str, encrypted: bool, code: str, why: str) -> str:
    """Returns a sentence for what gRPC itself reports, without the broker: that it can't be reached,
    for example. Other errors keep their text."""
    sentence = _LATE if code == "DEADLINE_EXCEEDED" else ""
    if code in _CODES:
        sentence = _sentence_for(why.lower(), encrypted)
    if not sentence and code == "UNAVAILABLE":
        sentence = _UNREACHABLE + "{why}"
    return sentence.format(at=target, host=target.rpartition(":")[0], why=why) or why


def _sentence_for(why: str, encrypted: bool) -> str:
    """Returns the sentence for a text of gRPC's in lower case, or an empty one."""
    if not why.startswith(_NOT_CONNECTED):
        return _BROKEN if any(part in why for part in _LOSSES) else ""
    for part, cause in _CAUSES:
        if part in why:
            if cause == _CLOSED and encrypted:
                cause = _NO_CLIENT_CERT
            return _UNREACHABLE + cause
    return ""
