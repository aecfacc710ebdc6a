"""Copies: out of segments that are in memory, and held back where wants come first."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from parasync.api import sync
from parasync.config import MATCHING_WEAK_STRONG
from parasync.kernels import Segment
from parasync.model import Entry, Kind, Need
from parasync.options import Options
from parasync.server import Module
from parasync.session import reuse
from parasync.session.ahead import Ahead
from parasync.session.incoming import IncomingFile
from parasync.tracing import Tracer
from support import serving

NEW = random.Random(1).randbytes(60_000_000)
OLD = NEW[:20_000_000] + random.Random(2).randbytes(100_000) + NEW[20_000_000:]


@pytest.fixture(autouse=True)
def a_slow_basis(monkeypatch: pytest.MonkeyPatch) -> None:
    """The target's chunks come first; nothing of the basis is chunked before it is needed."""
    merged = reuse.Reuse.merged

    def later(self: reuse.Reuse, file: IncomingFile, segment: Segment) -> Callable[[], None]:
        time.sleep(0.03)
        return merged(self, file, segment)

    monkeypatch.setattr(reuse.Reuse, "merged", later)
    monkeypatch.setattr(Ahead, "begin", lambda *_: None)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    (tmp_path / "new").write_bytes(NEW)
    (tmp_path / "m").mkdir()
    (tmp_path / "m/file").write_bytes(OLD)
    with serving(Module("m", os.fsencode(tmp_path / "m"), read_only=False)) as url:
        yield tmp_path / "new", f"{url}/m/file"


def copiers(tracer: Tracer) -> set[str]:
    return {span.thread.rstrip("0123456789") for span in tracer.peer_spans if span.name == "copy"}


def synced(pair: tuple[Path, str], tmp_path: Path, options: Options) -> Tracer:
    tracer = Tracer()
    report = sync(*pair, options, tracer=tracer)
    assert (tmp_path / "m/file").read_bytes() == NEW
    assert report.totals.bytes_literal < 50_000
    return tracer


def test_those_who_chunk_copy(pair: tuple[Path, str], tmp_path: Path) -> None:
    assert "basis" in copiers(synced(pair, tmp_path, Options()))


def test_a_slow_target_is_left_to_workers(
    pair: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reuse, "KEEPING_UP", 1e15)
    monkeypatch.setattr(reuse, "JUDGED_SECONDS", 0.0)
    tracer = synced(pair, tmp_path, Options(threads=1))
    by_chunkers = [span for span in tracer.peer_spans if span.name == "copy" and span.thread.startswith("basis")]
    assert len(by_chunkers) <= 4, "only those that had begun before it was known"
    assert "copy" in copiers(tracer)


def test_over_a_long_link_copies_wait_for_the_index(
    pair: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reuse, "DISTANT_SECONDS", 0.0)
    spans = synced(pair, tmp_path, Options()).peer_spans
    indexed = max(span.start for span in spans if span.name == "scan basis")
    assert all(span.start > indexed for span in spans if span.name == "copy")


def test_not_all_of_them_do(pair: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reuse, "DISTANT_SECONDS", 0.0)
    monkeypatch.setattr(reuse, "HELD_BACK_BYTES", 20_000_000)
    tracer = synced(pair, tmp_path, Options(threads=1))
    assert copiers(tracer) == {"basis", "copy"}


def test_weak_and_strong_matching_copies_what_the_sender_commands(pair: tuple[Path, str], tmp_path: Path) -> None:
    assert copiers(synced(pair, tmp_path, Options(matching=MATCHING_WEAK_STRONG))) == {"copy"}


@pytest.mark.parametrize("distant", [False, True])
def test_a_basis_that_is_cut_meanwhile_costs_nothing_but_literals(
    pair: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distant: bool
) -> None:
    """Cut in the middle of its chunking, between a segment's merge and its copies."""
    if distant:
        monkeypatch.setattr(reuse, "DISTANT_SECONDS", 0.0)
    merged = reuse.Reuse.merged
    seen: list[Segment] = []

    def cutting(self: reuse.Reuse, file: IncomingFile, segment: Segment) -> Callable[[], None]:
        seen.append(segment)
        if len(seen) == 3:
            os.truncate(tmp_path / "m/file", 1_000_000)
        return merged(self, file, segment)

    monkeypatch.setattr(reuse.Reuse, "merged", cutting)
    report = sync(*pair, Options(ignore_times=True))
    assert len(seen) >= 3
    assert report.status == "ok"
    assert (tmp_path / "m/file").read_bytes() == NEW


class TestHoldingBack:
    def file(self) -> IncomingFile:
        return IncomingFile(0, Entry(b"file", Kind.FILE, 100, 0, 0o644), b"file", Need.DELTA, Options())

    def test_as_much_as_there_is_room_for(self) -> None:
        file = self.file()
        assert [file.hold_back(copies, 10, 25) for copies in (b"a", b"b", b"c")] == [True, True, False]
        assert file.hold_back(b"d", 5, 25)
        assert file.held_back() == b"abd"

    def test_what_comes_when_it_is_over_is_not_kept(self) -> None:
        file = self.file()
        assert file.hold_back(b"a", 10, 25)
        file.held_back()
        assert not file.hold_back(b"b", 1, 25)
        assert file.held_back() == b""
