from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
EVENT_KIND_ANSWER: EventKind
EVENT_KIND_AWAY: EventKind
EVENT_KIND_CONNECT: EventKind
EVENT_KIND_DISCONNECT: EventKind
EVENT_KIND_DROP: EventKind
EVENT_KIND_EMIT: EventKind
EVENT_KIND_JOIN: EventKind
EVENT_KIND_LEAVE: EventKind
EVENT_KIND_LIMIT: EventKind
EVENT_KIND_MESSAGE: EventKind
EVENT_KIND_REFUSED: EventKind
EVENT_KIND_RESUMED: EventKind
EVENT_KIND_ROOM_CLOSED: EventKind
EVENT_KIND_ROOM_OPENED: EventKind
EVENT_KIND_UNSPECIFIED: EventKind
EVENT_KIND_USER_JOINED: EventKind
EVENT_KIND_USER_LEFT: EventKind
EVENT_KIND_USER_OFFLINE: EventKind
EVENT_KIND_USER_ONLINE: EventKind

class ClientEvent(_message.Message):
    __slots__ = ["args_json", "attachments", "delivery_id", "event", "kind", "namespace", "needs_ack", "needs_decision", "not_recovered", "previous_socket_id", "reason", "redelivered", "room", "socket", "time", "trace_context", "user"]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NEEDS_ACK_FIELD_NUMBER: _ClassVar[int]
    NEEDS_DECISION_FIELD_NUMBER: _ClassVar[int]
    NOT_RECOVERED_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_SOCKET_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REDELIVERED_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TRACE_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    args_json: str
    attachments: _containers.RepeatedScalarFieldContainer[bytes]
    delivery_id: str
    event: str
    kind: EventKind
    namespace: str
    needs_ack: bool
    needs_decision: bool
    not_recovered: str
    previous_socket_id: str
    reason: str
    redelivered: bool
    room: str
    socket: EventSocket
    time: _timestamp_pb2.Timestamp
    trace_context: str
    user: str
    def __init__(self, delivery_id: _Optional[str] = ..., kind: _Optional[_Union[EventKind, str]] = ..., socket: _Optional[_Union[EventSocket, _Mapping]] = ..., event: _Optional[str] = ..., args_json: _Optional[str] = ..., attachments: _Optional[_Iterable[bytes]] = ..., needs_ack: bool = ..., redelivered: bool = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., room: _Optional[str] = ..., reason: _Optional[str] = ..., needs_decision: bool = ..., namespace: _Optional[str] = ..., previous_socket_id: _Optional[str] = ..., not_recovered: _Optional[str] = ..., user: _Optional[str] = ..., trace_context: _Optional[str] = ...) -> None: ...

class EventAccept(_message.Message):
    __slots__ = ["data", "rooms"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    data: _struct_pb2.Value
    rooms: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, rooms: _Optional[_Iterable[str]] = ..., data: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class EventCredit(_message.Message):
    __slots__ = ["credits"]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    credits: int
    def __init__(self, credits: _Optional[int] = ...) -> None: ...

class EventDecision(_message.Message):
    __slots__ = ["accept", "delivery_id", "refuse"]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    REFUSE_FIELD_NUMBER: _ClassVar[int]
    accept: EventAccept
    delivery_id: str
    refuse: EventError
    def __init__(self, delivery_id: _Optional[str] = ..., accept: _Optional[_Union[EventAccept, _Mapping]] = ..., refuse: _Optional[_Union[EventError, _Mapping]] = ...) -> None: ...

class EventError(_message.Message):
    __slots__ = ["code", "message"]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class EventRejected(_message.Message):
    __slots__ = ["code", "delivery_id", "message", "reason"]
    CODE_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    code: int
    delivery_id: str
    message: str
    reason: str
    def __init__(self, delivery_id: _Optional[str] = ..., code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class EventReply(_message.Message):
    __slots__ = ["args", "args_json", "attachments", "delivery_id", "error"]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    args: _struct_pb2.ListValue
    args_json: str
    attachments: _containers.RepeatedScalarFieldContainer[bytes]
    delivery_id: str
    error: EventError
    def __init__(self, delivery_id: _Optional[str] = ..., args: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ..., args_json: _Optional[str] = ..., attachments: _Optional[_Iterable[bytes]] = ..., error: _Optional[_Union[EventError, _Mapping]] = ...) -> None: ...

class EventSocket(_message.Message):
    __slots__ = ["address", "auth_json", "connect_time", "data", "id", "namespace", "transport", "user"]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    AUTH_JSON_FIELD_NUMBER: _ClassVar[int]
    CONNECT_TIME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    address: str
    auth_json: str
    connect_time: _timestamp_pb2.Timestamp
    data: _struct_pb2.Value
    id: str
    namespace: str
    transport: str
    user: str
    def __init__(self, id: _Optional[str] = ..., user: _Optional[str] = ..., namespace: _Optional[str] = ..., auth_json: _Optional[str] = ..., data: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., address: _Optional[str] = ..., transport: _Optional[str] = ..., connect_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ["credit", "decision", "reply", "start"]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    credit: EventCredit
    decision: EventDecision
    reply: EventReply
    start: SubscribeStart
    def __init__(self, start: _Optional[_Union[SubscribeStart, _Mapping]] = ..., reply: _Optional[_Union[EventReply, _Mapping]] = ..., credit: _Optional[_Union[EventCredit, _Mapping]] = ..., decision: _Optional[_Union[EventDecision, _Mapping]] = ...) -> None: ...

class SubscribeResponse(_message.Message):
    __slots__ = ["event", "rejected", "started"]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    event: ClientEvent
    rejected: EventRejected
    started: SubscribeStarted
    def __init__(self, started: _Optional[_Union[SubscribeStarted, _Mapping]] = ..., event: _Optional[_Union[ClientEvent, _Mapping]] = ..., rejected: _Optional[_Union[EventRejected, _Mapping]] = ...) -> None: ...

class SubscribeStart(_message.Message):
    __slots__ = ["credits", "decide", "events", "group", "kinds", "namespaces", "observe"]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    DECIDE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    OBSERVE_FIELD_NUMBER: _ClassVar[int]
    credits: int
    decide: bool
    events: _containers.RepeatedScalarFieldContainer[str]
    group: str
    kinds: _containers.RepeatedScalarFieldContainer[EventKind]
    namespaces: _containers.RepeatedScalarFieldContainer[str]
    observe: bool
    def __init__(self, group: _Optional[str] = ..., namespaces: _Optional[_Iterable[str]] = ..., events: _Optional[_Iterable[str]] = ..., kinds: _Optional[_Iterable[_Union[EventKind, str]]] = ..., credits: _Optional[int] = ..., decide: bool = ..., observe: bool = ...) -> None: ...

class SubscribeStarted(_message.Message):
    __slots__ = ["missing_nodes", "partial"]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    partial: bool
    def __init__(self, partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class EventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
