"""One asyncio loop in a daemon thread, for every server of a lab."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for synchronous callers, in the order in which they ask.

    The thread is a daemon: a lab whose main thread ends without `close` takes its servers with it.
    """

    def __init__(self, name: str = "world") -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop; RuntimeError before `start` and after `close`."""
        if self._loop is None:
            raise RuntimeError(f"the loop thread {self._name!r} is not running: call start() first")
        return self._loop

    def start(self) -> None:
        """Start the thread and return once its loop turns."""
        if self._loop is not None:
            raise RuntimeError(f"the loop thread {self._name!r} runs already")
        turning: concurrent.futures.Future[None] = concurrent.futures.Future()
        # The selector is asked for by name: its transports cope with loopback servers of every kind
        # and it is the default on the systems that can bind all of 127.0.0.0/8.
        loop = asyncio.SelectorEventLoop()
        loop.call_soon(turning.set_result, None)
        thread = threading.Thread(target=self._turn, args=(loop,), name=self._name, daemon=True)
        self._loop, self._thread = loop, thread
        thread.start()
        turning.result()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run the coroutine in the loop and return its result, or raise what it raises.

        TimeoutError after `timeout` seconds, with the coroutine cancelled. Must not be called from
        the loop's own thread, which would wait for itself: RuntimeError.
        """
        try:
            self._refuse_own_thread()
            future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError:
            coroutine.close()
            raise
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Call a plain function in the loop's thread and return its result, or raise."""

        async def called() -> T:
            return function(*args)

        return self.run(called())

    def close(self) -> None:
        """Cancel what still runs, stop the loop, join the thread. Closing twice is fine."""
        if self._loop is None or self._thread is None:
            return
        self._refuse_own_thread()
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    def _refuse_own_thread(self) -> None:
        if threading.current_thread() is self._thread:
            raise RuntimeError(f"the loop thread {self._name!r} cannot wait for itself")

    @staticmethod
    def _turn(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()
