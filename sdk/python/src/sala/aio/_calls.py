"""The calls of the client. tools/make_sync.py makes the synchronous variant, sala/_calls.py, of
this file."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from sala import _methods as methods
from sala import errors, types
from sala._emit import Emit, outcome_of
from sala._methods import Method, Req, Resp
from sala._results import plain
from sala._target import target
from sala._values import Names, encode_args, names, to_duration, to_list, to_timestamp, to_value
from sala.v1 import message_pb2, presence_pb2, room_pb2, socket_pb2, token_pb2

T = TypeVar("T")

_ACK_MARGIN = 5.0  # seconds that a call gets beyond the time that clients have for their acks


class AsyncPages(Generic[T]):
    """The entries of a list, fetched page by page while you iterate. Iterate once.

    partial: whether a node didn't answer for one of the pages so far, so that its entries are
        missing. missing_nodes has the ids of such nodes.
    truncated: whether more entries match than the list has; only of lists by size or with a query.
    """

    def __init__(self, fetch: Callable[[str], Awaitable[Any]], entries: str, cls: type[T]) -> None:
        self._fetch = fetch
        self._entries = entries
        self._class = cls
        self._page: list[T] = []
        self._next: str | None = ""
        self.partial = False
        self.missing_nodes: list[str] = []
        self.truncated = False

    def __aiter__(self) -> "AsyncPages[T]":
        return self

    async def __anext__(self) -> T:
        while not self._page:
            if self._next is None:
                raise StopAsyncIteration
            page = await self._fetch(self._next)
            self._next = page.next_page_token or None
            self._page = [
                plain(self._class, entry) for entry in reversed(getattr(page, self._entries))
            ]
            self.partial |= page.partial
            self.missing_nodes += [
                node for node in page.missing_nodes if node not in self.missing_nodes
            ]
            self.truncated |= getattr(page, "truncated", False)
        return self._page.pop()


class AsyncCalls:
    """Everything that a backend can ask of a broker.

    What holds for all calls: names of rooms, users and sockets are given as one or as several, and
    numbers stand for their text. The namespace is "/" by default. timeout is in seconds and
    replaces the client's. A call that fails raises sala.Error; arguments that can't be sent raise
    TypeError or ValueError. A report with partial set leaves out what the nodes in missing_nodes
    would have added.
    """

    async def _call(
        self,
        method: Method[Req, Resp],
        request: Req,
        timeout: float | None,
        repeatable: bool | None = None,
    ) -> Resp:
        """Makes a unary call. repeatable is that of the method by default."""
        raise NotImplementedError

    def _stream(
        self, method: Method[Req, Resp], request: Req, timeout: float
    ) -> AsyncIterator[Resp]:
        """Makes a call that is answered by several messages."""
        raise NotImplementedError

    async def emit(
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
        retry: bool = True,
        timeout: float | None = None,
    ) -> types.EmitResult:
        """Sends an event to rooms, users and sockets, minus the excluded ones. At least one of
        rooms, users and sockets is needed; broadcast reaches everyone. A socket that matches
        several times gets the event once.

        args: the event's arguments: JSON values, and bytes for binary data at any depth.
        volatile: drop the event for sockets that can't take it right now, instead of queuing it.
        skip_history: don't record the event in the history of its rooms.
        conflate_key: replaces an older event with the same key and rooms that still waits in the
            queue of a slow client.
        idempotency_key: the event of a key is sent once, however often the call is made, also by
            another process, for as long as the broker remembers keys (5 minutes by default).
        retry: whether to make the call again if the broker can't be reached. For that the event
            gets a random key unless it has one. Without keys, emits are cheaper in a cluster.
        """
        request = Emit(
            event,
            *args,
            rooms=rooms,
            users=users,
            sockets=sockets,
            except_rooms=except_rooms,
            except_users=except_users,
            except_sockets=except_sockets,
            namespace=namespace,
            volatile=volatile,
            skip_history=skip_history,
            conflate_key=conflate_key,
            idempotency_key=idempotency_key,
        ).request()
        return plain(types.EmitResult, await self._send(methods.EMIT, request, timeout, retry))

    async def broadcast(
        self,
        event: str,
        *args: Any,
        except_rooms: Names = (),
        except_users: Names = (),
        except_sockets: Names = (),
        namespace: str = "/",
        volatile: bool = False,
        idempotency_key: str = "",
        retry: bool = True,
        timeout: float | None = None,
    ) -> types.BroadcastResult:
        """Sends an event to every socket in a namespace, minus the excluded ones. The parameters
        are those of emit."""
        args_json, attachments = encode_args(args)
        request = message_pb2.BroadcastRequest(
            namespace=namespace,
            except_rooms=names(except_rooms),
            except_users=names(except_users),
            except_sockets=names(except_sockets),
            event=event,
            args_json=args_json,
            attachments=attachments,
            volatile=volatile,
            idempotency_key=idempotency_key,
        )
        return plain(
            types.BroadcastResult, await self._send(methods.BROADCAST, request, timeout, retry)
        )

    async def emit_batch(
        self, emits: Iterable[Emit], *, retry: bool = True, timeout: float | None = None
    ) -> list[types.EmitResult | errors.Error]:
        """Sends 1 to 1000 events in their order, in one call. Returns what happened to each: its
        result, or the error that says why it was sent to nobody. One that fails doesn't stop the
        others.

        If it raises an error, it is unknown which events were sent. With retry, each event gets a
        key as in emit. To call again after an error, give the events keys of your own.
        """
        requests = [emit.request() for emit in emits]
        own = [request for request in requests if retry and not request.idempotency_key]
        for request in own:
            request.idempotency_key = secrets.token_urlsafe(16)
        results = await self._send_batch(requests, timeout, retry)
        refused = [
            number
            for number, result in enumerate(results)
            if result.error.reason == "IDEMPOTENCY_DISABLED"
            and any(requests[number] is request for request in own)
        ]
        if refused:  # the operator has turned keys off, so these events can't be repeated
            for number in refused:
                requests[number].idempotency_key = ""
            again = [requests[number] for number in refused]
            for number, result in zip(refused, await self._send_batch(again, timeout, False)):
                results[number] = result
        return [outcome_of(result) for result in results]

    async def _send_batch(
        self, requests: list[message_pb2.EmitRequest], timeout: float | None, repeatable: bool
    ) -> list[message_pb2.EmitResult]:
        request = message_pb2.EmitBatchRequest(emits=requests)
        repeatable = repeatable and all(emit.idempotency_key for emit in requests)
        response = await self._call(methods.EMIT_BATCH, request, timeout, repeatable=repeatable)
        return list(response.results)

    async def _send(
        self, method: Method[Any, Resp], request: Any, timeout: float | None, retry: bool
    ) -> Resp:
        """Makes a call that sends an event, with a key that makes it safe to repeat."""
        own_key = retry and not request.idempotency_key
        if own_key:
            request.idempotency_key = secrets.token_urlsafe(16)
        try:
            return await self._call(method, request, timeout, repeatable=retry)
        except errors.FailedPrecondition as err:
            if not own_key or err.reason != "IDEMPOTENCY_DISABLED":
                raise
        # The operator has turned keys off, so this event can't be repeated.
        request.idempotency_key = ""
        return await self._call(method, request, timeout, repeatable=False)

    async def emit_with_ack(
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
        ack_timeout: float = 10.0,
        min_acks: int = 0,
    ) -> types.AckResult:
        """Sends an event as emit does and returns the clients' acks.

        ack_timeout: how many seconds to wait for acks, at most 60.
        min_acks: return as soon as so many clients have answered. 0 waits for all.

        The call isn't repeated when it fails: clients would get the event twice.
        """
        args_json, attachments = encode_args(args)
        request = message_pb2.EmitWithAckRequest(
            **target(
                rooms, users, sockets, except_rooms, except_users, except_sockets, namespace
            ),
            event=event,
            args_json=args_json,
            attachments=attachments,
            timeout=to_duration(ack_timeout),
            min_acks=min_acks,
            args_as_json=True,
        )
        acks: list[types.ClientAck] = []
        summary = message_pb2.AckSummary()
        async for response in self._stream(
            methods.EMIT_WITH_ACK, request, ack_timeout + _ACK_MARGIN
        ):
            if response.HasField("summary"):
                summary = response.summary
            else:
                acks.append(plain(types.ClientAck, response.ack))
        return types.AckResult(
            acks=acks,
            expected=summary.expected,
            answered=summary.answered,
            timed_out=summary.timed_out,
            disconnected=summary.disconnected,
            dropped=summary.dropped,
            partial=summary.partial,
            missing_nodes=list(summary.missing_nodes),
        )

    async def issue_token(
        self,
        user: str | int,
        *,
        ttl: timedelta | float | None = None,
        namespaces: Names = (),
        rooms: Names = (),
        join: Names = (),
        publish: Names = (),
        history: Names = (),
        presence: Names = (),
        broadcast: bool = False,
        data: Any = None,
        timeout: float | None = None,
    ) -> types.Token:
        """Issues a token with which a client connects as the user. Everything else is denied.

        ttl: how long the token is valid, in seconds or as a timedelta: one hour by default, at most
            30 days.
        namespaces: where the client may connect; all by default.
        rooms: rooms that the client joins when it connects.
        join, publish, history, presence: patterns of the rooms that the client may join, relay
            events into, read the history of, and see who is there, such as "chat:*".
        broadcast: whether the client may relay events to everyone.
        data: any JSON of at most 4 KiB, which backends see with the socket. The client can read it.
        """
        request = token_pb2.IssueTokenRequest(
            user=str(user),
            ttl=to_duration(ttl),
            namespaces=names(namespaces),
            rooms=names(rooms),
            join=names(join),
            publish=names(publish),
            history=names(history),
            presence=names(presence),
            broadcast=broadcast,
            data=None if data is None else to_value(data),
        )
        return plain(types.Token, await self._call(methods.ISSUE_TOKEN, request, timeout))

    async def verify_token(self, token: str, *, timeout: float | None = None) -> types.TokenResult:
        """Says what a token grants, or why a client with it would be refused. An invalid token
        isn't an error."""
        request = token_pb2.VerifyTokenRequest(token=token)
        return plain(types.TokenResult, await self._call(methods.VERIFY_TOKEN, request, timeout))

    async def revoke_tokens(
        self,
        *,
        user: str | int = "",
        token_id: str = "",
        issued_before: datetime | None = None,
        timeout: float | None = None,
    ) -> types.RevokeResult:
        """Invalidates one token by its id, or all tokens of a user that were issued before a time,
        which is now by default. Sockets that use them are disconnected."""
        request = token_pb2.RevokeTokensRequest(
            user=str(user), token_id=token_id, issued_before=to_timestamp(issued_before)
        )
        # Without a time, a second attempt would revoke what was issued after the first.
        repeatable = bool(token_id or issued_before)
        return plain(
            types.RevokeResult,
            await self._call(methods.REVOKE_TOKENS, request, timeout, repeatable),
        )

    def list_rooms(
        self,
        *,
        namespace: str = "",
        prefix: str = "",
        query: str = "",
        largest_first: bool = False,
        page_size: int = 100,
        timeout: float | None = None,
    ) -> AsyncPages[types.Room]:
        """Iterates over the rooms of a namespace, or of all, ordered by name.

        prefix: only rooms whose name begins with this.
        query: only rooms whose name contains this, whatever the case of its letters.
        largest_first: order them by their number of sockets instead.
        """
        order = room_pb2.ROOM_ORDER_SOCKETS if largest_first else room_pb2.ROOM_ORDER_NAME

        async def fetch(token: str) -> room_pb2.ListRoomsResponse:
            request = room_pb2.ListRoomsRequest(
                namespace=namespace,
                prefix=prefix,
                query=query,
                order=order,
                page_size=page_size,
                page_token=token,
            )
            return await self._call(methods.LIST_ROOMS, request, timeout)

        return AsyncPages(fetch, "rooms", types.Room)

    async def get_room(
        self, room: str | int, *, namespace: str = "/", timeout: float | None = None
    ) -> types.RoomDetails:
        """Counts a room's members. Raises NotFound if it has none."""
        request = room_pb2.GetRoomRequest(room=str(room), namespace=namespace)
        return plain(types.RoomDetails, await self._call(methods.GET_ROOM, request, timeout))

    async def clear_room(
        self,
        room: str | int,
        notice: str = "",
        *args: Any,
        namespace: str = "/",
        disconnect: bool = False,
        timeout: float | None = None,
    ) -> types.ClearResult:
        """Removes every member from a room, and disconnects them if asked to.

        notice: an event that members get before, with its arguments: JSON values without binary
            data.
        """
        request = room_pb2.ClearRoomRequest(
            room=str(room), namespace=namespace, disconnect=disconnect
        )
        if notice:
            request.notice.CopyFrom(room_pb2.Notice(event=notice, args=to_list(args)))
        return plain(types.ClearResult, await self._call(methods.CLEAR_ROOM, request, timeout))

    async def list_messages(
        self,
        room: str | int,
        *,
        last: int = 0,
        since: types.Position | None = None,
        backward: bool = False,
        limit: int = 0,
        namespace: str = "/",
        timeout: float | None = None,
    ) -> types.History:
        """Reads the history of a room: from the oldest message on, those after since, or the last
        ones.

        last: read so many of the newest messages, oldest first. Excludes since, backward and limit.
        since: read the messages after this position; with backward, those before it.
        backward: read from newer to older messages.
        limit: how many messages to return at most: 100 by default, up to 1000.

        Raises FailedPrecondition with the reason HISTORY_DISABLED if the room has no history.
        """
        request = room_pb2.ListMessagesRequest(
            room=str(room), namespace=namespace, last=last, limit=limit
        )
        if since is not None:
            request.since.CopyFrom(room_pb2.Position(epoch=since.epoch, offset=since.offset))
        if backward:
            request.direction = room_pb2.DIRECTION_BACKWARD
        return plain(types.History, await self._call(methods.LIST_MESSAGES, request, timeout))

    async def clear_messages(
        self, room: str | int, *, namespace: str = "/", timeout: float | None = None
    ) -> None:
        """Forgets the history of a room. Members stay in it."""
        request = room_pb2.ClearMessagesRequest(room=str(room), namespace=namespace)
        await self._call(methods.CLEAR_MESSAGES, request, timeout)

    def list_users(
        self,
        room: str | int = "",
        *,
        namespace: str = "/",
        query: str = "",
        page_size: int = 100,
        timeout: float | None = None,
    ) -> AsyncPages[types.PresentUser]:
        """Iterates over the users who are in a room, or in the whole namespace, ordered by name.

        query: only users whose name begins with this.
        """

        async def fetch(token: str) -> presence_pb2.ListUsersResponse:
            request = presence_pb2.ListUsersRequest(
                room=str(room),
                namespace=namespace,
                query=query,
                page_size=page_size,
                page_token=token,
            )
            return await self._call(methods.LIST_USERS, request, timeout)

        return AsyncPages(fetch, "users", types.PresentUser)

    async def count_users(
        self, rooms: Names = (), *, namespace: str = "/", timeout: float | None = None
    ) -> types.CountResult:
        """Counts the users and sockets of up to 1000 rooms, or of the whole namespace."""
        request = presence_pb2.CountRequest(rooms=names(rooms), namespace=namespace)
        return plain(types.CountResult, await self._call(methods.COUNT, request, timeout))

    async def online_users(
        self, users: Names, *, namespace: str = "/", timeout: float | None = None
    ) -> types.OnlineResult:
        """Says which of up to 1000 users are connected."""
        request = presence_pb2.OnlineRequest(users=names(users), namespace=namespace)
        return plain(types.OnlineResult, await self._call(methods.ONLINE, request, timeout))

    def list_sockets(
        self,
        *,
        namespace: str = "",
        room: str | int = "",
        user: str | int = "",
        query: str = "",
        page_size: int = 100,
        timeout: float | None = None,
    ) -> AsyncPages[types.Socket]:
        """Iterates over the sockets of a namespace, or of all, ordered by id, including those that
        are away.

        room, user: only members of this room, only sockets of this user.
        query: only sockets whose user, id or address begins with this.
        """

        async def fetch(token: str) -> socket_pb2.ListSocketsResponse:
            request = socket_pb2.ListSocketsRequest(
                namespace=namespace,
                room=str(room),
                user=str(user),
                query=query,
                page_size=page_size,
                page_token=token,
            )
            return await self._call(methods.LIST_SOCKETS, request, timeout)

        return AsyncPages(fetch, "sockets", types.Socket)

    async def get_socket(self, socket: str, *, timeout: float | None = None) -> types.SocketDetails:
        """Returns one socket. Raises NotFound if it is neither connected nor away."""
        request = socket_pb2.GetSocketRequest(id=socket)
        return plain(types.SocketDetails, await self._call(methods.GET_SOCKET, request, timeout))

    async def join_rooms(
        self,
        to: Names,
        *,
        rooms: Names = (),
        users: Names = (),
        sockets: Names = (),
        except_rooms: Names = (),
        except_users: Names = (),
        except_sockets: Names = (),
        namespace: str = "/",
        timeout: float | None = None,
    ) -> types.JoinResult:
        """Adds the sockets in rooms, of users, or with these ids to the rooms in to, at most 100,
        whatever their tokens allow. A socket joins all of them or none."""
        selector = socket_pb2.Selector(
            **target(rooms, users, sockets, except_rooms, except_users, except_sockets, namespace)
        )
        request = socket_pb2.JoinRequest(selector=selector, rooms=names(to))
        return plain(types.JoinResult, await self._call(methods.JOIN, request, timeout))

    async def leave_rooms(
        self,
        to: Names,
        *,
        rooms: Names = (),
        users: Names = (),
        sockets: Names = (),
        except_rooms: Names = (),
        except_users: Names = (),
        except_sockets: Names = (),
        namespace: str = "/",
        timeout: float | None = None,
    ) -> types.MatchResult:
        """Removes the sockets in rooms, of users, or with these ids from the rooms in to."""
        selector = socket_pb2.Selector(
            **target(rooms, users, sockets, except_rooms, except_users, except_sockets, namespace)
        )
        request = socket_pb2.LeaveRequest(selector=selector, rooms=names(to))
        return plain(types.MatchResult, await self._call(methods.LEAVE, request, timeout))

    async def update_sockets(
        self,
        data: Any,
        *,
        rooms: Names = (),
        users: Names = (),
        sockets: Names = (),
        except_rooms: Names = (),
        except_users: Names = (),
        except_sockets: Names = (),
        namespace: str = "/",
        timeout: float | None = None,
    ) -> types.MatchResult:
        """Replaces the data that backends see with the sockets in rooms, of users, or with these
        ids.

        data: any JSON of at most 4 KiB. None removes the data.
        """
        selector = socket_pb2.Selector(
            **target(rooms, users, sockets, except_rooms, except_users, except_sockets, namespace)
        )
        request = socket_pb2.UpdateRequest(selector=selector, data=to_value(data))
        return plain(types.MatchResult, await self._call(methods.UPDATE, request, timeout))

    async def disconnect_sockets(
        self,
        *,
        reason: str = "",
        rooms: Names = (),
        users: Names = (),
        sockets: Names = (),
        except_rooms: Names = (),
        except_users: Names = (),
        except_sockets: Names = (),
        namespace: str = "/",
        timeout: float | None = None,
    ) -> types.MatchResult:
        """Disconnects the sockets in rooms, of users, or with these ids.

        reason: what the clients get in "sala:disconnect", at most 255 bytes.
        """
        selector = socket_pb2.Selector(
            **target(rooms, users, sockets, except_rooms, except_users, except_sockets, namespace)
        )
        request = socket_pb2.DisconnectRequest(selector=selector, reason=reason)
        return plain(types.MatchResult, await self._call(methods.DISCONNECT, request, timeout))
