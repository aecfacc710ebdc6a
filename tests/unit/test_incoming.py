"""The receiver's file when its attempt is given up between a frame's arrival and its use."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from parasync.chunking import ChunkingPool, InlineChunker
from parasync.config import MATCHING_WEAK_STRONG
from parasync.errors import ProtocolError
from parasync.kernels import ChunkTable, Segment, fingerprint_key
from parasync.model import Entry, Kind, Need
from parasync.options import Options
from parasync.pipeline import Scope
from parasync.reconstruction import Outcome
from parasync.session.ahead import Ahead
from parasync.session.incoming import Attempt, IncomingFile
from parasync.tree.safepath import Root

KEY_BYTES = bytes(16)
KEY = fingerprint_key(KEY_BYTES)
AVERAGE = 2048
BASIS = random.Random(1).randbytes(100_000)
TARGET = random.Random(2).randbytes(100_000)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "file").write_bytes(BASIS)
    root = Root.open(bytes(tmp_path))
    yield root
    root.close()


class Nobody:
    keeps_behind = False

    def grown(self, file: IncomingFile) -> None:
        pass

    def merged(self, file: IncomingFile, segment: Segment) -> Callable[[], None]:
        return lambda: None


def opened(root: Root, weak_strong: bool = False) -> IncomingFile:
    matching = MATCHING_WEAK_STRONG if weak_strong else Options().matching
    options = Options(average=AVERAGE, matching=matching)
    file = IncomingFile(0, Entry(b"file", Kind.FILE, len(TARGET), 0, 0o644), b"file", Need.DELTA, options)
    with Scope("test", str) as scope:
        pool = ChunkingPool(scope, KEY, 1, name="basis")
        file.open_delta(root, KEY, InlineChunker(KEY, options.chunking), pool, Ahead(KEY_BYTES), Nobody())
        pool.close()
    return file


def chunks(tmp_path: Path) -> ChunkTable:
    (tmp_path / "target").write_bytes(TARGET)
    table = ChunkTable(AVERAGE, len(TARGET))
    with open(tmp_path / "target", "rb") as target:
        InlineChunker(KEY, Options().chunking).chunk(target.fileno(), table)
    return table


def given_up(file: IncomingFile) -> None:
    rebuilt = file.writer(retry=False)
    assert rebuilt is not None
    assert file.start_over(rebuilt) is Attempt.NEW


def test_chunks_of_an_attempt_that_was_given_up_are_ignored(root: Root, tmp_path: Path) -> None:
    file, table = opened(root), chunks(tmp_path)
    file.add_chunks(0, table.encode(0, 5), 5)
    given_up(file)
    file.add_chunks(5, table.encode(5, 5), 5)
    assert file.match() is None
    file.close()


def test_chunks_of_a_file_that_comes_whole_are_a_breach(root: Root, tmp_path: Path) -> None:
    entry = Entry(b"file", Kind.FILE, len(TARGET), 0, 0o644)
    file, table = IncomingFile(0, entry, b"file", Need.WHOLE, Options(average=AVERAGE)), chunks(tmp_path)
    file.open_whole(root, KEY)
    with pytest.raises(ProtocolError, match="not waiting for any"):
        file.add_chunks(0, table.encode(0, 5), 5)
    file.close()


def test_the_end_of_an_attempt_that_was_given_up_is_ignored(root: Root) -> None:
    file = opened(root)
    rebuilt = file.writer(retry=False)
    assert rebuilt is not None
    given_up(file)
    assert file.end(bytes(16), rebuilt, in_order=True) is Outcome.PENDING
    file.close()


def test_nothing_of_the_first_attempt_is_written_into_the_second(root: Root) -> None:
    file = opened(root)
    given_up(file)
    file.open_whole(root, KEY)
    assert file.writer(retry=False) is None
    assert file.writer(retry=True) is file.rebuilt is not None
    file.close()


def test_weak_checksums_of_an_attempt_that_was_given_up_are_ignored(root: Root) -> None:
    file = opened(root, weak_strong=True)
    assert file.tentative_side(retry=False) is file.tentative is not None
    given_up(file)
    assert file.tentative_side(retry=False) is None
    with pytest.raises(ProtocolError, match="not waiting for any"):
        file.tentative_side(retry=True)
    file.close()
    assert file.tentative_side(retry=True) is None
