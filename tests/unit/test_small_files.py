"""Small files in one exchange: what the receiver has is described, what it lacks comes back, the result is verified."""

from __future__ import annotations

import errno
import os
import random
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from native_support import KEY, native_chunks, per_kernel
from oracle_checksums import shortened
from parasync import _native, config
from parasync.kernels import CHANGED, UNVERIFIED, ChunkTable, SmallReader, store_small
from parasync.wire.messages import MAX_SMALL_CHUNKS, SMALL_CHUNK_BYTES

MTIME = 1_600_000_000_123_456_789
AVERAGE = 2048
NOISE = random.Random(17).randbytes(300_000)


class Directory:
    """An open directory, and files in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def write(self, name: str, content: bytes, mtime: int = MTIME) -> None:
        (self.path / name).write_bytes(content)
        os.utime(self.path / name, ns=(0, mtime))

    def describe(self, name: str, size: int, average: int = AVERAGE, rule: str = "default") -> tuple[int, bytes, bytes]:
        return SmallReader(KEY, rule).bases([(self.fd, name.encode(), size, average)])[0]

    def recipe(
        self, name: str, size: int, fingerprint: bytes, chunks: bytes, average: int = AVERAGE, rule: str = "default"
    ) -> tuple[int, bool, bytes, bytes, bytes]:
        request = (self.fd, name.encode(), size, MTIME, fingerprint, chunks, average)
        return SmallReader(KEY, rule).targets([request])[0]

    def store(
        self,
        name: str,
        size: int,
        literals: bytes = b"",
        copies: bytes = b"",
        fingerprint: bytes = bytes(16),
        same: bool = False,
        mode: int = 0o644,
        mtime: int = MTIME,
        durable: bool = False,
    ) -> int:
        request = (self.fd, name.encode(), size, mode, mtime, same, fingerprint, literals, copies)
        return store_small(KEY, [request], b".parasync.", durable)[0]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Directory]:
    directory = Directory(tmp_path)
    yield directory
    os.close(directory.fd)


def copies_of(*copies: tuple[int, int, int]) -> bytes:
    return b"".join(struct.pack("<QQQ", *copy) for copy in copies)


def exchange(here: Directory, basis: bytes, target: bytes, average: int, rule: str) -> tuple[bool, bytes, bytes]:
    """Make `basis` the target, as a session does; (same, literals, copies)."""
    here.write("basis", basis)
    here.write("target", target)
    error, fingerprint, chunks = here.describe("basis", len(basis), average, rule)
    assert error == 0
    error, same, whole, literals, copies = here.recipe("target", len(target), fingerprint, chunks, average, rule)
    assert error == 0
    assert whole == KEY.fingerprint(target)
    assert here.store("basis", len(target), literals, copies, whole, same) == 0
    assert (here.path / "basis").read_bytes() == target
    assert sorted(os.listdir(here.path)) == ["basis", "target"]
    return same, literals, copies


edits = st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 3000), st.binary(max_size=50)), max_size=4)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60_000), edits, st.sampled_from([2048, 4096, 32768]), st.sampled_from(["default", "paper"]))
def test_any_target_comes_out_of_any_basis(
    tmp_path_factory: pytest.TempPathFactory,
    size: int,
    changes: list[tuple[int, int, bytes]],
    average: int,
    rule: str,
) -> None:
    basis = target = NOISE[:size]
    for start, length, new in changes:
        target = target[:start] + new + target[start + length :]
    here = Directory(tmp_path_factory.mktemp("small"))
    answers = []
    per_kernel(lambda: answers.append(exchange(here, basis, target, average, rule)))
    os.close(here.fd)
    assert len(set(answers)) == 1
    assert answers[0][0] == (basis == target)


def test_an_edit_costs_the_chunks_around_it(here: Directory) -> None:
    target = bytearray(NOISE[:200_000])
    target[100_000] ^= 1
    same, literals, copies = exchange(here, NOISE[:200_000], bytes(target), AVERAGE, "default")
    assert not same
    assert 0 < len(literals) <= 2 * AVERAGE * 3 // 2
    # The runs before and behind the edit are one copy each.
    assert len(copies) == 2 * 24


def test_bases_have_the_chunks_that_any_file_has(here: Directory) -> None:
    here.write("basis", NOISE[:50_000])
    _, fingerprint, chunks = here.describe("basis", 50_000)
    table = ChunkTable(AVERAGE, 50_000)
    assert table.extend(chunks) == len(chunks) // SMALL_CHUNK_BYTES
    assert table.end == 50_000
    assert fingerprint == KEY.fingerprint(NOISE[:50_000])
    whole = native_chunks(NOISE[:50_000], AVERAGE)
    assert chunks[2 * len(whole) :] == b"".join(shortened(fingerprint) for _, fingerprint in whole)


def test_zeros_of_another_length_are_not_the_same(here: Directory) -> None:
    """Leading zeros change no fingerprint: only the size tells these files apart."""
    same, _, _ = exchange(here, bytes(20_000), bytes(30_000), AVERAGE, "default")
    assert not same
    here.write("zeros", bytes(10))
    assert here.store("zeros", 20, same=True) == UNVERIFIED


def test_without_chunks_a_file_is_the_same_or_comes_whole(here: Directory) -> None:
    here.write("file", b"content")
    there = KEY.fingerprint(b"content")
    assert here.recipe("file", 7, there, b"", 0) == (0, True, there, b"", b"")
    assert here.recipe("file", 7, KEY.fingerprint(b"another"), b"", 0) == (0, False, there, b"content", b"")
    assert here.recipe("file", 7, b"", b"", 0) == (0, False, there, b"content", b"")


def test_what_changed_meanwhile_is_told(here: Directory) -> None:
    here.write("file", b"content")
    assert here.recipe("file", 8, b"", b"", 0)[0] == CHANGED
    assert here.describe("file", 6)[0] == CHANGED
    here.write("file", b"content", MTIME + 1)
    assert here.recipe("file", 7, b"", b"", 0)[0] == CHANGED


@pytest.mark.parametrize("basis", [b"other bytes", b"", b"shrt"], ids=["changed", "emptied", "cut"])
def test_a_basis_that_changed_verifies_no_more_and_stays(here: Directory, basis: bytes) -> None:
    here.write("file", basis)
    error = here.store("file", 11, b"", copies_of((0, 0, 11)), KEY.fingerprint(b"hello world"))
    assert error in {UNVERIFIED, CHANGED}
    assert (here.path / "file").read_bytes() == basis
    assert os.listdir(here.path) == ["file"]


def test_one_that_fails_does_not_stop_the_others(here: Directory) -> None:
    here.write("file", b"content")
    (here.path / "directory").mkdir()
    os.mkfifo(here.path / "fifo")
    (here.path / "link").symlink_to("file")
    names = [b"missing", b"directory", b"fifo", b"link", b"file"]
    found = SmallReader(KEY).bases([(here.fd, name, 7, 0) for name in names])
    expected = [errno.ENOENT, errno.EISDIR, errno.EOPNOTSUPP, errno.ELOOP, 0]
    assert [error for error, _, _ in found] == expected
    stored = store_small(
        KEY, [(here.fd, name, 7, 0o600, MTIME, True, bytes(16), b"", b"") for name in names], b"t", False
    )
    assert stored == expected
    assert stat.S_IMODE((here.path / "file").stat().st_mode) == 0o600


def test_a_new_file_replaces_the_old_one(here: Directory) -> None:
    here.write("file", b"old")
    os.link(here.path / "file", here.path / "other name")
    with (here.path / "file").open("rb") as reader:
        fingerprint = KEY.fingerprint(b"new")
        assert here.store("file", 3, b"new", b"", fingerprint, mode=0o4751, mtime=-1_500_000_001, durable=True) == 0
        assert reader.read() == b"old"
    status = (here.path / "file").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o4751, -1_500_000_001)
    assert (here.path / "file").read_bytes() == b"new"
    assert (here.path / "other name").read_bytes() == b"old"


def test_content_that_does_not_verify_is_not_put_in_place(here: Directory) -> None:
    here.write("file", b"old")
    assert here.store("file", 3, b"new", b"", KEY.fingerprint(b"NEW")) == UNVERIFIED
    assert (here.path / "file").read_bytes() == b"old"
    assert os.listdir(here.path) == ["file"]


@pytest.mark.parametrize(
    ("literals", "copies"),
    [
        (b"", copies_of((0, 0, 5))),
        (b"123456", copies_of((0, 0, 5))),
        (b"", copies_of((0, 0, 6), (5, 0, 5))),
        (b"12345", copies_of((5, 0, 5), (0, 0, 5))),
        (b"", copies_of((0, 0, 11))),
        (b"", copies_of((5, 0, 2**63))),
        (b"1234567890", copies_of((0, 0, 0))),
        (b"", copies_of((0, 2**40, 10))),
        (b"", b"x" * 23),
    ],
    ids=["gap", "too much", "overlap", "disorder", "beyond", "wraps", "empty", "outside of any basis", "no record"],
)
def test_recipes_that_make_up_no_file_are_refused(here: Directory, literals: bytes, copies: bytes) -> None:
    here.write("file", b"0123456789")
    with pytest.raises(ValueError):
        here.store("file", 10, literals, copies)
    assert (here.path / "file").read_bytes() == b"0123456789"
    assert os.listdir(here.path) == ["file"]


@pytest.mark.parametrize("name", ["a/b", "", "a\0b", "../x"])
def test_a_name_is_one_component(here: Directory, name: str) -> None:
    with pytest.raises(ValueError, match="one component"):
        here.describe(name, 1)
    with pytest.raises(ValueError, match="one component"):
        here.store(name, 0)


@pytest.mark.parametrize(
    ("chunks", "average"),
    [
        (bytes(9), AVERAGE),
        (bytes(10), AVERAGE),
        (b"\xff\xff" + bytes(8), AVERAGE),
        (b"\x00\x08" * 200 + bytes(8 * 200), AVERAGE),
        (b"\x00\x08" + bytes(8), 65536),
        (b"\x00\x08" + bytes(8), 3000),
    ],
    ids=["no record", "no length", "too long", "too many", "large average", "bad average"],
)
def test_chunks_that_are_none_are_refused(here: Directory, chunks: bytes, average: int) -> None:
    here.write("file", b"content")
    with pytest.raises(ValueError):
        here.recipe("file", 7, bytes(16), chunks, average)


def test_large_files_are_refused(here: Directory) -> None:
    size = _native.MAX_SMALL + 1
    with pytest.raises(ValueError, match="not a small one"):
        here.describe("file", size)
    with pytest.raises(ValueError, match="not a small one"):
        here.recipe("file", size, b"", b"", 0)
    with pytest.raises(ValueError, match="not a small one"):
        here.store("file", size)


def test_no_descriptor_is_left(here: Directory) -> None:
    here.write("file", b"content")
    before = len(os.listdir("/proc/self/fd"))
    for name in ("file", "missing"):
        here.describe(name, 7)
        here.recipe(name, 7, b"", b"", 0)
        here.store(name, 7, b"", copies_of((0, 0, 7)), KEY.fingerprint(b"content"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_bounds_of_all_layers_agree() -> None:
    assert config.SMALL_WHOLE == _native.MAX_SMALL
    assert config.MAX_SMALL_AVERAGE == _native.MAX_SMALL_AVERAGE
    assert MAX_SMALL_CHUNKS == config.SMALL_WHOLE // (config.MIN_AVERAGE // 2) + 1
