"""The stream of events that a program sends at a high rate.

It runs in one event loop. What differs between the clients of asyncio and of threads is the kind of
future that an event gets.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from sala import errors, types
from sala._emit import Emit, outcome_of
from sala._transport import FINAL, Transport, pause_before
from sala.v1 import message_pb2

WINDOW = 256
"""How many events may be without a result."""

_END_TIME = 1.0  # seconds that the broker gets to end a stream that is closed

NewFuture = Callable[[], Any]
"""Returns a future of asyncio or of concurrent.futures."""


@dataclass(slots=True)
class _Pending:
    """An event on its way."""

    request: message_pb2.EmitStreamRequest
    deadline: float  # in the time of the event loop
    future: Any


class EmitStreamer:
    """Holds one stream after the other while there are events."""

    def __init__(self, transport: Transport, new_future: NewFuture) -> None:
        self._transport = transport
        self._new_future = new_future
        self._window = asyncio.Semaphore(WINDOW)
        self._changed = asyncio.Event()  # there is something to write, or no more will come
        self._pending: deque[_Pending] = deque()  # without a result, the oldest first
        self._written = 0  # how many of them the current stream has been given
        self._sequence = 0
        self._cause: errors.Error | None = None  # why the last stream ended
        self._closing = False
        self._late: asyncio.TimerHandle | None = None
        self._running: asyncio.Task[None] | None = None

    async def emit(self, emit: Emit) -> Any:
        """Adds an event, and returns the future of its result. Waits while too many events have
        none."""
        request = emit.request()
        await self._window.acquire()
        if self._closing or self._transport.closed:
            self._window.release()
            raise errors.Cancelled("CANCELLED", "the stream of events is closed")
        self._sequence += 1
        deadline = asyncio.get_running_loop().time() + self._transport.timeout
        pending = _Pending(
            message_pb2.EmitStreamRequest(sequence=self._sequence, emit=request),
            deadline,
            self._new_future(),
        )
        self._pending.append(pending)
        if len(self._pending) == 1:
            self._set_timer()
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        self._changed.set()
        return pending.future

    async def close(self) -> None:
        """Waits until every event has a result or an error, and ends the stream."""
        self._closing = True
        self._changed.set()
        if self._running is not None:
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        attempt = 0
        try:
            while await self._has_work() and not self._transport.closed:
                attempt += 1
                failed = await self._hold()
                if self._transport.closed:
                    return
                if self._broke(failed):
                    attempt = 1
                await asyncio.sleep(pause_before(attempt))
        finally:
            self._closing = True
            if self._late is not None:
                self._late.cancel()
            closed = errors.Cancelled("CANCELLED", "the client is closed")
            while self._pending:
                self._finish(self._pending.popleft(), closed)

    async def _has_work(self) -> bool:
        """Waits for an event without a result, and returns false when no more will come."""
        while not self._pending and not self._closing:
            self._changed.clear()
            await self._changed.wait()
        return bool(self._pending)

    async def _hold(self) -> errors.Error:
        """Serves a stream until it ends, and returns why."""
        call = self._transport.emit_stream()
        reading = asyncio.create_task(self._read(call))
        writing = asyncio.create_task(self._write(call))
        try:
            await asyncio.wait([reading, writing], return_when=asyncio.FIRST_COMPLETED)
            # Once all is written and answered, nobody may be there to end the stream.
            await asyncio.wait([reading], timeout=_END_TIME)
            if reading.done() and not reading.cancelled():
                return reading.result()
            return errors.Cancelled("CANCELLED", "the call has ended")
        finally:
            reading.cancel()
            writing.cancel()
            call.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)

    async def _read(self, call: Any) -> errors.Error:
        """Settles events with their results until the stream ends, and returns why it did."""
        try:
            while True:
                response = await call.read()
                if response is grpc.aio.EOF:
                    return errors.Unavailable("UNAVAILABLE", "the broker has closed the stream")
                # One that is older than the oldest has had its time.
                if self._pending and self._pending[0].request.sequence == response.sequence:
                    self._cause = None
                    self._settle(outcome_of(response.result))
        except grpc.aio.AioRpcError as err:
            return self._transport.error(err)

    async def _write(self, call: Any) -> None:
        """Writes events until no more will come. When the stream breaks, whoever reads it learns
        why."""
        try:
            while self._pending or not self._closing:
                if self._written < len(self._pending):
                    self._written += 1
                    await call.write(self._pending[self._written - 1].request)
                else:
                    self._changed.clear()
                    await self._changed.wait()
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return

    def _settle(self, outcome: types.EmitResult | errors.Error) -> None:
        """Gives the oldest event its outcome."""
        self._finish(self._pending.popleft(), outcome)
        self._written = max(self._written - 1, 0)
        self._set_timer()
        self._changed.set()

    def _finish(self, pending: _Pending, outcome: types.EmitResult | errors.Error) -> None:
        self._window.release()
        if pending.future.done():
            return  # its owner has cancelled it
        if isinstance(outcome, errors.Error):
            pending.future.set_exception(outcome)
        else:
            pending.future.set_result(outcome)

    def _set_timer(self) -> None:
        if self._late is not None:
            self._late.cancel()
        if self._pending:
            loop = asyncio.get_running_loop()
            self._late = loop.call_at(self._pending[0].deadline, self._expire)

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._pending and self._pending[0].deadline <= now:
            self._settle(self._cause or self._transport.late())
        self._set_timer()

    def _broke(self, cause: errors.Error) -> bool:
        """Decides about the events that a stream has left without a result: those that can be sent
        again stay. Returns whether the stream had brought a result."""
        worked = self._cause is None
        self._cause = cause
        pending, self._pending = self._pending, deque()
        for number, event in enumerate(pending):
            if isinstance(cause, FINAL):
                self._finish(event, cause)
            elif number < self._written and not event.request.emit.idempotency_key:
                self._finish(event, _may_have_been_sent(cause))
            else:
                self._pending.append(event)
        self._written = 0
        self._set_timer()
        return worked


def _may_have_been_sent(cause: errors.Error) -> errors.Error:
    return errors.Unavailable(
        "UNAVAILABLE", f"{cause}; the event may have been sent, and has no key to send it again"
    )
