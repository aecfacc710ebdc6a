"""Other chunkers, as a user can install them from PyPI or the distribution. Which are not here is told, with why.

Each cuts at about 8 KiB, once with its own rule for the shortest and longest chunk and, where it can be told to, once
with ours (4 and 12 KiB): a longer minimum is faster, since what lies below it is skipped. None of them but hf-xet,
Borg and rdiff looks at all bytes of a chunk: they find cuts, and leave checksums to others.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

from benchmarks.chunking.subject import Input, Outcome, Subject
from benchmarks.lab.system import run
from parasync.config import DEFAULT_AVERAGE, KIB

MINIMUM, MAXIMUM = DEFAULT_AVERAGE // 2, DEFAULT_AVERAGE * 3 // 2
ONLY_CUTS = "cuts only"


class Peer(NamedTuple):
    """A chunker of others: the package or command it comes from, and how to make its subjects."""

    origin: str
    load: Callable[[], Iterator[Subject]]


def _count(lengths: Iterator[Any] | list[Any]) -> int:
    return len(lengths) if isinstance(lengths, list) else sum(1 for _ in lengths)


def _subject(name: str, chunk: Callable[[Input], Any], includes: str = ONLY_CUTS) -> Subject:
    return Subject(name, "peer", includes, 1, lambda source: Outcome(_count(chunk(source))))


def _module(name: str) -> ModuleType:
    """A module of a package without types, which may not be installed."""
    return importlib.import_module(name)


def _require_compiled(function: Callable[..., object], sign: str) -> None:
    """Some packages fall back to pure Python, hundreds of times slower, which nobody would choose."""
    if sign not in f"{function.__module__}.{function.__name__}":
        raise ImportError("its compiled part is missing")


def _pyfastcdc() -> Iterator[Subject]:
    fastcdc = _module("pyfastcdc").FastCDC
    _require_compiled(fastcdc, ".cy.")
    own = fastcdc(DEFAULT_AVERAGE)
    bounded = fastcdc(MINIMUM, min_size=MINIMUM, max_size=MAXIMUM)
    yield _subject("pyfastcdc, own bounds", lambda source: own.cut_buf(source.data))
    yield _subject("pyfastcdc, 4 to 12 KiB", lambda source: bounded.cut_buf(source.data))


def _fastcdc() -> Iterator[Subject]:
    function = _module("fastcdc").fastcdc
    _require_compiled(function, "_cy")
    average = DEFAULT_AVERAGE
    yield _subject("fastcdc, own bounds", lambda source: function(source.data, average // 4, average, average * 8))
    yield _subject("fastcdc, 4 to 12 KiB", lambda source: function(source.data, MINIMUM, average, MAXIMUM))


def _tilecdc() -> Iterator[Subject]:
    chunker = _module("tilecdc").Chunker
    own = chunker(DEFAULT_AVERAGE // 4, DEFAULT_AVERAGE, DEFAULT_AVERAGE * 8)
    bounded = chunker(MINIMUM, DEFAULT_AVERAGE, MAXIMUM)
    yield _subject(f"tilecdc {own.impl}, own bounds", lambda source: own.chunk(source.data))
    yield _subject(f"tilecdc {own.impl}, 4 to 12 KiB", lambda source: bounded.chunk(source.data))


def _pith_cdc() -> Iterator[Subject]:
    chunk = _module("pith_cdc").chunk
    average = DEFAULT_AVERAGE
    yield _subject("pith-cdc, own bounds", lambda source: chunk(source.data, average // 4, average, average * 8))


def _hf_xet() -> Iterator[Subject]:
    hash_files = _module("hf_xet").hash_files

    def chunk(source: Input) -> Outcome:
        hash_files([str(source.path)])
        return Outcome()

    yield Subject("hf-xet, 64 KiB", "peer", "reading, BLAKE3 of every chunk", 1, chunk)


def _borg() -> Iterator[Subject]:
    chunker = _module("borg.chunker").Chunker

    def chunk(source: Input) -> Iterator[Any]:
        with source.path.open("rb") as file:
            yield from chunker(0, 12, 14, 13, 4095).chunkify(file, file.fileno())

    yield _subject("borg buzhash, 4 to 16 KiB", chunk, "reading, no checksums")


def _rdiff() -> Iterator[Subject]:
    if shutil.which("rdiff") is None:
        raise ImportError("rdiff is not installed")

    def chunk(source: Input) -> Outcome:
        run("rdiff", "--force", "--block-size", 8 * KIB, "signature", source.path, "/dev/null")
        return Outcome()

    yield Subject("rdiff signature, fixed 8 KiB", "command", "start, reading, weak sums and BLAKE2", 1, chunk)


PEERS = (
    Peer("pyfastcdc", _pyfastcdc),
    Peer("fastcdc", _fastcdc),
    Peer("tilecdc", _tilecdc),
    Peer("pith-cdc", _pith_cdc),
    Peer("hf-xet", _hf_xet),
    Peer("borgbackup", _borg),
    Peer("rdiff", _rdiff),
)


def available() -> tuple[list[Subject], dict[str, str]]:
    """The chunkers that are installed, and why the others are not run."""
    subjects: list[Subject] = []
    skipped: dict[str, str] = {}
    for peer in PEERS:
        try:
            subjects.extend(peer.load())
        except (ImportError, OSError) as error:
            skipped[peer.origin] = str(error)
    return subjects, skipped
