"""Sala for asyncio. The calls and handlers are those of the package sala, as coroutines:

    import sala.aio

    async with sala.aio.Client("127.0.0.1:9090", key=key) as broker:
        await broker.emit("news", {"text": "hello"}, rooms="chat:42")
"""

from sala.aio._calls import AsyncPages as Pages
from sala.aio._client import Client, EmitStream, Subscription
from sala.aio._event import AsyncEvent as Event

__all__ = ["Client", "EmitStream", "Event", "Pages", "Subscription"]
