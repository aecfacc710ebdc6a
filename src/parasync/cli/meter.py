"""What a progress display shows and when: figures that never run backwards, a clock that ticks. Draws nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from parasync.model import Monitor

SMOOTHING_SECONDS = 3.0
"""Time constant of the rate's moving average: follows a link that changes, ignores single pauses."""
ETA_SLACK = 1.25
"""The remaining time is raised only when the estimate exceeds it by this factor: it counts down without flicker."""
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def human_bytes(amount: float) -> str:
    """`amount` bytes with a decimal unit: "999 B", "1.2 kB", "389.0 MB"."""
    unit = 0
    while amount >= 999.95 and unit < len(_UNITS) - 1:
        amount /= 1000
        unit += 1
    return f"{amount:.1f} {_UNITS[unit]}" if unit else f"{amount:.0f} B"


def human_seconds(seconds: float) -> str:
    """`seconds` as "0:09", "12:34" or "1:02:03"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Reading(NamedTuple):
    """What a display shows. `fraction` and `remaining` (seconds) are None while they cannot be known."""

    done: int
    expected: int
    reused: int
    sent: int
    rate: float
    fraction: float | None
    remaining: float | None


class Meter:
    """Turns a monitor's counters into readings.

    Bytes and fraction never fall, although counters may (a file that is tried
    again); there is no fraction before the whole tree is known, since it would
    fall as the tree grows.
    """

    def __init__(self, monitor: Monitor, now: float) -> None:
        self._monitor = monitor
        self._time = now
        self._done = self._reused = self._sent = 0
        self._rate = 0.0
        self._fraction: float | None = None
        self._remaining: float | None = None

    def read(self, now: float) -> Reading:
        """The reading at `now`, in seconds of a monotonic clock."""
        monitor = self._monitor
        elapsed, self._time = now - self._time, now
        before = self._done
        self._done = max(before, monitor.bytes_done)
        self._reused = max(self._reused, monitor.totals.bytes_copied)
        self._sent = max(self._sent, monitor.totals.bytes_literal)
        if elapsed > 0:
            weight = min(1.0, elapsed / SMOOTHING_SECONDS) if self._rate else 1.0
            self._rate += weight * ((self._done - before) / elapsed - self._rate)
        expected = max(monitor.bytes_expected, self._done)
        if monitor.scanned:
            self._fraction = max(self._fraction or 0.0, self._done / expected if expected else 1.0)
            self._remaining = self._count_down(expected - self._done, elapsed)
        return Reading(self._done, expected, self._reused, self._sent, self._rate, self._fraction, self._remaining)

    def _count_down(self, left: int, elapsed: float) -> float | None:
        if self._rate <= 0:
            return None
        estimate = left / self._rate
        if self._remaining is None:
            return estimate
        due = max(0.0, self._remaining - elapsed)
        return estimate if estimate > due * ETA_SLACK + 1 else min(due, estimate)


class Ticker:
    """Calls `tick` every `seconds` on a thread of its own, first after `delay`, until stopped or `tick` fails."""

    def __init__(self, tick: Callable[[], None], seconds: float, delay: float) -> None:
        self._tick = tick
        self._seconds = seconds
        self._delay = delay
        self._stopped = threading.Event()
        self._ticking = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="display", daemon=True)

    def start(self) -> None:
        try:
            self._thread.start()
        except BaseException:
            self._stopped.set()  # interrupted: the thread may still come up
            raise

    def stop(self) -> None:
        """No tick runs after this returns. Stopping what was not started is allowed."""
        self._stopped.set()
        # Not Thread.join, which fails if the start was interrupted.
        with self._ticking:
            pass

    def _run(self) -> None:
        wait = self._delay
        while not self._stopped.wait(wait):
            with self._ticking:
                if self._stopped.is_set():
                    return
                self._tick()
            wait = self._seconds


def figures(reading: Reading) -> str:
    """The text beside the bar."""
    total = "" if reading.fraction is None else f" of {human_bytes(reading.expected)}"
    left = "" if reading.remaining is None else f"  ETA {human_seconds(reading.remaining)}"
    return (
        f"{human_bytes(reading.done)}{total}  {human_bytes(reading.rate)}/s{left}"
        f"  reused {human_bytes(reading.reused)}  sent {human_bytes(reading.sent)}"
    )
