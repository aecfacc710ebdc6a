"""Structured concurrency for threads: bounded channels and scopes in which the first error wins.

A `Scope` owns the threads started in it. The first exception of any of them
cancels all the others (every channel wakes, every cancel callback runs) and
is the one that leaves the `with` block. No thread outlives its scope.
"""

from __future__ import annotations

import mmap
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Generic, TypeVar

from parasync.config import INTERRUPT_SECONDS
from parasync.tracing import OFF, Tracer

T = TypeVar("T")


def page_buffer(size: int) -> mmap.mmap:
    """A buffer that begins with a page, for what the kernel copies into it.

    A large `bytearray` begins 16 bytes behind one. Measured on AMD's Zen 3: the kernel copies from the beginning of a
    page to 8, 16 or 24 bytes behind that of another at 2.1 GB/s, to its beginning or to 32 bytes behind it at 6.8.
    """
    return mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


class Cancelled(BaseException):
    """Raised inside a thread whose scope was cancelled; never leaves the scope."""


class _Task:
    """One thread of a scope. `over` is written before `done` is released, and is what counts."""

    def __init__(self) -> None:
        self.begun = False
        self.over = False
        self.done = threading.Lock()
        self.done.acquire()

    def end(self) -> None:
        self.over = True
        self.done.release()


class Scope:
    """A group of threads that end together.

    Leaving the `with` block waits for all of them. An exception in the block
    itself counts like one in a thread. `on_error` hears of the first one, on
    the thread that raised it and before anything is cancelled.
    """

    def __init__(
        self, name: str, on_error: Callable[[BaseException], None] | None = None, tracer: Tracer = OFF
    ) -> None:
        self._name = name
        self._on_error = on_error
        self.span = tracer.span
        self._lock = threading.Lock()
        self._tasks: list[_Task] = []
        self._callbacks: list[Callable[[], None]] = []
        self._error: BaseException | None = None
        self.cancelled = False

    def __enter__(self) -> Scope:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.cancel(error)
        try:
            self._join()
        except KeyboardInterrupt as interrupt:
            self.cancel(interrupt)
            self._join()
        if self._error is not None and self._error is not error:
            raise self._error

    def spawn(self, target: Callable[..., None], *args: object, name: str = "") -> None:
        """Run `target(*args)` on a thread of this scope."""
        task = _Task()
        thread = threading.Thread(
            target=self._run, args=(task, target, args), name=f"{self._name}:{name or target.__name__}", daemon=True
        )
        try:
            with self._lock:
                self._tasks.append(task)
            thread.start()
        except BaseException:
            # Interrupted, perhaps before the thread came up: if it still does, it finds that it is not wanted.
            with self._lock:
                if not task.begun:
                    task.over = True
            raise

    def cancel(self, error: BaseException | None = None) -> None:
        """Wake everything that waits in this scope; the first error given is the one reported."""
        with self._lock:
            news = self._error is None and error is not None and not isinstance(error, Cancelled)
            if news:
                self._error = error
        if news and error is not None and self._on_error is not None:
            self._on_error(error)
        with self._lock:
            first = not self.cancelled
            self.cancelled = True
            callbacks = list(self._callbacks) if first else []
        for callback in callbacks:
            callback()

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Run `callback` when the scope is cancelled (at once if it already is); it must not block or raise."""
        with self._lock:
            if not self.cancelled:
                self._callbacks.append(callback)
                return
        callback()

    def check(self) -> None:
        """Raise `Cancelled` if the scope was cancelled; for loops that wait on nothing."""
        if self.cancelled:
            raise Cancelled

    def _run(self, task: _Task, target: Callable[..., None], args: tuple[object, ...]) -> None:
        with self._lock:
            if task.over:
                return
            task.begun = True
        try:
            target(*args)
        except Cancelled:
            pass
        except BaseException as error:  # noqa: BLE001 - reported by the scope's owner
            self.cancel(error)
        finally:
            task.end()

    def _join(self) -> None:
        joined = 0
        while True:
            with self._lock:
                if joined == len(self._tasks):
                    return
                task = self._tasks[joined]
            # Not Thread.join, which takes a thread for ended when it is interrupted (CPython before 3.13).
            while not task.over:
                task.done.acquire(timeout=INTERRUPT_SECONDS)
            joined += 1


class Channel(Generic[T]):
    """A bounded queue between threads of one scope; `close` is its explicit end.

    `capacity` bounds the sum of the items' weights; one item is always let in,
    so an item heavier than the capacity passes alone.
    """

    def __init__(self, scope: Scope, capacity: int) -> None:
        self._scope = scope
        self._capacity = capacity
        self._items: deque[tuple[T, int]] = deque()
        self._weight = 0
        self._closed = False
        lock = threading.Lock()
        # Two conditions on one lock: waking a thread that has nothing to do costs more than most items.
        self._filled = threading.Condition(lock)
        self._drained = threading.Condition(lock)
        scope.on_cancel(self._wake)

    def put(self, item: T, weight: int = 1) -> None:
        """Append `item`, waiting while the channel is full.

        Raises:
            Cancelled: if the scope was cancelled.
            ValueError: if the channel was closed.
        """
        with self._drained:
            while self._items and self._weight + weight > self._capacity:
                self._scope.check()
                self._drained.wait()
            self._scope.check()
            if self._closed:
                raise ValueError("put on a closed channel")
            self._items.append((item, weight))
            self._weight += weight
            self._filled.notify()

    def offer(self, item: T) -> None:
        """Append `item` without weight, or drop it if the channel was closed: for news that may come too late.

        Raises:
            Cancelled: if the scope was cancelled.
        """
        with self._filled:
            self._scope.check()
            if not self._closed:
                self._items.append((item, 0))
                self._filled.notify()

    def close(self) -> None:
        """No item follows; readers see the end after the last one. Closing twice is allowed."""
        with self._filled:
            self._closed = True
            self._filled.notify_all()
            self._drained.notify_all()

    def get(self) -> T:
        """The next item.

        Raises:
            Cancelled: if the scope was cancelled.
            EOFError: when the channel is closed and empty.
        """
        with self._filled:
            while not self._items:
                self._scope.check()
                if self._closed:
                    raise EOFError
                self._filled.wait()
            self._scope.check()
            item, weight = self._items.popleft()
            self._weight -= weight
            # All, because the next waiting item may be too heavy where another one fits.
            self._drained.notify_all()
            return item

    def __iter__(self) -> Iterator[T]:
        with suppress(EOFError):
            while True:
                yield self.get()

    def empty(self) -> bool:
        """Whether nothing waits now; for a single reader that has something better to do than wait."""
        with self._filled:
            return not self._items

    def _wake(self) -> None:
        with self._filled:
            self._filled.notify_all()
            self._drained.notify_all()


class Window:
    """At most `limit` units out at a time: a semaphore that cancellation wakes."""

    def __init__(self, scope: Scope, limit: int) -> None:
        self._scope = scope
        self._free = limit
        self._changed = threading.Condition()
        scope.on_cancel(self._wake)

    def acquire(self, units: int = 1) -> None:
        """Take `units`, waiting until they are free; never more than the limit at once.

        Raises:
            Cancelled: if the scope was cancelled.
        """
        with self._changed:
            while self._free < units:
                self._scope.check()
                self._changed.wait()
            self._free -= units

    def release(self, units: int = 1) -> None:
        with self._changed:
            self._free += units
            self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
