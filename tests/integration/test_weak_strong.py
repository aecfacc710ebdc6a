"""Weak + strong matching and the paper's cut rule in whole syncs: the same result in every combination."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from parasync import Options, sync
from parasync.config import CHUNKINGS, MATCHING_WEAK_STRONG, MATCHINGS
from parasync.model import Report
from parasync.server import Module
from support import leftovers, make_tree, serving, snapshot

MODES = [(chunking, matching) for chunking in CHUNKINGS for matching in MATCHINGS]


def edited(data: bytes, seed: int) -> bytes:
    """A version of the content: pieces inserted, removed, moved and changed."""
    rng = random.Random(seed)
    result = bytearray(data)
    for _ in range(12):
        at = rng.randrange(len(result))
        kind = rng.randrange(4)
        if kind == 0:
            result[at:at] = rng.randbytes(rng.randrange(1, 20_000))
        elif kind == 1:
            del result[at : at + rng.randrange(1, 20_000)]
        elif kind == 2:
            result[at : at + 100] = rng.randbytes(100)
        else:
            piece = result[at : at + 50_000]
            del result[at : at + 50_000]
            to = rng.randrange(len(result))
            result[to:to] = piece
    return bytes(result)


def run(source: Path, target: Path, chunking: str, matching: str, **options: object) -> Report:
    return sync(f"{source}/", target, Options(chunking=chunking, matching=matching, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(("chunking", "matching"), MODES)
def test_an_edited_file_is_rebuilt_from_the_basis(tmp_path: Path, chunking: str, matching: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    basis = random.Random(1).randbytes(20_000_000)
    for folder, data in ((source, edited(basis, 2)), (target, basis)):
        folder.mkdir()
        (folder / "file").write_bytes(data)
    report = run(source, target, chunking, matching, ignore_times=True, threads=3)
    assert (source / "file").read_bytes() == (target / "file").read_bytes()
    assert report.totals.bytes_copied + report.totals.bytes_literal == (source / "file").stat().st_size
    assert report.totals.bytes_copied > 18_500_000
    assert leftovers(target) == []


@pytest.mark.parametrize(("chunking", "matching"), MODES)
@pytest.mark.parametrize("route", ["local", "push", "pull"])
def test_trees_over_every_route(tmp_path: Path, chunking: str, matching: str, route: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for folder, seed in ((source, 1), (target, 1)):
        folder.mkdir()
        make_tree(folder, seed)
    (source / "a/medium").write_bytes(edited((source / "a/medium").read_bytes(), 3))
    (source / "large").chmod(0o600)
    (source / "large").write_bytes(edited((source / "large").read_bytes(), 4))
    (source / "new").write_bytes(random.Random(5).randbytes(500_000))
    options = Options(chunking=chunking, matching=matching)
    if route == "local":
        report = sync(f"{source}/", target, options)
    else:
        served = target if route == "push" else source
        with serving(Module("m", served, False)) as url:
            places = (f"{source}/", f"{url}/m") if route == "push" else (f"{url}/m/", target)
            report = sync(*places, options)
    assert report.status == "ok"
    assert snapshot(source) == snapshot(target)


@pytest.mark.parametrize("basis", [b"", b"x", bytes(3_000_000), b"y" * 9000])
@pytest.mark.parametrize("wanted", [b"z" * 8193, bytes(5_000_000), bytes(3_000_001), b"y" * 10_000])
def test_odd_content(tmp_path: Path, basis: bytes, wanted: bytes) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for folder, data in ((source, wanted), (target, basis)):
        folder.mkdir()
        (folder / "file").write_bytes(data)
    run(source, target, "paper", MATCHING_WEAK_STRONG, ignore_times=True)
    assert (target / "file").read_bytes() == wanted
