"""Conversions between values of Python and those of the API."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from google.protobuf import duration_pb2, json_format, struct_pb2, timestamp_pb2

Names = str | int | Iterable[str | int]
"""One name or several: of rooms, users or sockets. A number stands for its text."""


def names(given: Names) -> list[str]:
    """Returns names as the API wants them."""
    if isinstance(given, (str, int)):
        given = (given,)
    if isinstance(given, (bytes, bytearray, memoryview)):  # which would be a list of numbers
        raise TypeError(f"{given!r} is no name: rooms, users and sockets are str or int")
    result = []
    for name in given:
        if not isinstance(name, (str, int)):
            raise TypeError(f"{name!r} is no name: rooms, users and sockets are str or int")
        result.append(str(name))
    return result


def encode_args(args: Sequence[Any]) -> tuple[str, list[bytes]]:
    """Returns arguments as the text of a JSON array, and the binary data in them, for which the
    text has the placeholders of Socket.IO. Raises TypeError or ValueError for what isn't JSON."""
    attachments: list[bytes] = []

    def attach(value: Any) -> Any:
        if isinstance(value, (bytes, bytearray, memoryview)):
            attachments.append(bytes(value))
            return {"_placeholder": True, "num": len(attachments) - 1}
        raise TypeError(f"{type(value).__name__} is neither JSON nor bytes")

    def dump(ascii_only: bool) -> str:
        attachments.clear()
        return json.dumps(
            list(args),
            ensure_ascii=ascii_only,
            allow_nan=False,
            separators=(",", ":"),
            default=attach,
        )

    text = dump(ascii_only=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of an emoji, which UTF-8 can't hold, but JSON's \ud83d can
        text = dump(ascii_only=True)
    return text, attachments


def decode_args(text: str, attachments: Sequence[bytes]) -> list[Any]:
    """Returns the arguments of an event or an ack, with binary data as bytes. Raises ValueError if
    the text isn't a JSON array that Python can hold."""
    if not text:
        return []

    def restore(value: dict[str, Any]) -> Any:
        if value.get("_placeholder") is True and len(value) == 2:
            num = value.get("num")
            if isinstance(num, int) and 0 <= num < len(attachments):
                return attachments[num]
        return value

    hook = restore if attachments else None
    try:
        try:
            args = json.loads(text, object_hook=hook)
        except json.JSONDecodeError:
            raise
        except ValueError:
            # An integer of more than 4300 digits. JavaScript reads it as a float too.
            args = json.loads(text, object_hook=hook, parse_int=float)
    except RecursionError:
        raise ValueError("the arguments are nested too deeply") from None
    if not isinstance(args, list):
        raise ValueError("the arguments aren't a list")
    return args


def to_value(value: Any) -> struct_pb2.Value:
    """Returns a JSON value as the API wants it. Raises TypeError or ValueError for what isn't
    JSON."""
    try:
        return json_format.Parse(json.dumps(value, allow_nan=False), struct_pb2.Value())
    except json_format.ParseError as err:
        raise ValueError(str(err)) from None


def to_list(values: Sequence[Any]) -> struct_pb2.ListValue:
    """Returns a list of JSON values as the API wants it."""
    return to_value(list(values)).list_value


def to_timestamp(time: datetime | None) -> timestamp_pb2.Timestamp | None:
    """Returns a time as the API wants it. Raises ValueError if it has no time zone."""
    if time is None:
        return None
    if time.tzinfo is None:
        raise ValueError(f"{time} has no time zone")
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(time.astimezone(timezone.utc))
    return stamp


def to_duration(time: timedelta | float | None) -> duration_pb2.Duration | None:
    """Returns a duration as the API wants it. A number counts seconds."""
    if time is None:
        return None
    duration = duration_pb2.Duration()
    duration.FromTimedelta(time if isinstance(time, timedelta) else timedelta(seconds=time))
    return duration


def from_value(value: struct_pb2.Value) -> Any:
    """Returns a JSON value of the API. Numbers without a fraction become int."""
    match value.WhichOneof("kind"):
        case "struct_value":
            return {name: from_value(item) for name, item in value.struct_value.fields.items()}
        case "list_value":
            return [from_value(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
    return None
