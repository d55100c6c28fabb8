from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
DIRECTION_BACKWARD: Direction
DIRECTION_FORWARD: Direction
DIRECTION_UNSPECIFIED: Direction
ROOM_ORDER_NAME: RoomOrder
ROOM_ORDER_SOCKETS: RoomOrder
ROOM_ORDER_UNSPECIFIED: RoomOrder

class ClearMessagesRequest(_message.Message):
    __slots__ = ["namespace", "room"]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    room: str
    def __init__(self, room: _Optional[str] = ..., namespace: _Optional[str] = ...) -> None: ...

class ClearMessagesResponse(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class ClearRoomRequest(_message.Message):
    __slots__ = ["disconnect", "namespace", "notice", "room"]
    DISCONNECT_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    disconnect: bool
    namespace: str
    notice: Notice
    room: str
    def __init__(self, room: _Optional[str] = ..., namespace: _Optional[str] = ..., notice: _Optional[_Union[Notice, _Mapping]] = ..., disconnect: bool = ...) -> None: ...

class ClearRoomResponse(_message.Message):
    __slots__ = ["missing_nodes", "partial", "removed"]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    partial: bool
    removed: int
    def __init__(self, removed: _Optional[int] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class GetRoomRequest(_message.Message):
    __slots__ = ["namespace", "room"]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    room: str
    def __init__(self, room: _Optional[str] = ..., namespace: _Optional[str] = ...) -> None: ...

class GetRoomResponse(_message.Message):
    __slots__ = ["missing_nodes", "name", "namespace", "partial", "sockets", "users"]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    name: str
    namespace: str
    partial: bool
    sockets: int
    users: int
    def __init__(self, name: _Optional[str] = ..., namespace: _Optional[str] = ..., sockets: _Optional[int] = ..., users: _Optional[int] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class ListMessagesRequest(_message.Message):
    __slots__ = ["direction", "last", "limit", "namespace", "room", "since"]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    direction: Direction
    last: int
    limit: int
    namespace: str
    room: str
    since: Position
    def __init__(self, room: _Optional[str] = ..., namespace: _Optional[str] = ..., last: _Optional[int] = ..., since: _Optional[_Union[Position, _Mapping]] = ..., direction: _Optional[_Union[Direction, str]] = ..., limit: _Optional[int] = ...) -> None: ...

class ListMessagesResponse(_message.Message):
    __slots__ = ["complete", "epoch", "messages", "offset"]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    complete: bool
    epoch: str
    messages: _containers.RepeatedCompositeFieldContainer[RoomMessage]
    offset: int
    def __init__(self, messages: _Optional[_Iterable[_Union[RoomMessage, _Mapping]]] = ..., epoch: _Optional[str] = ..., offset: _Optional[int] = ..., complete: bool = ...) -> None: ...

class ListRoomsRequest(_message.Message):
    __slots__ = ["namespace", "order", "page_size", "page_token", "prefix", "query"]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    order: RoomOrder
    page_size: int
    page_token: str
    prefix: str
    query: str
    def __init__(self, namespace: _Optional[str] = ..., prefix: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., query: _Optional[str] = ..., order: _Optional[_Union[RoomOrder, str]] = ...) -> None: ...

class ListRoomsResponse(_message.Message):
    __slots__ = ["missing_nodes", "next_page_token", "partial", "rooms", "time", "truncated"]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    next_page_token: str
    partial: bool
    rooms: _containers.RepeatedCompositeFieldContainer[Room]
    time: _timestamp_pb2.Timestamp
    truncated: bool
    def __init__(self, rooms: _Optional[_Iterable[_Union[Room, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ..., truncated: bool = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ["args", "event"]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    args: _struct_pb2.ListValue
    event: str
    def __init__(self, event: _Optional[str] = ..., args: _Optional[_Union[_struct_pb2.ListValue, _Mapping]] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ["epoch", "offset"]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    epoch: str
    offset: int
    def __init__(self, epoch: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class Room(_message.Message):
    __slots__ = ["name", "namespace", "sockets"]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    name: str
    namespace: str
    sockets: int
    def __init__(self, name: _Optional[str] = ..., namespace: _Optional[str] = ..., sockets: _Optional[int] = ...) -> None: ...

class RoomMessage(_message.Message):
    __slots__ = ["args_json", "attachments", "event", "idempotency_key", "offset", "time"]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    args_json: str
    attachments: _containers.RepeatedScalarFieldContainer[bytes]
    event: str
    idempotency_key: str
    offset: int
    time: _timestamp_pb2.Timestamp
    def __init__(self, offset: _Optional[int] = ..., event: _Optional[str] = ..., args_json: _Optional[str] = ..., attachments: _Optional[_Iterable[bytes]] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class RoomPosition(_message.Message):
    __slots__ = ["epoch", "offset", "room"]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    epoch: str
    offset: int
    room: str
    def __init__(self, room: _Optional[str] = ..., epoch: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class RoomOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Direction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
