"""Where a broker listens, and whether to talk to it in plaintext or with TLS."""

import ipaddress
import os
import re
from dataclasses import dataclass

import grpc

_ADDRESS = re.compile(
    r"(?:(?P<scheme>[a-z]+)://)?"
    r"(?P<target>(?:\[(?P<v6>[^\]/@]+)\]|(?P<host>[^:/@\[\]\s]+)):\d{1,5})/?"
)


@dataclass(frozen=True, slots=True)
class TLS:
    """How to connect with TLS. All files are in PEM.

    ca: the file with the certificates to trust, instead of those that come with gRPC.
    cert, key: the files with the client certificate and its private key, both or neither.
    """

    ca: str | os.PathLike[str] | None = None
    cert: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed address: what gRPC dials, and the credentials; None means plaintext."""

    target: str
    credentials: grpc.ChannelCredentials | None


def parse_address(address: str, tls: TLS | bool | None, plaintext: bool) -> Address:
    """Returns what to dial. Raises ValueError if the address is neither host:port nor a URL of the
    schemes http and https, or if it, tls and plaintext contradict each other; OSError if a file of
    tls can't be read."""
    found = _ADDRESS.fullmatch(address)
    if not found or found["scheme"] not in (None, "http", "https"):
        raise ValueError(
            f"the address {address!r} isn't host:port, http://host:port or https://host:port"
        )
    if plaintext and tls:
        raise ValueError("tls and plaintext exclude each other")
    scheme = found["scheme"]
    if scheme == "http" and tls or scheme == "https" and (plaintext or tls is False):
        raise ValueError(f"the scheme of {address!r} contradicts tls or plaintext")
    wanted = scheme == "https" or bool(tls)
    if not (wanted or plaintext or scheme == "http" or _is_loopback(found["v6"] or found["host"])):
        if tls is False:
            raise ValueError(
                f"{address} isn't this machine: plaintext=True sends the API key in clear text"
            )
        wanted = True
    if not wanted:
        return Address(found["target"], None)
    return Address(found["target"], _credentials(tls if isinstance(tls, TLS) else TLS()))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _credentials(tls: TLS) -> grpc.ChannelCredentials:
    if (tls.cert is None) != (tls.key is None):
        raise ValueError("cert and key of TLS belong together")
    return grpc.ssl_channel_credentials(_read(tls.ca), _read(tls.key), _read(tls.cert))


def _read(path: str | os.PathLike[str] | None) -> bytes | None:
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read()
