"""A client library for Sala, a realtime broker for Socket.IO clients.

    import sala

    broker = sala.Client("127.0.0.1:9090", key=key)
    broker.emit("news", {"text": "hello"}, rooms="chat:42")

    chat = broker.subscription("chat")

    @chat.on("say")
    def say(event, message):
        event.emit_to("chat:42", "said", message)
        return {"ok": True}

    chat.run()

sala.aio has the same for asyncio. sala.v1 has the generated messages and stubs of the whole API.
"""

from sala import aio, types
from sala._address import TLS
from sala._calls import Pages
from sala._client import Client, EmitStream, Subscription
from sala._emit import Emit
from sala._event import Event
from sala.errors import (
    Cancelled,
    ClientError,
    DeadlineExceeded,
    Error,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Refuse,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from sala.types import Accept, Ack, Position, Reconnect, Rejected, Started

__all__ = [
    "Accept",
    "Ack",
    "Cancelled",
    "Client",
    "ClientError",
    "DeadlineExceeded",
    "Emit",
    "EmitStream",
    "Error",
    "Event",
    "FailedPrecondition",
    "FieldViolation",
    "InvalidArgument",
    "NotFound",
    "Pages",
    "PermissionDenied",
    "Position",
    "Reconnect",
    "Refuse",
    "Rejected",
    "ResourceExhausted",
    "Started",
    "Subscription",
    "TLS",
    "Unauthenticated",
    "Unavailable",
    "aio",
    "types",
]
