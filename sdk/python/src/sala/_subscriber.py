"""The event stream of a subscription: order, credits, redelivery, reconnects and leaving.

All of it runs in one event loop. What differs between the clients of asyncio and of threads is how
a handler is called.
"""

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc

from sala import errors, types
from sala._handlers import KINDS, Handlers
from sala._transport import FINAL, Transport, pause_before
from sala._values import encode_args, to_value
from sala.v1 import event_pb2

log = logging.getLogger("sala")

_MAX_CREDITS = 100_000
_REMEMBERED_DELIVERIES = 10_000
_REMEMBERED_BYTES = 16 << 20
_END_TIME = 2.0  # seconds that the broker gets to end the stream after the grace time

_REPLACEABLE = ("INVALID_ARGUMENT", "REQUEST_TOO_LARGE", "TOO_MANY_REQUESTS")
"""Why the broker rejects an answer after which the event can still be answered."""

_HANDLER_FAILED = event_pb2.EventError(
    code="HANDLER_FAILED", message="the backend's handler has failed"
)

Invoke = Callable[..., Awaitable[Any]]
"""Calls a handler or a hook with arguments, and returns what it returns."""

MakeEvent = Callable[[event_pb2.ClientEvent, str], Any]
"""Returns the event that a handler gets. Raises ValueError if Python can't hold its arguments."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a subscription asks for."""

    group: str
    namespaces: list[str]
    concurrency: int
    credits: int
    grace: float
    observe: bool


def make_options(
    group: str,
    namespaces: list[str],
    concurrency: int,
    credits: int | None,
    grace: float,
    observe: bool,
) -> Options:
    """Returns the options with their defaults. Raises ValueError for those that can't work."""
    if concurrency < 1:
        raise ValueError("concurrency must be at least 1")
    if credits is None:
        credits = min(2 * concurrency, _MAX_CREDITS)
    if not 1 <= credits <= _MAX_CREDITS:
        raise ValueError(f"credits must be 1 to {_MAX_CREDITS:,}")
    if grace < 0:
        raise ValueError("grace can't be negative")
    return Options(group, namespaces, concurrency, credits, grace, observe)


class _Stream:
    """One stream and what waits to be written to it. Answers go before the credits that they
    free."""

    def __init__(self, call: Any, start: event_pb2.SubscribeStart) -> None:
        self.call = call
        self.started = False
        self.finishing = False
        self.cancelled = False
        self._requests = deque([event_pb2.SubscribeRequest(start=start)])
        self._credits = 0
        self._changed = asyncio.Event()
        self._changed.set()

    def answer(self, request: event_pb2.SubscribeRequest) -> None:
        self._requests.append(request)
        self._changed.set()

    def grant(self, credits: int) -> None:
        self._credits += credits
        self._changed.set()

    def finish(self) -> None:
        """Closes the sending side once everything is written."""
        self.finishing = True
        self._changed.set()

    def cancel(self) -> None:
        """Ends the stream at once."""
        self.cancelled = True
        self.call.cancel()

    def unsent(self) -> int:
        """Returns how many answers were never written."""
        return sum(1 for request in self._requests if not request.HasField("start"))

    async def write(self) -> None:
        """Writes until the sending side is closed. When the stream breaks, whoever reads it learns
        why."""
        try:
            while not (self.finishing and not self._requests):
                await self._changed.wait()
                self._changed.clear()
                await self._write_waiting()
            await self.call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return

    async def _write_waiting(self) -> None:
        while self._requests or self._credits:
            if self._requests:
                await self.call.write(self._requests[0])
                self._requests.popleft()
            else:
                credits, self._credits = self._credits, 0
                await self.call.write(
                    event_pb2.SubscribeRequest(credit=event_pb2.EventCredit(credits=credits))
                )


@dataclass(slots=True)
class _Delivery:
    """An event on its way through a handler, and its answer."""

    message: event_pb2.ClientEvent | None  # until it is handled
    stream: _Stream | None  # that delivered it last, until it is handled
    arrivals: int = 1  # each has used a credit
    answer: event_pb2.SubscribeRequest | None = None


class _Memory:
    """The last deliveries that needed an answer."""

    def __init__(self) -> None:
        self._deliveries: OrderedDict[str, _Delivery] = OrderedDict()
        self._bytes = 0

    def get(self, delivery_id: str) -> _Delivery | None:
        return self._deliveries.get(delivery_id)

    def add(self, delivery_id: str, delivery: _Delivery) -> None:
        self._deliveries[delivery_id] = delivery

    def replace(self, delivery: _Delivery, answer: event_pb2.SubscribeRequest) -> None:
        """Replaces the answer of a delivery by a smaller one."""
        assert delivery.answer is not None
        self._bytes += answer.ByteSize() - delivery.answer.ByteSize()
        delivery.answer = answer

    def answered(self, delivery: _Delivery) -> None:
        """Counts an answer, and forgets the oldest ones if there are too many. Deliveries that are
        being handled are bounded by the credits."""
        assert delivery.answer is not None
        self._bytes += delivery.answer.ByteSize()
        while len(self._deliveries) > _REMEMBERED_DELIVERIES or self._bytes > _REMEMBERED_BYTES:
            oldest = next(
                (
                    key
                    for key, d in self._deliveries.items()
                    if d.answer is not None and d is not delivery
                ),
                None,
            )
            if oldest is None:
                return
            forgotten = self._deliveries.pop(oldest)
            assert forgotten.answer is not None
            self._bytes -= forgotten.answer.ByteSize()


@dataclass(frozen=True, slots=True)
class _Loss:
    """How a stream ended that had started."""

    cause: errors.Error | None  # None if the broker has closed it
    at: float


class Subscriber:
    """A subscription that runs: one stream after the other, until it is stopped."""

    def __init__(
        self,
        transport: Transport,
        options: Options,
        handlers: Handlers,
        invoke: Invoke,
        make_event: MakeEvent,
    ) -> None:
        self._transport = transport
        self._options = options
        self._handlers = handlers
        self._invoke = invoke
        self._make_event = make_event
        self._start = event_pb2.SubscribeStart(
            group=options.group, namespaces=options.namespaces, observe=options.observe
        )
        handlers._freeze(self._start)
        self._stream: _Stream | None = None
        self._loss: _Loss | None = None
        self._outstanding = 0  # events that have arrived and aren't handled
        self._undelivered = 0  # answers that had no stream to go to, since the last report
        self._lanes: dict[str, deque[_Delivery]] = {}  # what waits, by socket
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(options.concurrency)
        self._memory = _Memory()
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = asyncio.Event()
        self._leave_by = 0.0  # when the grace time ends

    def stop(self) -> None:
        """Makes run leave gracefully and return."""
        if not self._stopping.is_set():
            self._leave_by = time.monotonic() + self._options.grace
            self._stopping.set()

    async def run(self) -> None:
        """Subscribes and handles events until stop is called. Raises the error that ends the stream
        if another attempt would fail in the same way. When it is cancelled, it leaves gracefully
        first; when it is cancelled again, it ends at once."""
        streams = asyncio.create_task(self._hold_streams())
        try:
            try:
                await asyncio.shield(streams)
            except asyncio.CancelledError:
                self.stop()
                await streams
                raise
            finally:
                if streams.done() and not streams.cancelled():
                    await self._finish()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _finish(self) -> None:
        """Waits until nothing is handled, at most for the grace time."""
        self.stop()
        if not await _wait(self._idle, self._leave_by - time.monotonic()):
            self._log(
                logging.WARNING,
                "handlers still run after the grace time",
                events=self._outstanding,
            )

    async def _hold_streams(self) -> None:
        """Holds one stream after the other."""
        attempt = 0
        while not self._stopping.is_set():
            attempt += 1
            # Handlers of an earlier stream may still run. Each grants its credit to this one.
            self._start.credits = max(self._options.credits - self._outstanding, 0)
            stream = _Stream(self._transport.subscribe(), self._start)
            failed = await self._hold(stream)
            if isinstance(failed, FINAL) or failed is not None and self._transport.closed:
                raise failed
            if self._stopping.is_set():
                return
            if stream.started:
                attempt = 1
            pause = pause_before(attempt)
            what = "the event stream has ended" if stream.started else "can't subscribe"
            self._log(logging.WARNING, what, error=_why(failed), again_in=f"{pause:.3f}s")
            await _wait(self._stopping, pause)

    async def _hold(self, stream: _Stream) -> errors.Error | None:
        """Serves a stream until it ends, and returns what it ended with; None if the broker or this
        subscription has closed it."""
        self._stream = stream
        helpers = [asyncio.create_task(stream.write()), asyncio.create_task(self._leave(stream))]
        failed: errors.Error | None = None
        try:
            await self._read(stream)
        except grpc.aio.AioRpcError as err:
            failed = self._transport.error(err)
        except asyncio.CancelledError:  # grpc.aio raises it also if only the call was cancelled
            if self._transport.closed:
                failed = errors.Cancelled("CANCELLED", "the client is closed")
            elif not stream.cancelled:
                raise
        finally:
            stream.cancel()
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            self._stream = None
            self._undelivered += stream.unsent()
            if stream.started:
                self._loss = _Loss(failed, time.monotonic())
        return failed

    async def _read(self, stream: _Stream) -> None:
        while True:
            response = await stream.call.read()
            if response is grpc.aio.EOF:
                return
            match response.WhichOneof("response"):
                case "started":
                    await self._started(stream, response.started)
                case "event":
                    self._receive(stream, response.event)
                case "rejected":
                    await self._rejected(stream, response.rejected)

    async def _started(self, stream: _Stream, started: event_pb2.SubscribeStarted) -> None:
        stream.started = True
        loss, self._loss = self._loss, None
        report = types.Started(started.partial, list(started.missing_nodes))
        nodes = {"partial": report.partial, "missing_nodes": report.missing_nodes}
        if loss is not None:
            undelivered, self._undelivered = self._undelivered, 0
            reconnect = types.Reconnect(loss.cause, time.monotonic() - loss.at, undelivered)
            self._log(
                logging.WARNING,
                "subscribed again",
                error=_why(reconnect.cause),
                gap=f"{reconnect.gap:.3f}s",
                undelivered=reconnect.undelivered,
                **nodes,
            )
            await self._call_hook("reconnect", reconnect)
        else:
            self._log(logging.WARNING if report.partial else logging.INFO, "subscribed", **nodes)
        await self._call_hook("started", report)

    async def _rejected(self, stream: _Stream, rejected: event_pb2.EventRejected) -> None:
        """Reports that the broker has rejected an answer. If that was because of the answer itself,
        the client gets an error instead of waiting for nothing."""
        report = types.Rejected(rejected.delivery_id, rejected.reason, rejected.message)
        self._log(
            logging.WARNING,
            "the broker has rejected an answer",
            delivery=report.delivery_id,
            reason=report.reason,
            message=report.message,
        )
        delivery = self._memory.get(report.delivery_id)
        if report.reason in _REPLACEABLE and delivery is not None and delivery.answer is not None:
            failure = _failure_of(report.delivery_id, delivery.answer.HasField("decision"))
            if delivery.answer != failure:
                self._memory.replace(delivery, failure)
                stream.answer(failure)
        await self._call_hook("rejected", report)

    async def _call_hook(self, name: str, report: Any) -> None:
        hook = self._handlers._hooks.get(name)
        if hook is None:
            return
        try:
            await self._invoke(hook, report)
        except Exception:
            self._log(logging.ERROR, "a hook has failed", hook="on_" + name)

    async def _leave(self, stream: _Stream) -> None:
        """Ends the stream when the subscription is stopped. A stream that hasn't started has no
        events, and is cancelled at once."""
        await self._stopping.wait()
        if not stream.started:
            stream.cancel()
            return
        await _wait(self._idle, self._leave_by - time.monotonic())
        stream.finish()
        await asyncio.sleep(max(self._leave_by - time.monotonic(), 0) + _END_TIME)
        stream.cancel()

    def _receive(self, stream: _Stream, message: event_pb2.ClientEvent) -> None:
        needs_answer = message.needs_ack or message.needs_decision
        if needs_answer and stream.finishing:
            return  # another member gets it
        if needs_answer and message.redelivered:
            known = self._memory.get(message.delivery_id)
            if known is not None:
                self._receive_again(stream, known)
                return
        self._outstanding += 1
        self._idle.clear()
        delivery = _Delivery(message, stream)
        if needs_answer:
            self._memory.add(message.delivery_id, delivery)
        key = _lane_of(message)
        if key in self._lanes:
            self._lanes[key].append(delivery)
            return
        self._lanes[key] = deque([delivery])
        task = asyncio.create_task(self._work(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _receive_again(self, stream: _Stream, delivery: _Delivery) -> None:
        """Answers an event that this program has handled or is handling, without handling it
        twice."""
        if delivery.answer is not None:
            stream.answer(delivery.answer)
            self._grant(1)
            return
        delivery.stream = stream
        self._outstanding += 1
        delivery.arrivals += 1

    async def _work(self, key: str) -> None:
        """Handles the events of one socket, one after the other."""
        lane = self._lanes[key]
        while lane:
            async with self._slots:
                delivery = lane.popleft()
                await self._handle(delivery)
        del self._lanes[key]

    async def _handle(self, delivery: _Delivery) -> None:
        message, delivery.message = delivery.message, None
        assert message is not None
        if message.needs_decision:
            delivery.answer = event_pb2.SubscribeRequest(decision=await self._decide(message))
        else:
            reply = await self._reply(message)
            if message.needs_ack:
                delivery.answer = event_pb2.SubscribeRequest(reply=reply)
        stream, delivery.stream = delivery.stream, None
        if delivery.answer is not None:
            self._memory.answered(delivery)
            if stream is not None and stream is self._stream and not stream.finishing:
                stream.answer(delivery.answer)
            else:
                self._undelivered += 1
        self._outstanding -= delivery.arrivals
        self._grant(delivery.arrivals)
        if self._outstanding == 0:
            self._idle.set()

    def _grant(self, credits: int) -> None:
        if self._stream is not None and not self._stopping.is_set():
            self._stream.grant(credits)

    async def _reply(self, message: event_pb2.ClientEvent) -> event_pb2.EventReply:
        """Calls the handler of an event, and returns the reply with what became of it."""
        reply = event_pb2.EventReply(delivery_id=message.delivery_id)
        try:
            handler = self._handlers._find(message)
            if handler is None:  # a kind that the broker has and this library hasn't
                raise errors.ClientError("NO_HANDLER", "nothing handles this event")
            try:
                event = self._make_event(message, KINDS[message.kind])
            except ValueError as err:
                raise errors.ClientError("INVALID_ARGUMENT", str(err)) from None
            self._handlers._check_arguments(event)
            result = await self._invoke(handler, event, *event.args)
            if message.needs_ack:
                args = () if result is None else result if isinstance(result, tuple) else (result,)
                reply.args_json, attachments = encode_args(args)
                reply.attachments.extend(attachments)
        except errors.ClientError as err:
            reply.error.CopyFrom(event_pb2.EventError(code=err.code, message=err.message))
        except Exception:
            self._log_failure(message)
            reply.error.CopyFrom(_HANDLER_FAILED)
        return reply

    async def _decide(self, message: event_pb2.ClientEvent) -> event_pb2.EventDecision:
        """Calls the decide handler, and returns its decision."""
        decision = event_pb2.EventDecision(delivery_id=message.delivery_id)
        try:
            handler = self._handlers._find(message)
            assert handler is not None, "the subscription doesn't decide"
            result = await self._invoke(handler, self._make_event(message, KINDS[message.kind]))
            if result is None:
                result = types.Accept()
            if not isinstance(result, types.Accept):
                raise TypeError(
                    f"the decide handler returned {result!r}, which is neither None nor Accept; "
                    "raise Refuse to refuse"
                )
            accept = event_pb2.EventAccept(rooms=result.rooms)
            if result.data is not None:
                accept.data.CopyFrom(to_value(result.data))
            decision.accept.CopyFrom(accept)
        except errors.Refuse as err:
            decision.refuse.CopyFrom(event_pb2.EventError(code=err.code, message=err.message))
        except Exception:
            self._log_failure(message)
            decision.refuse.CopyFrom(_HANDLER_FAILED)
        return decision

    def _log_failure(self, message: event_pb2.ClientEvent) -> None:
        self._log(
            logging.ERROR,
            "a handler has failed",
            kind=KINDS.get(message.kind, ""),
            event=message.event,
            delivery=message.delivery_id,
        )

    def _log(self, level: int, what: str, /, **fields: Any) -> None:
        """Writes a log line, with the exception that is being handled if it is an error. The other
        client libraries use the same names of fields."""
        named = {"group": self._options.group} | fields
        shown = " ".join(f"{name}={value!r}" for name, value in named.items())
        log.log(level, "%s %s", what, shown, exc_info=level >= logging.ERROR)


def _failure_of(delivery_id: str, is_decision: bool) -> event_pb2.SubscribeRequest:
    """Returns the answer that says that handling an event has failed."""
    if is_decision:
        decision = event_pb2.EventDecision(delivery_id=delivery_id, refuse=_HANDLER_FAILED)
        return event_pb2.SubscribeRequest(decision=decision)
    reply = event_pb2.EventReply(delivery_id=delivery_id, error=_HANDLER_FAILED)
    return event_pb2.SubscribeRequest(reply=reply)


def _why(cause: errors.Error | None) -> str:
    return "the broker has closed it" if cause is None else str(cause)


def _lane_of(message: event_pb2.ClientEvent) -> str:
    """Returns what an event is ordered by: its socket, or else its user or room."""
    if message.HasField("socket"):
        return message.socket.id
    about = "user:" + message.user if message.user else "room:" + message.room
    return f"{about} {message.namespace}"


async def _wait(event: asyncio.Event, timeout: float) -> bool:
    """Waits until an event is set, and returns false if the time is over before."""
    if event.is_set():
        return True
    try:
        await asyncio.wait_for(event.wait(), max(timeout, 0))
    except TimeoutError:
        return False
    return True
