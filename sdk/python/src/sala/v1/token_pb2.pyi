from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IssueTokenRequest(_message.Message):
    __slots__ = ["broadcast", "data", "history", "join", "namespaces", "presence", "publish", "rooms", "ttl", "user"]
    BROADCAST_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    JOIN_FIELD_NUMBER: _ClassVar[int]
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    broadcast: bool
    data: _struct_pb2.Value
    history: _containers.RepeatedScalarFieldContainer[str]
    join: _containers.RepeatedScalarFieldContainer[str]
    namespaces: _containers.RepeatedScalarFieldContainer[str]
    presence: _containers.RepeatedScalarFieldContainer[str]
    publish: _containers.RepeatedScalarFieldContainer[str]
    rooms: _containers.RepeatedScalarFieldContainer[str]
    ttl: _duration_pb2.Duration
    user: str
    def __init__(self, user: _Optional[str] = ..., ttl: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., namespaces: _Optional[_Iterable[str]] = ..., rooms: _Optional[_Iterable[str]] = ..., join: _Optional[_Iterable[str]] = ..., publish: _Optional[_Iterable[str]] = ..., broadcast: bool = ..., data: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., history: _Optional[_Iterable[str]] = ..., presence: _Optional[_Iterable[str]] = ...) -> None: ...

class IssueTokenResponse(_message.Message):
    __slots__ = ["expire_time", "token", "token_id"]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    expire_time: _timestamp_pb2.Timestamp
    token: str
    token_id: str
    def __init__(self, token: _Optional[str] = ..., token_id: _Optional[str] = ..., expire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RevokeTokensRequest(_message.Message):
    __slots__ = ["issued_before", "token_id", "user"]
    ISSUED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    issued_before: _timestamp_pb2.Timestamp
    token_id: str
    user: str
    def __init__(self, token_id: _Optional[str] = ..., user: _Optional[str] = ..., issued_before: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RevokeTokensResponse(_message.Message):
    __slots__ = ["disconnected", "missing_nodes", "not_stored", "partial"]
    DISCONNECTED_FIELD_NUMBER: _ClassVar[int]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    NOT_STORED_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    disconnected: int
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    not_stored: bool
    partial: bool
    def __init__(self, disconnected: _Optional[int] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ..., not_stored: bool = ...) -> None: ...

class TokenClaims(_message.Message):
    __slots__ = ["broadcast", "data", "expire_time", "history", "issue_time", "join", "namespaces", "presence", "publish", "rooms", "token_id", "user"]
    BROADCAST_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    ISSUE_TIME_FIELD_NUMBER: _ClassVar[int]
    JOIN_FIELD_NUMBER: _ClassVar[int]
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    broadcast: bool
    data: _struct_pb2.Value
    expire_time: _timestamp_pb2.Timestamp
    history: _containers.RepeatedScalarFieldContainer[str]
    issue_time: _timestamp_pb2.Timestamp
    join: _containers.RepeatedScalarFieldContainer[str]
    namespaces: _containers.RepeatedScalarFieldContainer[str]
    presence: _containers.RepeatedScalarFieldContainer[str]
    publish: _containers.RepeatedScalarFieldContainer[str]
    rooms: _containers.RepeatedScalarFieldContainer[str]
    token_id: str
    user: str
    def __init__(self, user: _Optional[str] = ..., token_id: _Optional[str] = ..., issue_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., namespaces: _Optional[_Iterable[str]] = ..., rooms: _Optional[_Iterable[str]] = ..., join: _Optional[_Iterable[str]] = ..., publish: _Optional[_Iterable[str]] = ..., broadcast: bool = ..., data: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., history: _Optional[_Iterable[str]] = ..., presence: _Optional[_Iterable[str]] = ...) -> None: ...

class VerifyTokenRequest(_message.Message):
    __slots__ = ["token"]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class VerifyTokenResponse(_message.Message):
    __slots__ = ["claims", "message", "reason", "valid"]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VALID_FIELD_NUMBER: _ClassVar[int]
    claims: TokenClaims
    message: str
    reason: str
    valid: bool
    def __init__(self, valid: bool = ..., claims: _Optional[_Union[TokenClaims, _Mapping]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
