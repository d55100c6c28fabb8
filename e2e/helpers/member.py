"""A python-socketio client that prints what it receives, one JSON list per line."""
import asyncio
import json
import sys

import socketio

kind, url, token, transports = sys.argv[1:5]
options = {"reconnection_delay": 0.1, "reconnection_delay_max": 0.2, "randomization_factor": 0}
connection = {"auth": {"token": token}, "transports": transports.split(",")}


def report(*words):
    print(json.dumps(words) + "\n", end="", flush=True)  # one write: handlers run in their own threads


def listen(client):
    client.on("connect", lambda: report("connect", client.transport()))
    client.on("disconnect", lambda: report("disconnect"))
    client.on("sala:disconnect", lambda why: report("sala:disconnect", why))


def run():
    client = socketio.Client(**options)
    listen(client)
    client.connect(url, **connection)
    report("ready")
    client.wait()


async def run_async():
    client = socketio.AsyncClient(**options)
    listen(client)
    await client.connect(url, **connection)
    report("ready")
    await client.wait()


if kind == "asyncio":
    asyncio.run(run_async())
else:
    run()
