"""The event that handlers get. Made from sala/aio by tools/make_sync.py: change that."""

import json
from datetime import datetime, timezone
from typing import Any

from sala import types
from sala._values import Names, decode_args, from_value, names
from sala._calls import Calls
from sala.v1 import event_pb2


class Event:
    """Something that happened to a client or a room.

    kind: "message", "connect", "disconnect", "away", "resumed", "join", "leave", "room_opened",
        "room_closed", "user_online", "user_offline", "user_joined" or "user_left".
    name: the name of the event that the client sent; empty for other kinds.
    args: its arguments, with binary data as bytes. args_json and attachments have them as they
        came.
    socket: the socket that the event is about; None for the kinds about rooms and users.
    user: the user of the socket, or whom the kinds about users are about. Empty if anonymous.
    namespace: where it happened.
    room: only of joins, leaves and the kinds about rooms.
    reason: why the socket disconnected or lost its connection.
    time: when it happened.
    needs_ack: whether the client waits for the handler's result.
    redelivered: whether another member of the group, which is gone, may have handled the event.
    delivery_id: the same each time the event is delivered. Store it with your data to recognize an
        event that was handled already.
    previous_socket_id, not_recovered: only of connects: the socket that the client couldn't return
        to, and why, such as "EXPIRED".
    trace_context: the span of the event as the text of a W3C traceparent header, or empty.
    """

    def __init__(self, message: event_pb2.ClientEvent, kind: str, calls: Calls) -> None:
        self._calls = calls
        self.kind = kind
        self.name: str = message.event
        self.args_json: str = message.args_json
        self.attachments: list[bytes] = list(message.attachments)
        self.args: list[Any] = decode_args(self.args_json, self.attachments)
        self.socket = _socket(message.socket) if message.HasField("socket") else None
        self.user: str = self.socket.user if self.socket else message.user
        self.namespace: str = message.namespace
        self.room: str = message.room
        self.reason: str = message.reason
        self.time: datetime = message.time.ToDatetime(timezone.utc)
        self.needs_ack: bool = message.needs_ack
        self.redelivered: bool = message.redelivered
        self.delivery_id: str = message.delivery_id
        self.previous_socket_id: str = message.previous_socket_id
        self.not_recovered: str = message.not_recovered
        self.trace_context: str = message.trace_context

    def __repr__(self) -> str:
        about = self.name or self.kind
        return (
            f"<{type(self).__name__} {about!r} of {self.user or 'nobody'!r} in {self.namespace!r}>"
        )

    def emit(
        self, event: str, *args: Any, volatile: bool = False, timeout: float | None = None
    ) -> types.EmitResult:
        """Sends an event back to the socket that this event is about, as emit of the client does.
        Raises ValueError if this event is about no socket."""
        if self.socket is None:
            raise ValueError(f"a {self.kind} event has no socket to emit to")
        return self._calls.emit(
            event,
            *args,
            sockets=self.socket.id,
            namespace=self.namespace,
            volatile=volatile,
            timeout=timeout,
        )

    def emit_to(
        self,
        rooms: Names,
        event: str,
        *args: Any,
        include_self: bool = True,
        volatile: bool = False,
        timeout: float | None = None,
    ) -> types.EmitResult:
        """Sends an event to rooms in the namespace of this event, as emit of the client does.

        include_self: whether the socket that this event is about gets it too, if it is in the
            rooms.
        """
        excluded = () if include_self or self.socket is None else self.socket.id
        return self._calls.emit(
            event,
            *args,
            rooms=names(rooms),
            except_sockets=excluded,
            namespace=self.namespace,
            volatile=volatile,
            timeout=timeout,
        )


def _socket(socket: event_pb2.EventSocket) -> types.EventSocket:
    return types.EventSocket(
        id=socket.id,
        user=socket.user,
        namespace=socket.namespace,
        auth=json.loads(socket.auth_json) if socket.auth_json else None,
        data=from_value(socket.data),
        address=socket.address,
        transport=socket.transport,
        connect_time=socket.connect_time.ToDatetime(timezone.utc),
    )
