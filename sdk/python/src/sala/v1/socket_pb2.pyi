from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
SOCKET_STATE_AWAY: SocketState
SOCKET_STATE_CONNECTED: SocketState
SOCKET_STATE_UNSPECIFIED: SocketState

class DisconnectRequest(_message.Message):
    __slots__ = ["reason", "selector"]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    reason: str
    selector: Selector
    def __init__(self, selector: _Optional[_Union[Selector, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class DisconnectResponse(_message.Message):
    __slots__ = ["matched", "missing_nodes", "partial"]
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    matched: int
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    partial: bool
    def __init__(self, matched: _Optional[int] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class GetSocketRequest(_message.Message):
    __slots__ = ["id"]
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetSocketResponse(_message.Message):
    __slots__ = ["missing_nodes", "partial", "socket"]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    partial: bool
    socket: Socket
    def __init__(self, socket: _Optional[_Union[Socket, _Mapping]] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class JoinRequest(_message.Message):
    __slots__ = ["rooms", "selector"]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    rooms: _containers.RepeatedScalarFieldContainer[str]
    selector: Selector
    def __init__(self, selector: _Optional[_Union[Selector, _Mapping]] = ..., rooms: _Optional[_Iterable[str]] = ...) -> None: ...

class JoinResponse(_message.Message):
    __slots__ = ["matched", "missing_nodes", "partial", "refused"]
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    matched: int
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    partial: bool
    refused: int
    def __init__(self, matched: _Optional[int] = ..., refused: _Optional[int] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class LeaveRequest(_message.Message):
    __slots__ = ["rooms", "selector"]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    rooms: _containers.RepeatedScalarFieldContainer[str]
    selector: Selector
    def __init__(self, selector: _Optional[_Union[Selector, _Mapping]] = ..., rooms: _Optional[_Iterable[str]] = ...) -> None: ...

class LeaveResponse(_message.Message):
    __slots__ = ["matched", "missing_nodes", "partial"]
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    matched: int
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    partial: bool
    def __init__(self, matched: _Optional[int] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class ListSocketsRequest(_message.Message):
    __slots__ = ["namespace", "page_size", "page_token", "query", "room", "user"]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    page_size: int
    page_token: str
    query: str
    room: str
    user: str
    def __init__(self, namespace: _Optional[str] = ..., room: _Optional[str] = ..., user: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., query: _Optional[str] = ...) -> None: ...

class ListSocketsResponse(_message.Message):
    __slots__ = ["missing_nodes", "next_page_token", "partial", "sockets"]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    next_page_token: str
    partial: bool
    sockets: _containers.RepeatedCompositeFieldContainer[Socket]
    def __init__(self, sockets: _Optional[_Iterable[_Union[Socket, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class Selector(_message.Message):
    __slots__ = ["except_rooms", "except_sockets", "except_users", "namespace", "rooms", "sockets", "users"]
    EXCEPT_ROOMS_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_SOCKETS_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_USERS_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    except_rooms: _containers.RepeatedScalarFieldContainer[str]
    except_sockets: _containers.RepeatedScalarFieldContainer[str]
    except_users: _containers.RepeatedScalarFieldContainer[str]
    namespace: str
    rooms: _containers.RepeatedScalarFieldContainer[str]
    sockets: _containers.RepeatedScalarFieldContainer[str]
    users: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, namespace: _Optional[str] = ..., rooms: _Optional[_Iterable[str]] = ..., users: _Optional[_Iterable[str]] = ..., sockets: _Optional[_Iterable[str]] = ..., except_rooms: _Optional[_Iterable[str]] = ..., except_sockets: _Optional[_Iterable[str]] = ..., except_users: _Optional[_Iterable[str]] = ...) -> None: ...

class Socket(_message.Message):
    __slots__ = ["address", "connect_time", "data", "id", "namespace", "node", "rooms", "session", "state", "transport", "user"]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CONNECT_TIME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    address: str
    connect_time: _timestamp_pb2.Timestamp
    data: _struct_pb2.Value
    id: str
    namespace: str
    node: str
    rooms: _containers.RepeatedScalarFieldContainer[str]
    session: SocketSession
    state: SocketState
    transport: str
    user: str
    def __init__(self, id: _Optional[str] = ..., user: _Optional[str] = ..., namespace: _Optional[str] = ..., rooms: _Optional[_Iterable[str]] = ..., address: _Optional[str] = ..., transport: _Optional[str] = ..., connect_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., data: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., node: _Optional[str] = ..., state: _Optional[_Union[SocketState, str]] = ..., session: _Optional[_Union[SocketSession, _Mapping]] = ...) -> None: ...

class SocketSession(_message.Message):
    __slots__ = ["away_reason", "away_time", "bytes", "complete", "events", "expire_time"]
    AWAY_REASON_FIELD_NUMBER: _ClassVar[int]
    AWAY_TIME_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    away_reason: str
    away_time: _timestamp_pb2.Timestamp
    bytes: int
    complete: bool
    events: int
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, events: _Optional[int] = ..., bytes: _Optional[int] = ..., complete: bool = ..., away_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., away_reason: _Optional[str] = ..., expire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class UpdateRequest(_message.Message):
    __slots__ = ["data", "selector"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    data: _struct_pb2.Value
    selector: Selector
    def __init__(self, selector: _Optional[_Union[Selector, _Mapping]] = ..., data: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class UpdateResponse(_message.Message):
    __slots__ = ["matched", "missing_nodes", "partial"]
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    matched: int
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    partial: bool
    def __init__(self, matched: _Optional[int] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class SocketState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
