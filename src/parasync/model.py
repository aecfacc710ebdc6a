"""The nouns of the glossary that more than one layer needs. No behaviour, no I/O."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from msgspec import Struct, field


class Kind(IntEnum):
    """What an entry is. The numbers are the wire's."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2


class Entry(NamedTuple):
    """One path's metadata.

    `path` is relative to the root, `/`-separated, without leading or trailing
    slash; `b""` is the root itself. `size` is 0 for everything but files.
    `mode` holds the permission bits only (0o7777). `mtime` is in nanoseconds.
    `link` is the target of a symlink, else `b""`.
    """

    path: bytes
    kind: Kind
    size: int
    mtime: int
    mode: int
    link: bytes = b""


class Need(IntEnum):
    """What the receiver asks for of one entry. The numbers are the wire's."""

    WHOLE = 0
    DELTA = 1
    COMPARE = 2
    PATCH = 3


class Totals(Struct):
    """Counters of one run: files, then bytes. `sent` and `received` are bytes on the transport."""

    files_total: int = 0
    files_sent: int = 0
    files_unchanged: int = 0
    files_failed: int = 0
    bytes_target: int = 0
    bytes_copied: int = 0
    bytes_literal: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


class Failure(NamedTuple):
    """One path that could not be transferred, and the line that says why and what to do."""

    path: bytes
    code: str
    message: str


class Report(Struct):
    """What a run did. `status` is "ok", "partial", "vanished" or an error's wire code."""

    status: str = "ok"
    totals: Totals = field(default_factory=Totals)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0


class Event(NamedTuple):
    """One thing that happened, for progress displays and logs.

    `name` is one of "start", "connected", "scanned", "file", "made" (a
    directory or symlink), "skipped" and "failed"; `path` is empty where no
    single path is meant.
    """

    name: str
    path: bytes = b""
    detail: str = ""


EventSink = Callable[[Event], None]


class Monitor:
    """What a run has done so far, for a display that polls it and for listeners.

    The session's threads add to it; `totals` may be read at any time.
    `bytes_expected` grows while the tree is scanned and is final once `scanned`.
    """

    def __init__(self, on_event: EventSink | None = None) -> None:
        self.totals = Totals()
        self.bytes_expected = 0
        self.bytes_done = 0
        self.scanned = False
        self._on_event = on_event
        self._lock = threading.Lock()

    def add(self, **amounts: int) -> None:
        """Add to counters of `totals` by name."""
        with self._lock:
            for name, amount in amounts.items():
                setattr(self.totals, name, getattr(self.totals, name) + amount)

    def expect(self, size: int) -> None:
        """`size` more bytes are to be looked at."""
        with self._lock:
            self.bytes_expected += size

    def advance(self, size: int) -> None:
        """`size` bytes are done with; negative when matched bytes turn out to be needed after all."""
        with self._lock:
            self.bytes_done += size

    def emit(self, name: str, path: bytes = b"", detail: str = "") -> None:
        """Tell the listener, if there is one; calls never overlap."""
        if self._on_event is not None:
            with self._lock:
                self._on_event(Event(name, path, detail))
