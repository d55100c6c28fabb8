from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CountRequest(_message.Message):
    __slots__ = ["namespace", "rooms"]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    rooms: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, rooms: _Optional[_Iterable[str]] = ..., namespace: _Optional[str] = ...) -> None: ...

class CountResponse(_message.Message):
    __slots__ = ["counts", "missing_nodes", "partial"]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    counts: _containers.RepeatedCompositeFieldContainer[RoomCount]
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    partial: bool
    def __init__(self, counts: _Optional[_Iterable[_Union[RoomCount, _Mapping]]] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class ListUsersRequest(_message.Message):
    __slots__ = ["namespace", "page_size", "page_token", "query", "room"]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    page_size: int
    page_token: str
    query: str
    room: str
    def __init__(self, room: _Optional[str] = ..., namespace: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., query: _Optional[str] = ...) -> None: ...

class ListUsersResponse(_message.Message):
    __slots__ = ["missing_nodes", "next_page_token", "partial", "users"]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    next_page_token: str
    partial: bool
    users: _containers.RepeatedCompositeFieldContainer[PresentUser]
    def __init__(self, users: _Optional[_Iterable[_Union[PresentUser, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class OnlineRequest(_message.Message):
    __slots__ = ["namespace", "users"]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    users: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, users: _Optional[_Iterable[str]] = ..., namespace: _Optional[str] = ...) -> None: ...

class OnlineResponse(_message.Message):
    __slots__ = ["missing_nodes", "online", "partial"]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    ONLINE_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    online: _containers.RepeatedScalarFieldContainer[str]
    partial: bool
    def __init__(self, online: _Optional[_Iterable[str]] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class PresentUser(_message.Message):
    __slots__ = ["data", "sockets", "user"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    data: _struct_pb2.Value
    sockets: int
    user: str
    def __init__(self, user: _Optional[str] = ..., sockets: _Optional[int] = ..., data: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class RoomCount(_message.Message):
    __slots__ = ["room", "sockets", "users"]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    room: str
    sockets: int
    users: int
    def __init__(self, room: _Optional[str] = ..., users: _Optional[int] = ..., sockets: _Optional[int] = ...) -> None: ...
