from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetKeyRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class GetKeyResponse(_message.Message):
    __slots__ = ["name", "scopes"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    name: str
    scopes: _containers.RepeatedCompositeFieldContainer[KeyScope]
    def __init__(self, name: _Optional[str] = ..., scopes: _Optional[_Iterable[_Union[KeyScope, _Mapping]]] = ...) -> None: ...

class KeyLimit(_message.Message):
    __slots__ = ["namespace", "rooms"]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    rooms: str
    def __init__(self, namespace: _Optional[str] = ..., rooms: _Optional[str] = ...) -> None: ...

class KeyScope(_message.Message):
    __slots__ = ["limits", "scope"]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedCompositeFieldContainer[KeyLimit]
    scope: str
    def __init__(self, scope: _Optional[str] = ..., limits: _Optional[_Iterable[_Union[KeyLimit, _Mapping]]] = ...) -> None: ...
