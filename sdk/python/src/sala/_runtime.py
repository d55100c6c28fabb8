"""The event loop behind the synchronous client, in a thread of its own."""

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from sala.errors import Cancelled

T = TypeVar("T")


class Runtime:
    """Runs coroutines for other threads. Its thread starts with the first one. All methods may be
    called by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._closed = False

    def submit(self, work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """Starts a coroutine."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self._running_loop())
        except BaseException:
            work.close()
            raise

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine and returns its result. If the caller is interrupted meanwhile, it is
        cancelled."""
        future = self.submit(work)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise Cancelled("CANCELLED", "the client is closed") from None
        except BaseException:
            future.cancel()
            raise

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Cancels what runs, runs a last coroutine, and ends the thread. Waits for that, unless it
        runs in that thread, where a client may be collected."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None or self._pid != os.getpid():
            last.close()
            return
        if thread is threading.current_thread():
            stop = loop.stop
            loop.create_task(_end(last)).add_done_callback(lambda _: stop())
            return
        asyncio.run_coroutine_threadsafe(_end(last), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise Cancelled("CANCELLED", "the client is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._loop.set_exception_handler(_report)
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="sala", daemon=True
                )
                self._thread.start()
                self._pid = os.getpid()
            elif self._pid != os.getpid():
                raise RuntimeError(
                    "this client was used before the process forked; "
                    "make a client, or use it for the first time, in the child"
                )
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.close()


async def _end(last: Coroutine[Any, Any, None]) -> None:
    running = asyncio.all_tasks() - {asyncio.current_task()}
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await last


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Reports what failed in the loop, except what grpc.aio raises without harm if there are
    several loops in a process: each is woken, and one finds the work (grpc/grpc issue 25364)."""
    if not isinstance(context.get("exception"), BlockingIOError):
        loop.default_exception_handler(context)
