"""The client for asyncio."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, TypeVar

from sala import types
from sala._address import TLS, parse_address
from sala._emit import Emit
from sala._emit_stream import EmitStreamer
from sala._handlers import Handlers
from sala._methods import Method, Req, Resp
from sala._subscriber import Options, Subscriber, make_options
from sala._transport import KeyedChannel, Transport
from sala._values import Names, names
from sala.aio._calls import AsyncCalls
from sala.aio._event import AsyncEvent

S = TypeVar("S")


class Client(AsyncCalls):
    """A client of one broker, over one connection, for asyncio:

        async with sala.aio.Client("127.0.0.1:9090", key=key) as broker:
            await broker.emit("news", {"text": "hello"}, rooms="chat:42")

    It belongs to the event loop in which it is first used. Making one doesn't connect: a broker
    that can't be reached is an error of the first call. It connects again by itself.
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

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self,
        cls: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection and all calls that are under way. Stop the subscriptions before, so
        that they leave gracefully."""
        await self._transport.close()

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
        concurrency: how many handlers may run at the same time.
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

            async with broker.emit_stream() as stream:
                future = await stream.emit(sala.Emit("price", 42, rooms="price:abc"))
                print((await future).queued)

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

            cluster = broker.stub(cluster_pb2_grpc.ClusterServiceStub)
            nodes = await cluster.ListNodes(ListNodesRequest())

        It uses the client's connection and carries the API key. Errors are those of grpc.aio, and
        there is neither a deadline nor a retry."""
        return stub(KeyedChannel(self._transport.channel(), self._transport.metadata))

    async def _call(
        self,
        method: Method[Req, Resp],
        request: Req,
        timeout: float | None,
        repeatable: bool | None = None,
    ) -> Resp:
        return await self._transport.call(
            method, request, timeout, method.repeatable if repeatable is None else repeatable
        )

    def _stream(
        self, method: Method[Req, Resp], request: Req, timeout: float
    ) -> AsyncIterator[Resp]:
        return self._transport.stream(method, request, timeout)


class EmitStream:
    """Events on their way to the broker. Leaving its block closes it. Use it in one event loop."""

    def __init__(self, client: Client) -> None:
        self._streamer = EmitStreamer(
            client._transport, lambda: asyncio.get_running_loop().create_future()
        )

    async def emit(self, emit: Emit) -> "asyncio.Future[types.EmitResult]":
        """Adds an event, and returns the future of its result, or of its Error. Waits while 256
        events are without one. Raises Cancelled if the stream or the client is closed."""
        future: asyncio.Future[types.EmitResult] = await self._streamer.emit(emit)
        return future

    async def close(self) -> None:
        """Waits until every event has a result or an error, and ends the stream."""
        await self._streamer.close()

    async def __aenter__(self) -> "EmitStream":
        return self

    async def __aexit__(
        self,
        cls: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class Subscription(Handlers):
    """What a program does with the events of clients. Handlers are functions or coroutine
    functions; functions must not block, because they run in the event loop.

    Events of one socket are handled one after the other, different sockets at the same time. An
    event that needs an answer may be delivered again if its member of the group is lost; if it
    comes back to this subscription, which remembers the last 10,000, it isn't handled twice.
    """

    def __init__(self, client: Client, options: Options) -> None:
        super().__init__()
        self._client = client
        self._options = options
        self._subscriber: Subscriber | None = None

    async def run(self) -> None:
        """Subscribes and handles events until stop is called; subscribes again whenever the stream
        breaks. Raises Unauthenticated, PermissionDenied or InvalidArgument, which another attempt
        can't heal. When it is cancelled, it leaves gracefully first; when it is cancelled again, it
        ends at once. A subscription runs once."""
        if self._subscriber is not None:
            raise RuntimeError("a subscription runs once; make another one")
        client = self._client
        self._subscriber = Subscriber(
            client._transport,
            self._options,
            self,
            invoke,
            lambda message, kind: AsyncEvent(message, kind, client),
        )
        await self._subscriber.run()

    def stop(self) -> None:
        """Makes run leave gracefully and return: no more events are asked for, handlers finish for
        at most the grace time, and their answers are sent. Events that are left unanswered go to
        another member of the group. Call it in the event loop, for example from a signal handler:

            loop.add_signal_handler(signal.SIGTERM, chat.stop)
        """
        if self._subscriber is not None:
            self._subscriber.stop()


async def invoke(handler: Callable[..., Any], *args: Any) -> Any:
    """Calls a handler in the event loop."""
    result = handler(*args)
    return await result if inspect.isawaitable(result) else result


def make_transport(
    address: str, key: str, tls: TLS | bool | None, plaintext: bool, timeout: float
) -> Transport:
    if not key:
        raise ValueError("an API key is needed; sala serve --dev prints one")
    if any(character <= " " or character > "~" for character in key):
        raise ValueError("the API key has a character that no key has; copy it as it was printed")
    if timeout <= 0:
        raise ValueError("timeout must be above zero")
    return Transport(parse_address(address, tls, plaintext), key, timeout)
