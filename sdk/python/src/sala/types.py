"""The results of calls and the parts of events, as plain values."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sala._values import decode_args
from sala.errors import Error


class Ack(tuple[Any, ...]):
    """The arguments of an ack: return Ack(a, b) from a handler if the client's callback takes
    several. Any other tuple means the same."""

    def __new__(cls, *args: Any) -> "Ack":
        return super().__new__(cls, args)


@dataclass(frozen=True, slots=True)
class Accept:
    """Return this from a decide handler to accept a client with more than its token says.

    rooms: rooms that the socket joins in addition to those of its token, at most 100.
    data: the data that backends see with the socket from now on: any JSON, at most 4 KiB. None
        leaves the data of its token.
    """

    rooms: list[str] = field(default_factory=list)
    data: Any = None


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the history of a room: just after the message with this offset. Positions can be
    compared only if their epochs are equal."""

    epoch: str
    offset: int


@dataclass(frozen=True, slots=True)
class RoomPosition:
    """A position in the history of one room."""

    room: str
    epoch: str
    offset: int


@dataclass(frozen=True, slots=True)
class EmitResult:
    """What happened to an event.

    matched: the number of sockets that the target matched. 0 is not an error.
    queued: for how many of them the event was queued. Queued doesn't mean received.
    kept: for how many the event is kept, because they are away.
    dropped: for how many it was neither queued nor kept.
    partial: whether a node didn't answer, so that the counts leave it out. missing_nodes has the
        ids of such nodes.
    positions: where the event is in the history of its rooms.
    unrecorded_rooms: the rooms that have a history and couldn't record the event.
    duplicate: whether an earlier call with the same idempotency key has sent the event. The rest
        is the report of the earlier call.
    """

    matched: int
    queued: int
    kept: int
    dropped: int
    partial: bool
    missing_nodes: list[str]
    positions: list[RoomPosition]
    unrecorded_rooms: list[str]
    duplicate: bool


@dataclass(frozen=True, slots=True)
class BroadcastResult:
    """What happened to a broadcast. The fields are those of EmitResult."""

    matched: int
    queued: int
    kept: int
    dropped: int
    partial: bool
    missing_nodes: list[str]
    duplicate: bool


@dataclass(frozen=True, slots=True)
class ClientAck:
    """The answer of one client to an event that asked for acks.

    args_json: the values that the client passed to its callback, as the text of a JSON array.
    latency: the time from queuing the event to receiving the ack.
    """

    socket: str
    user: str
    args_json: str
    attachments: list[bytes]
    latency: timedelta

    @property
    def args(self) -> list[Any]:
        """The values that the client passed to its callback, often just one. Raises ValueError if
        Python can't hold them."""
        return decode_args(self.args_json, self.attachments)


@dataclass(frozen=True, slots=True)
class AckResult:
    """What happened to an event that asked for acks.

    acks: the acks, in the order in which they arrived.
    expected: the number of sockets that the target matched: the sum of answered, timed_out,
        disconnected and dropped, unless the call stopped early at min_acks.
    """

    acks: list[ClientAck]
    expected: int
    answered: int
    timed_out: int
    disconnected: int
    dropped: int
    partial: bool
    missing_nodes: list[str]


@dataclass(frozen=True, slots=True)
class Token:
    """A token for a client. Its representation doesn't show the token itself, so that it doesn't
    end up in logs."""

    token: str = field(repr=False)
    token_id: str
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a token grants. The patterns are those of issue_token. An empty list of namespaces means
    all."""

    user: str
    token_id: str
    issue_time: datetime | None
    expire_time: datetime
    namespaces: list[str]
    rooms: list[str]
    join: list[str]
    publish: list[str]
    broadcast: bool
    data: Any
    history: list[str]
    presence: list[str]


@dataclass(frozen=True, slots=True)
class TokenResult:
    """Whether a client could connect with a token now. If not, reason is the code that it would
    get, such as "TOKEN_EXPIRED", and claims is None."""

    valid: bool
    claims: TokenClaims | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class RevokeResult:
    """How many sockets used the revoked tokens. If partial is set, the missing nodes may still
    accept the tokens; if not_stored is set, nodes that start later may."""

    disconnected: int
    partial: bool
    missing_nodes: list[str]
    not_stored: bool


@dataclass(frozen=True, slots=True)
class Room:
    """A room and the number of sockets in it."""

    name: str
    namespace: str
    sockets: int


@dataclass(frozen=True, slots=True)
class RoomDetails:
    """A room, the number of sockets in it and of the users they belong to. All anonymous sockets
    together count as one user."""

    name: str
    namespace: str
    sockets: int
    users: int
    partial: bool
    missing_nodes: list[str]


@dataclass(frozen=True, slots=True)
class ClearResult:
    """How many sockets were removed from the room. If partial is set, members at the missing nodes
    may still be in it."""

    removed: int
    partial: bool
    missing_nodes: list[str]


@dataclass(frozen=True, slots=True)
class RoomMessage:
    """One message in the history of a room."""

    offset: int
    event: str
    args_json: str
    attachments: list[bytes]
    time: datetime
    idempotency_key: str

    @property
    def args(self) -> list[Any]:
        """The event's arguments, with binary data as bytes. Raises ValueError if Python can't hold
        them."""
        return decode_args(self.args_json, self.attachments)


@dataclass(frozen=True, slots=True)
class History:
    """A part of a room's history.

    messages: in the order of reading. None are left to read if there are none.
    epoch, offset: the position to read on from; see position.
    complete: whether nothing is missing between the position that was asked for and these messages.
    """

    messages: list[RoomMessage]
    epoch: str
    offset: int
    complete: bool

    @property
    def position(self) -> Position:
        """The position to read on from: pass it as since."""
        return Position(self.epoch, self.offset)


@dataclass(frozen=True, slots=True)
class PresentUser:
    """A user who is there, with the number of sockets and the data of the newest one."""

    user: str
    sockets: int
    data: Any


@dataclass(frozen=True, slots=True)
class RoomCount:
    """How many are in a room. The room is empty if the count is that of the whole namespace."""

    room: str
    users: int
    sockets: int


@dataclass(frozen=True, slots=True)
class CountResult:
    """The counts, in the order of the rooms that were asked for."""

    counts: list[RoomCount]
    partial: bool
    missing_nodes: list[str]


@dataclass(frozen=True, slots=True)
class OnlineResult:
    """Those of the users who are connected, in the order in which they were asked for. If partial
    is set, users who are connected to the missing nodes may be left out."""

    online: list[str]
    partial: bool
    missing_nodes: list[str]


@dataclass(frozen=True, slots=True)
class SocketSession:
    """What the broker keeps for a client that may lose its connection and return. The times and the
    reason are set while the client is away."""

    events: int
    bytes: int
    complete: bool
    away_time: datetime | None
    away_reason: str
    expire_time: datetime | None


@dataclass(frozen=True, slots=True)
class Socket:
    """One client in one namespace.

    data: the data of its token, or what has replaced it since.
    state: "connected" or "away".
    session: None if the socket takes no part in recovery.
    """

    id: str
    user: str
    namespace: str
    rooms: list[str]
    address: str
    transport: str
    connect_time: datetime
    data: Any
    node: str
    state: str
    session: SocketSession | None


@dataclass(frozen=True, slots=True)
class SocketDetails:
    """A socket. If partial is set, what the missing nodes know of it is left out."""

    socket: Socket
    partial: bool
    missing_nodes: list[str]


@dataclass(frozen=True, slots=True)
class MatchResult:
    """How many sockets a call acted on. If partial is set, the count leaves out the missing
    nodes."""

    matched: int
    partial: bool
    missing_nodes: list[str]


@dataclass(frozen=True, slots=True)
class JoinResult:
    """How many sockets joined. refused counts those that joined no room because they would be in
    more than the broker allows."""

    matched: int
    refused: int
    partial: bool
    missing_nodes: list[str]


@dataclass(frozen=True, slots=True)
class EventSocket:
    """The socket that an event is about, as it was then.

    auth: what the client sent as auth when it connected, without its token.
    data: the data of its token, or what has replaced it since.
    address: the client's host and port; only the host if a trusted proxy reported the address.
    transport: "websocket" or "polling".
    """

    id: str
    user: str
    namespace: str
    auth: Any
    data: Any
    address: str
    transport: str
    connect_time: datetime


@dataclass(frozen=True, slots=True)
class Started:
    """A stream has started: no event is missed from now on. If partial is set, the missing nodes
    hadn't confirmed in time, and their events may still be missed."""

    partial: bool
    missing_nodes: list[str]


@dataclass(frozen=True, slots=True)
class Reconnect:
    """A stream has started after another one ended.

    cause: the error that ended that one; None if the broker closed it.
    gap: for how many seconds there was no stream.
    undelivered: how many answers had no stream to go to, or were still waiting to be sent. Their
        clients got another member's answer or an error.
    """

    cause: Error | None
    gap: float
    undelivered: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The broker rejected an answer, which therefore had no effect. docs/events.md of Sala lists
    the reasons, such as "DELIVERY_EXPIRED"."""

    delivery_id: str
    reason: str
    message: str
