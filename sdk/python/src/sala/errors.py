"""The errors of calls, and those that handlers raise to answer a client."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from sala import _status_pb2
from sala._address import Address
from sala._unreachable import explain


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One invalid field of a request.

    field: the path of the field in the names of the protos, such as "rooms[0]".
    description: what is wrong with it.
    """

    field: str
    description: str


class Error(Exception):
    """A call or a subscription has failed. There is a subclass for each code that a program may
    want to handle:

        try:
            room = broker.get_room("chat:42")
        except sala.NotFound as err:
            print(err.reason)  # ROOM_NOT_FOUND

    code: the name of the gRPC status code, such as "NOT_FOUND".
    reason: the stable reason, such as "ROOM_NOT_FOUND". Later releases of the broker may add
        reasons. Empty if the error isn't the broker's, for example because nobody answers.
    message: a description for people. If the broker can't be reached, it says why, and what to do.
    violations: the fields of the request that are invalid.
    metadata: further facts about the reason.
    retry_after: how many seconds the broker asks to wait before another attempt, or None.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        reason: str = "",
        violations: Sequence[FieldViolation] = (),
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.message} ({self.reason})" if self.reason else self.message


class InvalidArgument(Error):
    """The request is invalid; violations names the fields. The same request fails again."""


class Unauthenticated(Error):
    """The API key is missing or unknown."""


class PermissionDenied(Error):
    """The API key lacks a scope, or its scope doesn't reach far enough."""


class NotFound(Error):
    """There is no such room, socket, node or namespace."""


class FailedPrecondition(Error):
    """The broker isn't set up for the call, for example because the room has no history."""


class ResourceExhausted(Error):
    """A limit is reached, such as the key's rate or the size of a request."""


class Unavailable(Error):
    """The broker can't be reached or can't carry the call out at the moment."""


class DeadlineExceeded(Error):
    """The call has taken too long. Whether it was carried out is unknown."""


class Cancelled(Error):
    """The call was given up, for example because the client was closed."""


class ClientError(Exception):
    """Raise this in a handler to answer the client's ack with {"error": {"code", "message"}}.

    code: a stable code for programs, 1 to 255 bytes, such as "NOT_ALLOWED".
    message: a description, at most 1024 bytes.
    """

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class Refuse(Exception):
    """Raise this in a decide handler to refuse a client. The client gets connect_error with the
    message, and with the code in data.code.

    code: a stable code for programs, 1 to 255 bytes, such as "BANNED".
    message: a description, at most 1024 bytes.
    """

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


_CLASSES: dict[str, type[Error]] = {
    "INVALID_ARGUMENT": InvalidArgument,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": PermissionDenied,
    "NOT_FOUND": NotFound,
    "FAILED_PRECONDITION": FailedPrecondition,
    "RESOURCE_EXHAUSTED": ResourceExhausted,
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "CANCELLED": Cancelled,
}


def from_rpc_error(failed: grpc.aio.AioRpcError, address: Address) -> Error:
    """Returns what gRPC raised in a call to an address as an Error."""
    details: dict[str, Any] = {}
    for name, value in failed.trailing_metadata() or ():
        if name == "grpc-status-details-bin":
            details = _read_details(value)
    code, message = failed.code().name, failed.details() or ""
    if not details.get("reason"):
        message = explain(address.target, address.credentials is not None, code, message)
    return make_error(code, message, **details)


def name_of(code: int) -> str:
    """Returns the name of a gRPC status code."""
    return next((known.name for known in grpc.StatusCode if known.value[0] == code), "UNKNOWN")


def make_error(code: str, message: str, **details: Any) -> Error:
    """Returns an Error of the class for its code."""
    return _CLASSES.get(code, Error)(code, message, **details)


def _read_details(encoded: bytes) -> dict[str, Any]:
    details: dict[str, Any] = {}
    for detail in _status_pb2.Status.FromString(encoded).details:
        match detail.type_url.rpartition("/")[2]:
            case "google.rpc.ErrorInfo":
                info = _status_pb2.ErrorInfo.FromString(detail.value)
                details |= {"reason": info.reason, "metadata": info.metadata}
            case "google.rpc.BadRequest":
                invalid = _status_pb2.BadRequest.FromString(detail.value).field_violations
                details["violations"] = [FieldViolation(v.field, v.description) for v in invalid]
            case "google.rpc.RetryInfo":
                delay = _status_pb2.RetryInfo.FromString(detail.value).retry_delay
                details["retry_after"] = delay.ToTimedelta().total_seconds()
    return details
