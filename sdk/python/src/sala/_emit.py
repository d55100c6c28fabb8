"""An event and its target, as one value."""

from typing import Any

from sala import errors, types
from sala._results import plain
from sala._target import target
from sala._values import Names, encode_args
from sala.v1 import message_pb2


class Emit:
    """One event of a batch or of a stream, and who gets it. The parameters are those of emit:

    sala.Emit("news", {"text": "hello"}, rooms="chat:42", idempotency_key="news-7")
    """

    def __init__(
        self,
        event: str,
        *args: Any,
        rooms: Names = (),
        users: Names = (),
        sockets: Names = (),
        except_rooms: Names = (),
        except_users: Names = (),
        except_sockets: Names = (),
        namespace: str = "/",
        volatile: bool = False,
        skip_history: bool = False,
        conflate_key: str = "",
        idempotency_key: str = "",
    ) -> None:
        """Raises TypeError or ValueError if the arguments aren't JSON."""
        args_json, attachments = encode_args(args)
        self._request = message_pb2.EmitRequest(
            **target(
                rooms, users, sockets, except_rooms, except_users, except_sockets, namespace
            ),
            event=event,
            args_json=args_json,
            attachments=attachments,
            volatile=volatile,
            skip_history=skip_history,
            conflate_key=conflate_key,
            idempotency_key=idempotency_key,
        )

    def request(self) -> message_pb2.EmitRequest:
        """Returns the event as the API takes it, for one call."""
        request = message_pb2.EmitRequest()
        request.CopyFrom(self._request)
        return request

    def __repr__(self) -> str:
        return f"<Emit {self._request.event!r}>"


def outcome_of(result: message_pb2.EmitResult) -> types.EmitResult | errors.Error:
    """Returns what happened to an event of a batch or of a stream."""
    if not result.HasField("error"):
        return plain(types.EmitResult, result)
    failed = result.error
    return errors.make_error(errors.name_of(failed.code), failed.message, reason=failed.reason)
