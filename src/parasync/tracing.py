"""What each thread did when: spans for the trace viewers of Chrome and Perfetto.

Stages are wrapped in spans of a few milliseconds, never single chunks, so
tracing costs little and nothing at all when it is off.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import NamedTuple

MAX_SPANS = 200_000
"""Spans kept by one side; later ones are dropped, so that a long run does not fill the memory."""


class Span(NamedTuple):
    """`start` and `length` in nanoseconds of the recording side's monotonic clock."""

    name: str
    thread: str
    start: int
    length: int


class Tracer:
    """Records the spans of one side. Any thread may record."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.peer_spans: list[Span] = []
        self.peer_offset = 0
        """Nanoseconds to take off the peer's clock to get this side's."""

    def span(self, name: str) -> AbstractContextManager[None]:
        """A context that records how long its block took, on which thread."""
        return _Recording(self.spans, name)

    def align(self, asked: int, answered: int, peer_clock: int) -> None:
        """Learn the peer's clock from its reading between two of this side's.

        One that lies between them is this machine's own; any other is taken to
        have been read half-way.
        """
        if not asked <= peer_clock <= answered:
            self.peer_offset = peer_clock - (asked + answered) // 2

    def chrome(self, this_side: str, other_side: str) -> str:
        """Both sides' spans as a JSON document of Chrome's trace event format."""
        import json  # noqa: PLC0415 - few runs are traced, all of them pay for starting

        events: list[dict[str, object]] = []
        sides = [(this_side, self.spans, 0), (other_side, self.peer_spans, self.peer_offset)]
        begin = min((span.start - offset for _, spans, offset in sides for span in spans), default=0)
        for process, (side, spans, offset) in enumerate(sides, 1):
            events.extend(_events(process, side, spans, begin + offset))
        return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"})


class NoTracer(Tracer):
    """Records nothing."""

    def span(self, name: str) -> AbstractContextManager[None]:
        return _NOTHING


_NOTHING: AbstractContextManager[None] = nullcontext()
OFF = NoTracer()


class _Recording:
    __slots__ = ("_name", "_spans", "_start")

    def __init__(self, spans: list[Span], name: str) -> None:
        self._spans = spans
        self._name = name
        self._start = 0

    def __enter__(self) -> None:
        self._start = time.monotonic_ns()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if len(self._spans) < MAX_SPANS:
            length = time.monotonic_ns() - self._start
            thread = threading.current_thread().name.rpartition(":")[2]
            self._spans.append(Span(self._name, thread, self._start, length))


def _events(process: int, side: str, spans: Iterable[Span], begin: int) -> Iterator[dict[str, object]]:
    yield {"ph": "M", "name": "process_name", "pid": process, "args": {"name": side}}
    threads: dict[str, int] = {}
    for span in spans:
        thread = threads.setdefault(span.thread, len(threads) + 1)
        yield {
            "ph": "X",
            "name": span.name,
            "pid": process,
            "tid": thread,
            "ts": (span.start - begin) / 1000,
            "dur": span.length / 1000,
        }
    for name, thread in threads.items():
        yield {"ph": "M", "name": "thread_name", "pid": process, "tid": thread, "args": {"name": name}}
