"""The results of calls: from the messages of the API to the dataclasses of sala.types."""

from dataclasses import fields
from datetime import timezone
from typing import Any, TypeVar

from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2
from google.protobuf.message import Message

from sala import types
from sala._values import from_value

T = TypeVar("T")


def plain(cls: type[T], message: Any) -> T:
    """Returns a message as a dataclass whose fields have the names of the message's fields."""
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    return cls(**{name: _plain_field(message, name) for name in names})


def _plain_field(message: Any, name: str) -> Any:
    value = getattr(message, name)
    enum = message.DESCRIPTOR.fields_by_name[name].enum_type
    if enum is not None:
        known = enum.values_by_number.get(value)
        prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
        return known.name.removeprefix(prefix).lower() if known else ""
    if isinstance(value, (str, bytes, int, float)):
        return value
    if isinstance(value, Message):
        return _plain_value(value) if message.HasField(name) else None
    return [_plain_value(item) for item in value]


def _plain_value(value: Any) -> Any:
    match value:
        case timestamp_pb2.Timestamp():
            return value.ToDatetime(timezone.utc)
        case duration_pb2.Duration():
            return value.ToTimedelta()
        case struct_pb2.Value():
            return from_value(value)
    if isinstance(value, Message):
        return plain(getattr(types, value.DESCRIPTOR.name), value)
    return value
