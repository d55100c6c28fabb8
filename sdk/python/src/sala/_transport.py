"""The connection to a broker: one channel, and calls with deadlines and retries."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import grpc

from sala import errors
from sala._address import Address
from sala._methods import Method, Req, Resp
from sala._unreachable import explain
from sala.v1 import event_pb2, message_pb2

S = TypeVar("S")

# The back-off between attempts, in seconds: the pause doubles each time, with full jitter.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0

# How long one attempt of a repeatable call takes at most. It leaves time for more attempts within
# the default deadline if a connection has died without a word.
_ATTEMPT_TIME = 4.0

# The largest message that the client receives. gRPC's own limit of 4 MiB would be too small if an
# operator raises --max-message-bytes.
_MAX_MESSAGE_BYTES = 64 << 20

FINAL = (errors.Unauthenticated, errors.PermissionDenied, errors.InvalidArgument)
"""The errors of a stream that another attempt would meet again."""

CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.primary_user_agent", "sala-python"),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    # The broker accepts a ping each 5 s. It also finds a broker whose machine has vanished.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # gRPC's own back-off would make calls fail for up to two minutes after the broker is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # how long one attempt to connect may take
]


def pause_before(attempt: int) -> float:
    """Returns how many seconds to wait before an attempt, where 1 is the first repeat."""
    return random.uniform(0, min(_FIRST_PAUSE * 2 ** min(attempt - 1, 10), _LONGEST_PAUSE))


class Transport:
    """One connection to a broker. It belongs to the event loop in which it is first used."""

    def __init__(self, address: Address, key: str, timeout: float) -> None:
        self._address = address
        self.timeout = timeout
        self._channel: grpc.aio.Channel | None = None
        self.closed = False
        self.metadata = (("authorization", f"Bearer {key}"),)

    def channel(self) -> grpc.aio.Channel:
        """Returns the channel, which connects by itself, and again when the connection breaks."""
        self._raise_if_closed()
        if self._channel is None:
            target, credentials = self._address.target, self._address.credentials
            if credentials is None:
                self._channel = grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
            else:
                self._channel = grpc.aio.secure_channel(
                    target, credentials, options=CHANNEL_OPTIONS
                )
        return self._channel

    def error(self, failed: grpc.aio.AioRpcError) -> errors.Error:
        """Returns what gRPC raised as an Error."""
        return errors.from_rpc_error(failed, self._address)

    def late(self) -> errors.Error:
        """Returns the error of something that the broker hasn't answered in time."""
        message = explain(
            self._address.target, self._address.credentials is not None, "DEADLINE_EXCEEDED", ""
        )
        return errors.DeadlineExceeded("DEADLINE_EXCEEDED", message)

    async def close(self) -> None:
        """Ends the connection and all calls that are under way."""
        self.closed = True
        if self._channel is not None:
            await self._channel.close()

    async def call(
        self, method: Method[Req, Resp], request: Req, timeout: float | None, repeatable: bool
    ) -> Resp:
        """Makes a call. If it is repeatable, it is made again when the broker can't be reached or
        an attempt takes too long, until the deadline. Any call is made again when the broker has
        refused it and says when to try again. Raises errors.Error."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        attempt = 0
        unavailable: errors.Error | None = None
        while True:
            attempt += 1
            remaining = max(deadline - time.monotonic(), 0)
            try:
                return await self._attempt(
                    method, request, min(remaining, _ATTEMPT_TIME) if repeatable else remaining
                )
            except errors.Error as err:
                pause = _pause_after(err, attempt, repeatable)
                if isinstance(err, errors.Unavailable):
                    unavailable = err
                if pause is None:
                    raise
                if time.monotonic() + pause >= deadline:
                    # That nobody answers says more than that the last attempt had no time left.
                    raise unavailable or err
            await asyncio.sleep(pause)

    async def _attempt(self, method: Method[Req, Resp], request: Req, timeout: float) -> Resp:
        call = self.channel().unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        try:
            response: Resp = await call(request, timeout=timeout, metadata=self.metadata)
        except grpc.aio.AioRpcError as err:
            raise self.error(err) from None
        except asyncio.CancelledError:
            self._raise_if_closed()
            raise
        return response

    def _raise_if_closed(self) -> None:
        """Raises the error of a call whose channel is closed: grpc.aio cancels it."""
        if self.closed:
            raise errors.Cancelled("CANCELLED", "the client is closed") from None

    async def stream(
        self, method: Method[Req, Resp], request: Req, timeout: float
    ) -> AsyncIterator[Resp]:
        """Makes a call that is answered by several messages. It is never repeated."""
        call = self.channel().unary_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        try:
            async for response in call(request, timeout=timeout, metadata=self.metadata):
                yield response
        except grpc.aio.AioRpcError as err:
            raise self.error(err) from None
        except asyncio.CancelledError:
            self._raise_if_closed()
            raise

    def subscribe(self) -> Any:
        """Opens the stream of EventService.Subscribe."""
        return self._duplex(
            "/sala.v1.EventService/Subscribe",
            event_pb2.SubscribeRequest,
            event_pb2.SubscribeResponse,
        )

    def emit_stream(self) -> Any:
        """Opens the stream of MessageService.EmitStream."""
        return self._duplex(
            "/sala.v1.MessageService/EmitStream",
            message_pb2.EmitStreamRequest,
            message_pb2.EmitStreamResponse,
        )

    def _duplex(self, path: str, request: Any, response: Any) -> Any:
        call = self.channel().stream_stream(
            path,
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return call(metadata=self.metadata)


def _pause_after(err: errors.Error, attempt: int, repeatable: bool) -> float | None:
    """Returns how long to wait before the next attempt, or None if there shouldn't be one."""
    pause = pause_before(attempt)
    if isinstance(err, errors.ResourceExhausted):  # refused before anything was done
        return None if err.retry_after is None else err.retry_after + pause
    if repeatable and isinstance(err, (errors.Unavailable, errors.DeadlineExceeded)):
        return max(pause, err.retry_after or 0)
    return None


class KeyedChannel:
    """A channel for generated stubs whose calls carry the API key. It wraps channels of grpc and of
    grpc.aio alike."""

    def __init__(self, channel: Any, metadata: tuple[tuple[str, str], ...]) -> None:
        self._channel = channel
        self._metadata = metadata

    def unary_unary(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        return self._keyed(self._channel.unary_unary(*args, **kwargs))

    def unary_stream(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        return self._keyed(self._channel.unary_stream(*args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        return self._keyed(self._channel.stream_unary(*args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        return self._keyed(self._channel.stream_stream(*args, **kwargs))

    def _keyed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, metadata: Any = (), **kwargs: Any) -> Any:
            return method(*args, metadata=(*(metadata or ()), *self._metadata), **kwargs)

        return call
