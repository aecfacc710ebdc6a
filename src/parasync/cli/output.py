"""What a sync says: lines for people, or one JSON object per line for programs; errors as one line on stderr.

JSON is ASCII. A path that is not UTF-8 keeps its odd bytes as lone surrogates, the byte 0xNN as `\\udcNN`
(Python's surrogateescape), so every path can be had back: `os.fsencode(json.loads(line)["path"])`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TextIO

from msgspec.structs import asdict

from parasync.cli.lines import OutputError, error_line, print_error, print_json, print_line
from parasync.cli.meter import Meter, Ticker, human_bytes
from parasync.errors import display
from parasync.model import Event, Monitor, Report

if TYPE_CHECKING:
    from parasync.cli.progress import Bar

JSON_PROGRESS_SECONDS = 1.0
BAR_SECONDS = 0.1
BAR_DELAY_SECONDS = 0.2
"""A sync that is done before this shows no bar, and does not pay for importing what draws it."""


def print_summary_event(report: Report) -> None:
    """The last line of `--json`. Raises like `print_line`."""
    print_json(
        {"event": "summary", "status": report.status, **asdict(report.totals), "seconds": round(report.seconds, 6)}
    )


def summary_lines(report: Report, bytes_all: int, dry_run: bool) -> list[str]:
    """The end of a run for people. Speedup is rsync's: bytes of all files per byte on the wire."""
    totals = report.totals
    failed = f", {totals.files_failed:,} failed" if totals.files_failed else ""
    wire = totals.bytes_sent + totals.bytes_received
    speedup = f", speedup {bytes_all / wire:,.1f}" if wire else ""
    lines = [
        f"{totals.files_total:,} {'file' if totals.files_total == 1 else 'files'}: {totals.files_sent:,} sent, "
        f"{totals.files_unchanged:,} unchanged{failed} in {report.seconds:.2f} s",
        f"{human_bytes(bytes_all)} in all; of what changed {human_bytes(totals.bytes_copied)} reused, "
        f"{human_bytes(totals.bytes_literal)} sent; {human_bytes(wire)} on the wire{speedup}",
    ]
    return [*lines, "dry run: nothing was changed"] if dry_run else lines


class Output(Protocol):
    """Tells of one run, from `start` to `summary`; `event` is called by the session's threads, never twice at once."""

    def __enter__(self) -> Output: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def start(self, sources: Sequence[bytes], destination: bytes) -> None: ...
    def event(self, event: Event) -> None: ...
    def summary(self, report: Report) -> None: ...


class JsonOutput:
    """One object per line: start, scanned, skipped, failed, progress each second; summary last.

    With `verbose` also file and made (directories and symlinks), as they are done.

    With `quiet` only failures and the summary.
    """

    def __init__(self, monitor: Monitor, verbose: bool, quiet: bool) -> None:
        self._monitor = monitor
        self._wanted = {"failed"} if quiet else {"failed", "start", "scanned", "skipped", "progress"}
        if verbose:
            self._wanted |= {"file", "made"}
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._ticker = Ticker(self._progress, JSON_PROGRESS_SECONDS, JSON_PROGRESS_SECONDS)

    def __enter__(self) -> JsonOutput:
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ticker.stop()

    def start(self, sources: Sequence[bytes], destination: bytes) -> None:
        self._print("start", sources=[os.fsdecode(one) for one in sources], destination=os.fsdecode(destination))

    def event(self, event: Event) -> None:
        if event.name == "scanned":
            totals = self._monitor.totals
            self._print("scanned", files_total=totals.files_total, bytes_expected=self._monitor.bytes_expected)
        elif event.path:
            if event.name == "failed":
                print_error(event.detail)
            self._print(event.name, path=os.fsdecode(event.path), message=event.detail)

    def summary(self, report: Report) -> None:
        print_summary_event(report)

    def _progress(self) -> None:
        monitor = self._monitor
        # A closed stdout ends the run at its next event or at the summary, on a thread that can report it.
        with suppress(OutputError):
            self._print(
                "progress",
                scanned=monitor.scanned,
                bytes_expected=monitor.bytes_expected,
                bytes_done=monitor.bytes_done,
                **asdict(monitor.totals),
                seconds=round(time.monotonic() - self._started, 6),
            )

    def _print(self, name: str, **fields: object) -> None:
        if name in self._wanted:
            with self._lock:
                print_json({"event": name, **fields})


class TextOutput:
    """Lines for people: failures, what was skipped, a short summary, a bar on a terminal.

    With `verbose` also every path as it is done; with `quiet` neither summary, skipped nor bar.
    """

    def __init__(self, monitor: Monitor, verbose: bool, quiet: bool, dry_run: bool) -> None:
        self._monitor = monitor
        self._verbose = verbose
        self._quiet = quiet
        self._dry_run = dry_run
        self._terminal = next((one for one in (sys.stdout, sys.stderr) if one.isatty()), None)
        self._meter = Meter(monitor, time.monotonic())
        self._bar: Bar | None = None
        self._ticker = Ticker(self._draw, BAR_SECONDS, BAR_DELAY_SECONDS)

    def __enter__(self) -> TextOutput:
        if self._terminal and not self._quiet:
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ticker.stop()
        if self._bar:
            self._bar.stop()
            self._bar = None

    def start(self, sources: Sequence[bytes], destination: bytes) -> None:
        """Nothing: people know what they typed."""

    def event(self, event: Event) -> None:
        if event.name == "failed":
            self._say(sys.stderr, event.detail)
        elif event.name == "skipped" and not self._quiet:
            self._say(sys.stdout, event.detail)
        elif event.name in {"file", "made"} and self._verbose:
            self._say(sys.stdout, os.fsdecode(event.path) or ".")

    def summary(self, report: Report) -> None:
        if not self._quiet:
            for line in summary_lines(report, self._monitor.bytes_expected, self._dry_run):
                print_line(line)

    def _draw(self) -> None:
        from parasync.cli.progress import Bar  # noqa: PLC0415 - rich takes longer to import than many syncs take

        if self._terminal and not self._bar:
            self._bar = Bar(self._terminal)
        if self._bar:
            self._bar.show(self._meter.read(time.monotonic()))

    def _say(self, stream: TextIO, text: str) -> None:
        """One line on `stream`; above the bar if both are on the terminal."""
        line = display(text) if stream is sys.stdout else error_line(text)
        if self._bar and stream.isatty():
            self._bar.print(line)
        elif stream is sys.stdout:
            print_line(line)
        else:
            print_error(text)
