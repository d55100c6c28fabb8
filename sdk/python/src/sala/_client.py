"""The synchronous client."""

import asyncio
import concurrent.futures
import inspect
import threading
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TypeVar

import grpc

from sala import types
from sala._address import TLS, Address, parse_address
from sala._calls import Calls
from sala._emit import Emit
from sala._emit_stream import EmitStreamer
from sala._event import Event
from sala._handlers import Handlers
from sala._methods import Method, Req, Resp
from sala._runtime import Runtime
from sala._subscriber import Options, Subscriber, make_options
from sala._transport import CHANNEL_OPTIONS, KeyedChannel, Transport
from sala._values import Names, names
from sala.aio._client import make_transport

S = TypeVar("S")


class Client(Calls):
    """A client of one broker, over one connection. All threads may use it at the same time:

        broker = sala.Client("127.0.0.1:9090", key=key)
        broker.emit("news", {"text": "hello"}, rooms="chat:42")

    Making one neither connects nor starts a thread: both happen at the first call, so a client may
    be made before a server forks its workers, but not used. A broker that can't be reached is an
    error of the first call. It connects again by itself.
    """

    def __init__(
        self,
        address: str,
        *,
        key: str,
        tls: TLS | bool | None = None,
        plaintext: bool = False,
        timeout: float = 10.0,
    ) -> None:
        """
        address: host:port of the broker's gRPC listener, or http://host:port for plaintext, or
            https://host:port for TLS. Without a scheme, this machine's own addresses are plaintext
            and all others use TLS.
        key: the API key.
        tls: True, or a TLS with files.
        plaintext: connect to another machine without TLS. The API key travels in clear text then.
        timeout: how many seconds a call may take, with all its attempts.

        Raises ValueError if these contradict each other, and OSError if a file of tls can't be
        read.
        """
        self._transport = make_transport(address, key, tls, plaintext, timeout)
        self._address = parse_address(address, tls, plaintext)
        self._runtime = Runtime()
        self._stubs = _StubChannel(self._address)
        self._close = weakref.finalize(self, _close, self._runtime, self._transport, self._stubs)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        cls: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection and all calls that are under way. Stop the subscriptions before, so
        that they leave gracefully. The end of the program closes the client too."""
        self._close()

    def subscription(
        self,
        group: str = "",
        *,
        namespaces: Names = (),
        concurrency: int = 64,
        credits: int | None = None,
        grace: float = 10.0,
        observe: bool = False,
    ) -> "Subscription":
        """Returns a subscription to what clients do. Register its handlers, then run it.

        group: programs that subscribe with the same group share the work: each event goes to one of
            them. They should have the same handlers. Without a group, the program gets every event.
        namespaces: all that the API key allows by default.
        concurrency: how many handlers may run at the same time, each in a thread.
        credits: how many events may be in this program, handled or waiting for a handler; the
            broker keeps further ones. Twice the concurrency by default, at most 100,000.
        grace: how many seconds handlers get to finish when the subscription stops.
        observe: get the events without taking them from others: none needs an answer.
        """
        return Subscription(
            self, make_options(group, names(namespaces), concurrency, credits, grace, observe)
        )

    def emit_stream(self) -> "EmitStream":
        """Returns a stream that sends events at a high rate, in their order:

            with broker.emit_stream() as stream:
                future = stream.emit(sala.Emit("price", 42, rooms="price:abc"))
                print(future.result().queued)

        At most 256 events are without a result; emit waits for room. Every event gets a result or
        an error, at the latest after the client's timeout.

        When the stream breaks, another one is opened. An event with an idempotency key that has no
        result yet is then sent again, and its key keeps clients from receiving it twice. An event
        without a key isn't sent again if it may have been sent: its error is Unavailable. Unlike
        emit of the client, a stream makes no keys, because the broker sends events without one
        faster.
        """
        return EmitStream(self)

    def stub(self, stub: Callable[[Any], S]) -> S:
        """Returns one of the generated stubs, which have every call and field of the API:

            nodes = broker.stub(cluster_pb2_grpc.ClusterServiceStub).ListNodes(ListNodesRequest())

        It carries the API key. Errors are those of grpc, and there is neither a deadline nor a
        retry.
        """
        return stub(KeyedChannel(self._stubs.channel(), self._transport.metadata))

    def _call(
        self,
        method: Method[Req, Resp],
        request: Req,
        timeout: float | None,
        repeatable: bool | None = None,
    ) -> Resp:
        return self._runtime.run(
            self._transport.call(
                method, request, timeout, method.repeatable if repeatable is None else repeatable
            )
        )

    def _stream(self, method: Method[Req, Resp], request: Req, timeout: float) -> Iterator[Resp]:
        async def collect() -> list[Resp]:
            return [response async for response in self._transport.stream(method, request, timeout)]

        return iter(self._runtime.run(collect()))


class EmitStream:
    """Events on their way to the broker. Leaving its block closes it. All threads may use it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._streamer: EmitStreamer | None = None

    def emit(self, emit: Emit) -> "concurrent.futures.Future[types.EmitResult]":
        """Adds an event, and returns the future of its result, or of its Error. Waits while 256
        events are without one. Raises Cancelled if the stream or the client is closed."""
        future: concurrent.futures.Future[types.EmitResult]
        future = self._client._runtime.run(self._emit(emit))
        return future

    def close(self) -> None:
        """Waits until every event has a result or an error, and ends the stream."""
        self._client._runtime.run(self._close())

    def __enter__(self) -> "EmitStream":
        return self

    def __exit__(
        self,
        cls: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def _emit(self, emit: Emit) -> Any:
        if self._streamer is None:  # only the thread of the client's event loop comes here
            self._streamer = EmitStreamer(self._client._transport, _new_future)
        return await self._streamer.emit(emit)

    async def _close(self) -> None:
        if self._streamer is None:
            self._streamer = EmitStreamer(self._client._transport, _new_future)
        await self._streamer.close()


def _new_future() -> "concurrent.futures.Future[types.EmitResult]":
    future: concurrent.futures.Future[types.EmitResult] = concurrent.futures.Future()
    future.set_running_or_notify_cancel()  # from now on, nobody can cancel it
    return future


class _StubChannel:
    """A channel for generated stubs, which need one that isn't of asyncio. It is opened when it is
    first needed."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None

    def channel(self) -> grpc.Channel:
        with self._lock:
            if self._channel is None:
                target, credentials = self._address.target, self._address.credentials
                if credentials is None:
                    self._channel = grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
                else:
                    self._channel = grpc.secure_channel(
                        target, credentials, options=CHANNEL_OPTIONS
                    )
            return self._channel

    def close(self) -> None:
        with self._lock:
            if self._channel is not None:
                self._channel.close()


def _close(runtime: Runtime, transport: Transport, stubs: _StubChannel) -> None:
    runtime.close(transport.close())
    stubs.close()


class Subscription(Handlers):
    """What a program does with the events of clients. Handlers are functions, and each call of one
    runs in a thread.

    Events of one socket are handled one after the other, different sockets at the same time. An
    event that needs an answer may be delivered again if its member of the group is lost; if it
    comes back to this subscription, which remembers the last 10,000, it isn't handled twice.
    """

    def __init__(self, client: Client, options: Options) -> None:
        super().__init__()
        self._client = client
        self._options = options
        self._lock = threading.Lock()
        self._subscriber: Subscriber | None = None
        self._ended: concurrent.futures.Future[None] | None = None

    def run(self) -> None:
        """Subscribes and handles events until stop is called; subscribes again whenever the stream
        breaks. Raises Unauthenticated, PermissionDenied or InvalidArgument, which another attempt
        can't heal. When it is interrupted, as by Ctrl-C, it leaves gracefully first. A subscription
        runs once."""
        self.start()
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        """Begins what run does, and returns at once: for programs that do something else meanwhile,
        such as a web server. Call wait or stop later."""
        with self._lock:
            if self._ended is not None:
                raise RuntimeError("a subscription runs once; make another one")
            client = self._client
            pool = concurrent.futures.ThreadPoolExecutor(self._options.concurrency, "sala-handler")

            async def invoke(handler: Callable[..., Any], *args: Any) -> Any:
                return await asyncio.get_running_loop().run_in_executor(pool, handler, *args)

            self._subscriber = Subscriber(
                client._transport,
                self._options,
                self,
                invoke,
                lambda message, kind: Event(message, kind, client),
            )
            self._ended = client._runtime.submit(_run(self._subscriber, pool))

    def wait(self) -> None:
        """Waits until the subscription has ended. Raises the error that ended it, if any."""
        if self._ended is None:
            raise RuntimeError("the subscription hasn't been started")
        try:
            self._ended.result()
        except concurrent.futures.CancelledError:
            return  # the client was closed

    def stop(self, *, wait: bool = True) -> None:
        """Leaves gracefully: no more events are asked for, handlers finish for at most the grace
        time, and their answers are sent. Events that are left unanswered go to another member of
        the group. Any thread may call it.

        wait: whether to return only when the subscription has ended. Pass False in a handler.
        """
        with self._lock:
            ended, subscriber = self._ended, self._subscriber
        if ended is None or subscriber is None or ended.done():
            return
        self._client._runtime.run(_stop(subscriber))
        if wait:
            concurrent.futures.wait([ended])

    def _check(self, handler: Callable[..., Any]) -> None:
        if inspect.iscoroutinefunction(handler):
            raise TypeError(
                f"{handler.__name__} is a coroutine function; use sala.aio.Client for it"
            )


async def _run(subscriber: Subscriber, pool: concurrent.futures.ThreadPoolExecutor) -> None:
    try:
        await subscriber.run()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


async def _stop(subscriber: Subscriber) -> None:
    subscriber.stop()
