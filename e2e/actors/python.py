"""A python-socketio client that a test drives. It reads orders as lines of JSON from
standard input and writes what happens to standard output. Its argument selects the
client: sync or asyncio."""

import asyncio
import base64
import contextlib
import json
import logging
import sys
import threading

import socketio
from socketio.exceptions import BadNamespaceError

WAIT = {"reconnection_delay": 0.1, "reconnection_delay_max": 1, "logger": False}


class GivesUp(logging.Handler):
    """Reports that the client has given up for good. python-engineio 4.3 does that when
    a POST is refused, and tells nobody."""

    def emit(self, record):
        if record.funcName == "_write_loop" and record.getMessage().startswith("Unexpected status code"):
            report(on="gives up")


def engine_log():
    """The log for the client's engine."""
    log = logging.getLogger("actor.engine")
    log.setLevel(logging.WARNING)
    log.propagate = False
    log.addHandler(GivesUp())
    return log


def encode(value):
    """Converts values that JSON can't hold."""
    if isinstance(value, (bytes, bytearray)):
        return {"$bin": base64.b64encode(value).decode()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    return value


def decode(value):
    """The inverse of encode."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if isinstance(value, dict):
        if list(value) == ["$bin"]:
            return base64.b64decode(value["$bin"])
        return {key: decode(item) for key, item in value.items()}
    return value


REPORTING = threading.Lock()  # handlers and callbacks run in their own threads


def report(**fact):
    with REPORTING:
        print(json.dumps(encode(fact)), flush=True)


def argument(args):
    """The argument of emit: a tuple for several arguments, None for none."""
    args = decode(args)
    return None if not args else args[0] if len(args) == 1 else tuple(args)


def callback(order):
    if not order.get("ack"):
        return None
    return lambda *args: report(on="ack", id=order["id"], args=list(args))


def run_sync(orders):
    client = socketio.Client(**WAIT, engineio_logger=engine_log())
    client.on("connect", lambda: report(on="connect"))
    client.on("disconnect", lambda: report(on="disconnect"))
    client.on("connect_error", lambda why=None: report(on="refused", why=why))
    client.on("*", lambda event, *args: report(on="event", event=event, args=list(args)))
    for order in orders():
        if order["do"] == "open":
            # In a thread, because connect blocks.
            threading.Thread(target=client.connect, args=(order["url"],), daemon=True, kwargs={
                "transports": order["transports"], "auth": {"token": order["token"]}}).start()
        elif order["do"] == "emit":
            with contextlib.suppress(BadNamespaceError):  # while it isn't connected
                client.emit(order["event"], argument(order["args"]), callback=callback(order))
        elif order["do"] == "close":
            client.disconnect()
            return


async def run_asyncio(orders):
    client = socketio.AsyncClient(**WAIT, engineio_logger=engine_log())
    client.on("connect", lambda: report(on="connect"))
    client.on("disconnect", lambda: report(on="disconnect"))
    client.on("connect_error", lambda why=None: report(on="refused", why=why))
    client.on("*", lambda event, *args: report(on="event", event=event, args=list(args)))
    loop, queue = asyncio.get_running_loop(), asyncio.Queue()

    def read():
        for order in orders():
            loop.call_soon_threadsafe(queue.put_nowait, order)

    threading.Thread(target=read, daemon=True).start()
    while True:
        order = await queue.get()
        if order["do"] == "open":
            await client.connect(order["url"], transports=order["transports"], auth={"token": order["token"]})
        elif order["do"] == "emit":
            with contextlib.suppress(BadNamespaceError):  # while it isn't connected
                await client.emit(order["event"], argument(order["args"]), callback=callback(order))
        elif order["do"] == "close":
            await client.disconnect()
            return


def orders():
    for line in sys.stdin:
        yield json.loads(line)
    yield {"do": "close"}


if sys.argv[1] == "sync":
    run_sync(orders)
else:
    asyncio.run(run_asyncio(orders))
