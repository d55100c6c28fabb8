"""The handlers of a subscription, as decorators register them."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, overload

from sala.errors import ClientError
from sala.v1 import event_pb2

H = TypeVar("H", bound=Callable[..., Any])

# The kinds that have a handler of their own, by number. Later releases of the broker may add some.
KINDS: dict[int, str] = {
    number: name.removeprefix("EVENT_KIND_").lower()
    for name, number in event_pb2.EventKind.items()
    if event_pb2.EVENT_KIND_CONNECT <= number <= event_pb2.EVENT_KIND_USER_LEFT
}

ANY = "*"


class Handlers:
    """Decorators for what a program does when something happens.

    Each takes the handler, and returns it unchanged:

        @chat.on("say")
        def say(event, message):
            ...

    There is one handler for each event and kind. Register all before the subscription runs.
    """

    def __init__(self) -> None:
        self._messages: dict[str, Callable[..., Any]] = {}
        self._signatures: dict[str, inspect.Signature | None] = {}  # of the handlers of messages
        self._kinds: dict[str, Callable[..., Any]] = {}
        self._hooks: dict[str, Callable[..., Any]] = {}
        self._frozen = False

    @overload
    def on(self, event: str) -> Callable[[H], H]:
        ...

    @overload
    def on(self, event: str, handler: H) -> H:
        ...

    def on(self, event: str, handler: H | None = None) -> H | Callable[[H], H]:
        """Handles an event that clients send; "*" handles all that have no handler of their own.
        The handler gets the event and then the arguments that the client sent.

        What it returns is the client's ack: nothing for an empty ack, a value for one argument, and
        Ack(a, b), or any tuple, for several. Raise ClientError to answer with an error that the
        client sees. Any other exception is logged, and the client gets the code HANDLER_FAILED. A
        client that sends more or fewer arguments than the handler takes gets INVALID_ARGUMENT.
        """
        if not event:
            raise ValueError("the name of the event is missing")

        def register(handler: H) -> H:
            self._add(self._messages, event, handler)
            self._signatures[event] = _signature(handler)
            return handler

        return register if handler is None else register(handler)

    def decide(self, handler: H) -> H:
        """Decides who may connect: the handler gets an event of the kind connect for each client
        with a valid token, before it is connected, and again when it returns to its session. Return
        nothing to accept it, or Accept(rooms, data); raise Refuse(code, message) to refuse it. Any
        other exception is logged, and the client is refused with HANDLER_FAILED."""
        return self._kind("decide", handler)

    def on_connect(self, handler: H) -> H:
        """Handles sockets that have connected."""
        return self._kind("connect", handler)

    def on_disconnect(self, handler: H) -> H:
        """Handles sockets that have disconnected; event.reason says why."""
        return self._kind("disconnect", handler)

    def on_away(self, handler: H) -> H:
        """Handles sockets whose clients have lost their connection and may return."""
        return self._kind("away", handler)

    def on_resumed(self, handler: H) -> H:
        """Handles sockets whose clients have returned."""
        return self._kind("resumed", handler)

    def on_join(self, handler: H) -> H:
        """Handles sockets that have joined event.room."""
        return self._kind("join", handler)

    def on_leave(self, handler: H) -> H:
        """Handles sockets that have left event.room."""
        return self._kind("leave", handler)

    def on_room_opened(self, handler: H) -> H:
        """Handles rooms that have their first member at a node."""
        return self._kind("room_opened", handler)

    def on_room_closed(self, handler: H) -> H:
        """Handles rooms that have lost their last member at a node."""
        return self._kind("room_closed", handler)

    def on_user_online(self, handler: H) -> H:
        """Handles users who have their first socket in a namespace."""
        return self._kind("user_online", handler)

    def on_user_offline(self, handler: H) -> H:
        """Handles users who have lost their last socket in a namespace."""
        return self._kind("user_offline", handler)

    def on_user_joined(self, handler: H) -> H:
        """Handles users who have their first socket in a room with presence."""
        return self._kind("user_joined", handler)

    def on_user_left(self, handler: H) -> H:
        """Handles users who have lost their last socket in a room with presence."""
        return self._kind("user_left", handler)

    def on_started(self, hook: H) -> H:
        """Calls the hook with a Started each time a stream has started. No event is received until
        it returns."""
        return self._hook("started", hook)

    def on_reconnect(self, hook: H) -> H:
        """Calls the hook with a Reconnect when a stream has started after another one ended, so
        that nothing is lost unseen. It is logged as well. No event is received until it returns."""
        return self._hook("reconnect", hook)

    def on_rejected(self, hook: H) -> H:
        """Calls the hook with a Rejected when the broker rejects an answer. It is logged as well.
        No event is received until it returns."""
        return self._hook("rejected", hook)

    def _kind(self, kind: str, handler: H) -> H:
        self._add(self._kinds, kind, handler)
        return handler

    def _hook(self, name: str, hook: H) -> H:
        self._add(self._hooks, name, hook)
        return hook

    def _add(
        self, handlers: dict[str, Callable[..., Any]], name: str, handler: Callable[..., Any]
    ) -> None:
        if self._frozen:
            raise RuntimeError("register handlers before the subscription runs")
        if not callable(handler):
            raise TypeError(f"the handler of {name} can't be called")
        if name in handlers:
            raise ValueError(f"there are two handlers of {name}")
        self._check(handler)
        handlers[name] = handler

    def _check(self, handler: Callable[..., Any]) -> None:
        """Raises TypeError if the subscription can't call the handler."""

    def _freeze(self, start: event_pb2.SubscribeStart) -> None:
        """Ends registration, and completes the first request of a stream with what has handlers."""
        if not (self._messages or self._kinds):
            raise ValueError("the subscription has no handlers")
        self._frozen = True
        wanted = set(self._kinds)
        if self._messages:
            wanted.add("message")
        if "decide" in wanted:
            start.decide = True
            wanted.add("connect")
        start.kinds.extend(number for number, kind in KINDS.items() if kind in wanted)
        if ANY not in self._messages:
            start.events.extend(sorted(self._messages))

    def _find(self, message: event_pb2.ClientEvent) -> Callable[..., Any] | None:
        """Returns the handler of an event, or None."""
        if message.needs_decision:
            return self._kinds.get("decide")
        if message.kind == event_pb2.EVENT_KIND_MESSAGE:
            return self._messages.get(message.event) or self._messages.get(ANY)
        return self._kinds.get(KINDS.get(message.kind, ""))

    def _check_arguments(self, event: Any) -> None:
        """Raises a ClientError if the client sent arguments that the handler doesn't take."""
        signature = self._signatures.get(event.name if event.name in self._signatures else ANY)
        if signature is None or event.kind != "message":
            return
        try:
            signature.bind(event, *event.args)
        except TypeError:
            count = len(event.args)
            raise ClientError(
                "INVALID_ARGUMENT", f"the event {event.name} doesn't take {count} arguments"
            ) from None


def _signature(handler: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(handler)
    except ValueError:  # of some functions written in C
        return None
