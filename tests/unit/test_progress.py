"""What a run shows of itself: figures, summary, bar."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_support import read_terminal
from parasync.cli.meter import Meter, Reading, figures, human_bytes, human_seconds
from parasync.cli.output import summary_lines
from parasync.cli.progress import Bar
from parasync.model import Monitor, Report, Totals


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (2_500_000_000, "2.5 GB"),
    ],
)
def test_human_bytes(amount: int, text: str) -> None:
    assert human_bytes(amount) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (9.4, "0:09"), (754, "12:34"), (3723, "1:02:03")])
def test_human_seconds(seconds: float, text: str) -> None:
    assert human_seconds(seconds) == text


def test_summary_counts_and_speedup() -> None:
    totals = Totals(5, 2, 2, 1, 4_000_000, 3_000_000, 1_000_000, 900_000, 100_000)
    first, second, last = summary_lines(Report("partial", totals, seconds=1.5), 10_000_000, dry_run=True)
    assert first == "5 files: 2 sent, 2 unchanged, 1 failed in 1.50 s"
    assert second == "10.0 MB in all; of what changed 3.0 MB reused, 1.0 MB sent; 1.0 MB on the wire, speedup 10.0"
    assert "dry run" in last


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 2000), st.floats(0.01, 5)), max_size=30), st.integers(0, 30)
)
def test_shown_progress_never_runs_backwards(steps: list[tuple[int, int, float]], scanned: int) -> None:
    monitor = Monitor()
    meter = Meter(monitor, 0.0)
    now = 0.0
    before = Reading(0, 0, 0, 0, 0.0, None, None)
    for number, (done, expected, seconds) in enumerate(steps):
        now += seconds
        monitor.bytes_done, monitor.bytes_expected = done, expected
        monitor.totals.bytes_copied = monitor.totals.bytes_literal = done // 2
        monitor.scanned = number >= scanned
        reading = meter.read(now)
        assert (reading.done, reading.reused, reading.sent) >= (before.done, before.reused, before.sent)
        assert reading.done <= reading.expected
        assert reading.rate >= 0
        assert (reading.fraction is None) is (not monitor.scanned)
        if reading.fraction is not None:
            assert (before.fraction or 0.0) <= reading.fraction <= 1.0
        before = reading


def test_remaining_time_counts_down_at_a_steady_rate() -> None:
    monitor = Monitor()
    monitor.bytes_expected, monitor.scanned = 1000, True
    meter = Meter(monitor, 0.0)
    shown = []
    for second in range(1, 11):
        monitor.bytes_done = 100 * second
        shown.append(meter.read(float(second)).remaining)
    assert shown == pytest.approx([9, 8, 7, 6, 5, 4, 3, 2, 1, 0])


def test_remaining_time_does_not_rise_by_a_pause_but_does_when_the_rate_is_lower() -> None:
    monitor = Monitor()
    monitor.bytes_expected, monitor.scanned = 100_000, True
    meter = Meter(monitor, 0.0)
    monitor.bytes_done = 1000
    first = meter.read(1.0).remaining
    pause = meter.read(1.1).remaining
    for tick in range(2, 60):
        monitor.bytes_done += 10
        slow = meter.read(float(tick)).remaining
    assert first is not None
    assert pause is not None
    assert slow is not None
    assert pause < first < slow


def test_the_bar_shows_its_figures_and_lines_above_it() -> None:
    leader, follower = os.openpty()
    reading = Reading(500_000, 1_000_000, 300_000, 200_000, 2e6, 0.5, 9.0)
    with open(follower, "w", encoding="utf-8") as terminal:
        bar = Bar(terminal)
        bar.show(reading)
        bar.print("a line [bold]as it is[/bold]")
        bar.stop()
    shown = read_terminal(leader).decode()
    assert "50%" in shown
    assert figures(reading) == "500.0 kB of 1.0 MB  2.0 MB/s  ETA 0:09  reused 300.0 kB  sent 200.0 kB"
    assert "ETA 0:09" in shown
    assert "a line [bold]as it is[/bold]" in shown
