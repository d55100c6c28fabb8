from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from sala.v1 import room_pb2 as _room_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
REPORT_COUNTS: Report
REPORT_NONE: Report
REPORT_UNSPECIFIED: Report

class Ack(_message.Message):
    __slots__ = ["args", "args_json", "attachments", "latency", "socket", "user"]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    args: _struct_pb2.ListValue
    args_json: str
    attachments: _containers.RepeatedScalarFieldContainer[bytes]
    latency: _duration_pb2.Duration
    socket: str
    user: str
    def __init__(self, socket: _Optional[str] = ..., user: _Optional[str] = ..., args: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ..., args_json: _Optional[str] = ..., attachments: _Optional[_Iterable[bytes]] = ..., latency: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class AckSummary(_message.Message):
    __slots__ = ["answered", "disconnected", "dropped", "expected", "missing_nodes", "partial", "timed_out"]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    DISCONNECTED_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    answered: int
    disconnected: int
    dropped: int
    expected: int
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    partial: bool
    timed_out: int
    def __init__(self, expected: _Optional[int] = ..., answered: _Optional[int] = ..., timed_out: _Optional[int] = ..., disconnected: _Optional[int] = ..., dropped: _Optional[int] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class BroadcastRequest(_message.Message):
    __slots__ = ["args", "args_json", "attachments", "event", "except_rooms", "except_sockets", "except_users", "idempotency_key", "namespace", "report", "volatile"]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_ROOMS_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_SOCKETS_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_USERS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    VOLATILE_FIELD_NUMBER: _ClassVar[int]
    args: _struct_pb2.ListValue
    args_json: str
    attachments: _containers.RepeatedScalarFieldContainer[bytes]
    event: str
    except_rooms: _containers.RepeatedScalarFieldContainer[str]
    except_sockets: _containers.RepeatedScalarFieldContainer[str]
    except_users: _containers.RepeatedScalarFieldContainer[str]
    idempotency_key: str
    namespace: str
    report: Report
    volatile: bool
    def __init__(self, namespace: _Optional[str] = ..., except_rooms: _Optional[_Iterable[str]] = ..., except_sockets: _Optional[_Iterable[str]] = ..., event: _Optional[str] = ..., args: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ..., args_json: _Optional[str] = ..., attachments: _Optional[_Iterable[bytes]] = ..., volatile: bool = ..., report: _Optional[_Union[Report, str]] = ..., except_users: _Optional[_Iterable[str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class BroadcastResponse(_message.Message):
    __slots__ = ["dropped", "duplicate", "kept", "matched", "missing_nodes", "partial", "queued"]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    dropped: int
    duplicate: bool
    kept: int
    matched: int
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    partial: bool
    queued: int
    def __init__(self, matched: _Optional[int] = ..., queued: _Optional[int] = ..., kept: _Optional[int] = ..., dropped: _Optional[int] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ..., duplicate: bool = ...) -> None: ...

class EmitBatchRequest(_message.Message):
    __slots__ = ["emits"]
    EMITS_FIELD_NUMBER: _ClassVar[int]
    emits: _containers.RepeatedCompositeFieldContainer[EmitRequest]
    def __init__(self, emits: _Optional[_Iterable[_Union[EmitRequest, _Mapping]]] = ...) -> None: ...

class EmitBatchResponse(_message.Message):
    __slots__ = ["results"]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[EmitResult]
    def __init__(self, results: _Optional[_Iterable[_Union[EmitResult, _Mapping]]] = ...) -> None: ...

class EmitError(_message.Message):
    __slots__ = ["code", "message", "reason"]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    reason: str
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class EmitRequest(_message.Message):
    __slots__ = ["args", "args_json", "attachments", "conflate_key", "event", "except_rooms", "except_sockets", "except_users", "idempotency_key", "namespace", "report", "rooms", "skip_history", "sockets", "users", "volatile"]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    CONFLATE_KEY_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_ROOMS_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_SOCKETS_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_USERS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    SKIP_HISTORY_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    VOLATILE_FIELD_NUMBER: _ClassVar[int]
    args: _struct_pb2.ListValue
    args_json: str
    attachments: _containers.RepeatedScalarFieldContainer[bytes]
    conflate_key: str
    event: str
    except_rooms: _containers.RepeatedScalarFieldContainer[str]
    except_sockets: _containers.RepeatedScalarFieldContainer[str]
    except_users: _containers.RepeatedScalarFieldContainer[str]
    idempotency_key: str
    namespace: str
    report: Report
    rooms: _containers.RepeatedScalarFieldContainer[str]
    skip_history: bool
    sockets: _containers.RepeatedScalarFieldContainer[str]
    users: _containers.RepeatedScalarFieldContainer[str]
    volatile: bool
    def __init__(self, namespace: _Optional[str] = ..., rooms: _Optional[_Iterable[str]] = ..., users: _Optional[_Iterable[str]] = ..., sockets: _Optional[_Iterable[str]] = ..., except_rooms: _Optional[_Iterable[str]] = ..., except_sockets: _Optional[_Iterable[str]] = ..., event: _Optional[str] = ..., args: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ..., args_json: _Optional[str] = ..., attachments: _Optional[_Iterable[bytes]] = ..., volatile: bool = ..., report: _Optional[_Union[Report, str]] = ..., except_users: _Optional[_Iterable[str]] = ..., idempotency_key: _Optional[str] = ..., conflate_key: _Optional[str] = ..., skip_history: bool = ...) -> None: ...

class EmitResponse(_message.Message):
    __slots__ = ["dropped", "duplicate", "kept", "matched", "missing_nodes", "partial", "positions", "queued", "unrecorded_rooms"]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    UNRECORDED_ROOMS_FIELD_NUMBER: _ClassVar[int]
    dropped: int
    duplicate: bool
    kept: int
    matched: int
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    partial: bool
    positions: _containers.RepeatedCompositeFieldContainer[_room_pb2.RoomPosition]
    queued: int
    unrecorded_rooms: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, matched: _Optional[int] = ..., queued: _Optional[int] = ..., kept: _Optional[int] = ..., dropped: _Optional[int] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ..., positions: _Optional[_Iterable[_Union[_room_pb2.RoomPosition, _Mapping]]] = ..., unrecorded_rooms: _Optional[_Iterable[str]] = ..., duplicate: bool = ...) -> None: ...

class EmitResult(_message.Message):
    __slots__ = ["dropped", "duplicate", "error", "kept", "matched", "missing_nodes", "partial", "positions", "queued", "unrecorded_rooms"]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    UNRECORDED_ROOMS_FIELD_NUMBER: _ClassVar[int]
    dropped: int
    duplicate: bool
    error: EmitError
    kept: int
    matched: int
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    partial: bool
    positions: _containers.RepeatedCompositeFieldContainer[_room_pb2.RoomPosition]
    queued: int
    unrecorded_rooms: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, matched: _Optional[int] = ..., queued: _Optional[int] = ..., kept: _Optional[int] = ..., dropped: _Optional[int] = ..., error: _Optional[_Union[EmitError, _Mapping]] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ..., positions: _Optional[_Iterable[_Union[_room_pb2.RoomPosition, _Mapping]]] = ..., unrecorded_rooms: _Optional[_Iterable[str]] = ..., duplicate: bool = ...) -> None: ...

class EmitStreamRequest(_message.Message):
    __slots__ = ["emit", "sequence"]
    EMIT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    emit: EmitRequest
    sequence: int
    def __init__(self, sequence: _Optional[int] = ..., emit: _Optional[_Union[EmitRequest, _Mapping]] = ...) -> None: ...

class EmitStreamResponse(_message.Message):
    __slots__ = ["result", "sequence"]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    result: EmitResult
    sequence: int
    def __init__(self, sequence: _Optional[int] = ..., result: _Optional[_Union[EmitResult, _Mapping]] = ...) -> None: ...

class EmitWithAckRequest(_message.Message):
    __slots__ = ["args", "args_as_json", "args_json", "attachments", "event", "except_rooms", "except_sockets", "except_users", "min_acks", "namespace", "rooms", "sockets", "timeout", "users"]
    ARGS_AS_JSON_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_ROOMS_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_SOCKETS_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_USERS_FIELD_NUMBER: _ClassVar[int]
    MIN_ACKS_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    args: _struct_pb2.ListValue
    args_as_json: bool
    args_json: str
    attachments: _containers.RepeatedScalarFieldContainer[bytes]
    event: str
    except_rooms: _containers.RepeatedScalarFieldContainer[str]
    except_sockets: _containers.RepeatedScalarFieldContainer[str]
    except_users: _containers.RepeatedScalarFieldContainer[str]
    min_acks: int
    namespace: str
    rooms: _containers.RepeatedScalarFieldContainer[str]
    sockets: _containers.RepeatedScalarFieldContainer[str]
    timeout: _duration_pb2.Duration
    users: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, namespace: _Optional[str] = ..., rooms: _Optional[_Iterable[str]] = ..., users: _Optional[_Iterable[str]] = ..., sockets: _Optional[_Iterable[str]] = ..., except_rooms: _Optional[_Iterable[str]] = ..., except_sockets: _Optional[_Iterable[str]] = ..., event: _Optional[str] = ..., args: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ..., args_json: _Optional[str] = ..., attachments: _Optional[_Iterable[bytes]] = ..., timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., min_acks: _Optional[int] = ..., args_as_json: bool = ..., except_users: _Optional[_Iterable[str]] = ...) -> None: ...

class EmitWithAckResponse(_message.Message):
    __slots__ = ["ack", "summary"]
    ACK_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    ack: Ack
    summary: AckSummary
    def __init__(self, ack: _Optional[_Union[Ack, _Mapping]] = ..., summary: _Optional[_Union[AckSummary, _Mapping]] = ...) -> None: ...

class Report(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
