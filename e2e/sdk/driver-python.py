"""The driver of the Python library. README.md describes the protocol. Its argument selects the
client: sync or asyncio."""

import asyncio
import base64
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "sdk" / "python" / "src"))

import sala  # noqa: E402

WRITING = threading.Lock()


def write(line):
    text = json.dumps(line, default=encode)
    with WRITING:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def encode(value):
    """Converts values that JSON can't hold: bytes, times and durations."""
    if isinstance(value, bytes):
        return {"$bin": base64.b64encode(value).decode()}
    return str(value) if not hasattr(value, "isoformat") else value.isoformat()


def decode(value):
    """Restores the binary values of a command."""
    return base64.b64decode(value["$bin"]) if list(value) == ["$bin"] else value


def failure(err):
    if not isinstance(err, sala.Error):
        return {"code": "", "message": str(err)}
    fields = [asdict(violation) for violation in err.violations]
    return {
        "code": err.code,
        "reason": err.reason,
        "message": err.message,
        "fields": fields,
        "metadata": err.metadata,
    }


def pick(p, **names):
    """Returns the parameters that are set, by the library's names."""
    return {ours: p[theirs] for ours, theirs in names.items() if theirs in p}


def seconds(p, ours="timeout", theirs="timeoutMs"):
    return {ours: p[theirs] / 1000} if theirs in p else {}


def target(p):
    return pick(
        p,
        namespace="namespace",
        rooms="rooms",
        users="users",
        sockets="sockets",
        except_rooms="exceptRooms",
        except_users="exceptUsers",
        except_sockets="exceptSockets",
    )


def camel(report, *leave_out):
    """Returns a report with the names of the protocol."""
    values = asdict(report)
    words = {name: name.split("_") for name in values if name not in leave_out}
    return {
        first + "".join(map(str.title, rest)): values[name]
        for name, (first, *rest) in words.items()
    }


def emit(broker, p):
    more = pick(
        p,
        volatile="volatile",
        skip_history="skipHistory",
        conflate_key="conflateKey",
        idempotency_key="idempotencyKey",
        retry="retry",
    )
    return broker.emit(p["event"], *p["args"], **target(p), **more, **seconds(p))


def broadcast(broker, p):
    more = pick(p, volatile="volatile", idempotency_key="idempotencyKey", retry="retry")
    return broker.broadcast(p["event"], *p["args"], **target(p), **more, **seconds(p))


def emits_of(p):
    return [
        sala.Emit(
            one["event"],
            *one.get("args", []),
            **target(one),
            **pick(one, volatile="volatile", idempotency_key="idempotencyKey"),
        )
        for one in p["emits"]
    ]


def outcomes(results):
    return {
        "results": [
            {"error": failure(one)} if isinstance(one, sala.Error) else camel(one)
            for one in results
        ]
    }


def emit_with_ack(broker, p):
    more = pick(p, min_acks="minAcks") | seconds(p, "ack_timeout", "ackTimeoutMs")
    return broker.emit_with_ack(p["event"], *p["args"], **target(p), **more)


def issue_token(broker, p):
    more = pick(
        p,
        ttl="ttlSeconds",
        namespaces="namespaces",
        rooms="rooms",
        join="join",
        publish="publish",
        broadcast="broadcast",
        data="data",
    )
    return broker.issue_token(p["user"], **more, **seconds(p))


def clear_room(broker, p):
    notice = p.get("notice")
    event = [notice["event"], *notice.get("args", [])] if notice else []
    more = pick(p, namespace="namespace", disconnect="disconnect")
    return broker.clear_room(p["room"], *event, **more, **seconds(p))


def revoke_tokens(broker, p):
    return broker.revoke_tokens(**pick(p, user="user", token_id="tokenId"), **seconds(p))


def list_rooms(broker, p):
    more = pick(p, prefix="prefix", namespace="namespace", page_size="pageSize")
    return broker.list_rooms(**more, **seconds(p))


def get_room(broker, p):
    return broker.get_room(p["room"], **pick(p, namespace="namespace"), **seconds(p))


def list_messages(broker, p):
    return broker.list_messages(p["room"], **pick(p, last="last"), **seconds(p))


def clear_messages(broker, p):
    return broker.clear_messages(p["room"], **seconds(p))


def list_users(broker, p):
    return broker.list_users(p["room"], **pick(p, page_size="pageSize"), **seconds(p))


def list_sockets(broker, p):
    more = pick(p, room="room", user="user", page_size="pageSize")
    return broker.list_sockets(**more, **seconds(p))


def get_socket(broker, p):
    return broker.get_socket(p["socket"], **seconds(p))


def update_sockets(broker, p):
    return broker.update_sockets(p["data"], **target(p), **seconds(p))


def disconnect_sockets(broker, p):
    return broker.disconnect_sockets(**target(p), **pick(p, reason="reason"), **seconds(p))


def socket_fields(socket):
    return {"id": socket.id, "user": socket.user, "rooms": socket.rooms, "data": socket.data}


def verified(report):
    claims = report.claims
    granted = {"user": claims.user, "join": claims.join, "data": claims.data} if claims else {}
    return {"valid": report.valid, "reason": report.reason, **granted}


def with_acks(report):
    acks = [{"socket": ack.socket, "user": ack.user, "args": ack.args} for ack in report.acks]
    return {"acks": acks, "summary": camel(report, "acks")}


def messages(history):
    entries = [{"event": m.event, "args": m.args, "offset": m.offset} for m in history.messages]
    return {
        "messages": entries,
        "epoch": history.epoch,
        "offset": history.offset,
        "complete": history.complete,
    }


# Each command: the call, and the function that makes the protocol's result of the library's. For
# lists that is the name of the entries, and the function for each.
CALLS = {
    "emit": (emit, camel),
    "emitBatch": (lambda broker, p: broker.emit_batch(emits_of(p), **seconds(p)), outcomes),
    "broadcast": (broadcast, camel),
    "emitWithAck": (emit_with_ack, with_acks),
    "issueToken": (issue_token, camel),
    "verifyToken": (lambda broker, p: broker.verify_token(p["token"], **seconds(p)), verified),
    "revokeTokens": (revoke_tokens, camel),
    "listRooms": (list_rooms, ("rooms", camel)),
    "getRoom": (get_room, camel),
    "clearRoom": (clear_room, camel),
    "listMessages": (list_messages, messages),
    "clearMessages": (clear_messages, lambda nothing: {}),
    "listUsers": (list_users, ("users", camel)),
    "listSockets": (list_sockets, ("sockets", socket_fields)),
    "getSocket": (get_socket, lambda details: socket_fields(details.socket)),
    "joinRooms": (lambda broker, p: broker.join_rooms(p["to"], **target(p), **seconds(p)), camel),
    "leaveRooms": (lambda broker, p: broker.leave_rooms(p["to"], **target(p), **seconds(p)), camel),
    "updateSockets": (update_sockets, camel),
    "disconnectSockets": (disconnect_sockets, camel),
    "countUsers": (lambda broker, p: broker.count_users(p["of"], **seconds(p)), camel),
    "onlineUsers": (lambda broker, p: broker.online_users(p["of"], **seconds(p)), camel),
}


def listed(shape, entries, pages):
    name, entry = shape
    nodes = {"partial": pages.partial, "missingNodes": pages.missing_nodes}
    return {name: [entry(item) for item in entries], **nodes}


def dialled(client, p):
    tls = sala.TLS(**p["tls"]) if "tls" in p else None
    return client(
        p["address"], key=p["key"], tls=tls, plaintext=p.get("plaintext", False), **seconds(p)
    )


def began(event, kind):
    socket = event.socket
    write(
        {
            "event": "handling",
            "kind": kind,
            "name": event.name,
            "socket": socket.id if socket else "",
            "user": event.user,
            "namespace": event.namespace,
            "args": event.args,
            "needsAck": event.needs_ack,
            "redelivered": event.redelivered,
            "room": event.room,
            "reason": event.reason,
            "data": socket.data if socket else None,
            "delivery": event.delivery_id,
        }
    )


def ended(event, kind):
    socket = event.socket
    write(
        {
            "event": "handled",
            "kind": kind,
            "name": event.name,
            "socket": socket.id if socket else "",
            "args": event.args,
            "delivery": event.delivery_id,
        }
    )


def outcome(behaviour, args):
    """What a handler returns or raises at last."""
    match behaviour:
        case "echo":
            return sala.Ack(*args)
        case "first" | "hold":
            return args[0]
        case "refuse":
            raise sala.ClientError("MODERATED", "mind your language")
        case "crash":
            raise RuntimeError("the secret of this handler")
        case "large":
            return "x" * 2_000_000
    return None


def verdict(decisions, user):
    """What a decide handler returns or raises."""
    decision = decisions.get(user, decisions.get("*", "nothing"))
    if decision == "crash":
        raise RuntimeError("the secret of this handler")
    if decision == "nothing":
        return None
    if "refuse" in decision:
        raise sala.Refuse(decision["refuse"]["code"], decision["refuse"].get("message", ""))
    return sala.Accept(**decision["accept"])


def commands():
    for line in sys.stdin:
        yield json.loads(line, object_hook=decode)


class Driver:
    """What both drivers have in common."""

    def __init__(self):
        self.held = {}
        self.lock = threading.Lock()

    def hold(self, value):
        with self.lock:
            return self.held.setdefault(json.dumps(value), self.new_event())

    def subscribe(self, p):
        more = pick(
            p, namespaces="namespaces", concurrency="concurrency", credits="credits"
        ) | seconds(p, "grace", "graceMs")
        self.chat = chat = self.broker.subscription(p.get("group", ""), **more)
        chat.on_started(
            lambda r: write(
                {"event": "started", "partial": r.partial, "missingNodes": r.missing_nodes}
            )
        )
        chat.on_reconnect(
            lambda r: write(
                {
                    "event": "reconnect",
                    "reason": (r.cause.reason or r.cause.code) if r.cause else "",
                    "gapMs": r.gap * 1000,
                    "undelivered": r.undelivered,
                }
            )
        )
        chat.on_rejected(
            lambda r: write({"event": "rejected", "reason": r.reason, "delivery": r.delivery_id})
        )
        for name, behaviour in p.get("on", {}).items():
            chat.on(name, self.handler(behaviour))
        for kind in p.get("kinds", []):
            getattr(chat, f"on_{kind}")(self.handler("nothing"))
        if "decide" in p:
            chat.decide(self.decider(p["decide"]))


class Sync(Driver):
    """Drives sala.Client. Each command runs in a thread."""

    new_event = threading.Event

    def run(self):
        with ThreadPoolExecutor(200) as pool:
            for command in commands():
                if command["do"] in ("dial", "subscribe"):  # what follows needs them
                    self.answer(command)
                else:
                    pool.submit(self.answer, command)

    def answer(self, p):
        try:
            write({"id": p["id"], "result": self.do(p["do"], p)})
        except Exception as err:
            write({"id": p["id"], "error": failure(err)})

    def do(self, do, p):
        match do:
            case "dial":
                self.broker = dialled(sala.Client, p)
            case "close":
                self.broker.close()
            case "subscribe":
                self.subscribe(p)
                threading.Thread(target=self.listen, daemon=True).start()
            case "release":
                self.hold(p["value"]).set()
            case "stop":
                self.chat.stop()
            case "emitStream":
                with self.broker.emit_stream() as stream:
                    futures = [stream.emit(one) for one in emits_of(p)]
                return outcomes([future.exception() or future.result() for future in futures])
            case _:
                call, shape = CALLS[do]
                result = call(self.broker, p)
                return (
                    listed(shape, list(result), result)
                    if isinstance(shape, tuple)
                    else shape(result)
                )
        return {}

    def listen(self):
        try:
            self.chat.run()
            write({"event": "ended"})
        except Exception as err:
            write({"event": "ended", "error": failure(err)})

    def handler(self, behaviour):
        def handle(event, *args):
            began(event, event.kind)
            try:
                if behaviour == "hold":
                    self.hold(args[0]).wait()
                if behaviour == "forward":
                    event.emit("forwarded", *args)
                    event.emit_to(args[0], "forwarded", *args)
                return outcome(behaviour, args)
            finally:
                ended(event, event.kind)

        return handle

    def decider(self, decisions):
        def decide(event):
            began(event, "decide")
            try:
                return verdict(decisions, event.user)
            finally:
                ended(event, "decide")

        return decide


class Asyncio(Driver):
    """Drives sala.aio.Client. Each command is a task."""

    new_event = asyncio.Event

    async def run(self):
        loop, queue, tasks = asyncio.get_running_loop(), asyncio.Queue(), set()

        def read():
            for command in commands():
                loop.call_soon_threadsafe(queue.put_nowait, command)
            loop.call_soon_threadsafe(queue.put_nowait, None)

        threading.Thread(target=read, daemon=True).start()
        while (command := await queue.get()) is not None:
            task = asyncio.create_task(self.answer(command))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def answer(self, p):
        try:
            write({"id": p["id"], "result": await self.do(p["do"], p)})
        except Exception as err:
            write({"id": p["id"], "error": failure(err)})

    async def do(self, do, p):
        match do:
            case "dial":
                self.broker = dialled(sala.aio.Client, p)
            case "close":
                await self.broker.close()
            case "subscribe":
                self.subscribe(p)
                self.listening = asyncio.create_task(self.listen())
            case "release":
                self.hold(p["value"]).set()
            case "stop":
                self.chat.stop()
                await asyncio.wait([self.listening])
            case "emitStream":
                async with self.broker.emit_stream() as stream:
                    futures = [await stream.emit(one) for one in emits_of(p)]
                return outcomes(await asyncio.gather(*futures, return_exceptions=True))
            case _:
                call, shape = CALLS[do]
                result = call(self.broker, p)
                if isinstance(shape, tuple):
                    return listed(shape, [entry async for entry in result], result)
                return shape(await result)
        return {}

    async def listen(self):
        try:
            await self.chat.run()
            write({"event": "ended"})
        except Exception as err:
            write({"event": "ended", "error": failure(err)})

    def handler(self, behaviour):
        async def handle(event, *args):
            began(event, event.kind)
            try:
                if behaviour == "hold":
                    await self.hold(args[0]).wait()
                if behaviour == "forward":
                    await event.emit("forwarded", *args)
                    await event.emit_to(args[0], "forwarded", *args)
                return outcome(behaviour, args)
            finally:
                ended(event, event.kind)

        return handle

    def decider(self, decisions):
        async def decide(event):
            began(event, "decide")
            try:
                return verdict(decisions, event.user)
            finally:
                ended(event, "decide")

        return decide


if sys.argv[1] == "sync":
    Sync().run()
else:
    asyncio.run(Asyncio().run())
