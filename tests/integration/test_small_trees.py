"""Trees of many small files over every route: what arrives, and what is sent of it."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from parasync.api import sync
from parasync.model import Report
from parasync.options import Options
from parasync.server import Module
from support import leftovers, serving, snapshot

NOISE = random.Random(5).randbytes(700_000)
Run = Callable[..., Report]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "near").mkdir()
    (tmp_path / "far").mkdir()
    return tmp_path


@pytest.fixture(params=["local", "push", "pull"])
def run(request: pytest.FixtureRequest, here: Path) -> Iterator[Run]:
    """Bring `near` to `far`."""
    near, far = os.fsencode(here / "near"), os.fsencode(here / "far")
    with serving(Module("m", near if request.param == "pull" else far, read_only=request.param == "pull")) as url:
        remote = os.fsencode(url) + b"/m"
        source, to = {"local": (near, far), "push": (near, remote), "pull": (remote, far)}[request.param]
        yield lambda **options: sync(source + b"/", to + b"/", Options(**options))


def write(path: Path, content: bytes, day: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(0, day * 10**15))


def pair(here: Path, name: str, basis: bytes | None, target: bytes) -> None:
    write(here / "near" / name, target, 2)
    if basis is not None:
        write(here / "far" / name, basis, 1)


CASES: dict[str, tuple[bytes | None, bytes]] = {
    "new": (None, NOISE[:5000]),
    "new and empty": (None, b""),
    "touched": (NOISE[:3000], NOISE[:3000]),
    "touched, chunked": (NOISE[:60_000], NOISE[:60_000]),
    "other content": (NOISE[:3000], NOISE[3000:6000]),
    "one byte": (NOISE[:200_000], NOISE[:100_000] + b"!" + NOISE[100_001:200_000]),
    "grown": (NOISE[:50_000], NOISE[:50_000] + b"more"),
    "shrunk": (NOISE[:50_000], NOISE[:20_000]),
    "moved": (NOISE[:50_000], b"header" + NOISE[:50_000]),
    "emptied": (NOISE[:50_000], b""),
    "filled": (b"", NOISE[:50_000]),
    "at the bound": (NOISE[:262_144], NOISE[:262_143] + b"!"),
    "grown beyond it": (NOISE[:262_144], NOISE[:262_145]),
    "shrunk below it": (NOISE[:600_000], NOISE[:200_000]),
    "zeros": (bytes(20_000), bytes(40_000)),
}
OPTIONS: list[dict[str, object]] = [
    {},
    {"fsync": True},
    {"whole_file": True},
    {"average": 65536},
    {"chunking": "paper"},
    {"matching": "weak-strong"},
    {"compression": 3},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_case_arrives_and_adds_up(run: Run, here: Path, options: dict[str, object]) -> None:
    for name, (basis, target) in CASES.items():
        pair(here, name, basis, target)
    report = run(**options)
    assert snapshot(here / "near") == snapshot(here / "far")
    totals = report.totals
    assert (report.status, totals.files_sent, totals.files_failed) == ("ok", len(CASES), 0)
    assert totals.bytes_target == sum(len(target) for _, target in CASES.values())
    assert totals.bytes_copied + totals.bytes_literal == totals.bytes_target
    assert leftovers(here) == []


def test_a_changed_byte_costs_its_surroundings(run: Run, here: Path) -> None:
    pair(here, "file", *CASES["one byte"])
    report = run()
    assert 0 < report.totals.bytes_literal <= 6144
    # With the chunks of the basis, 10 bytes for 2 KiB.
    assert report.totals.bytes_sent + report.totals.bytes_received < 9_000


def test_a_new_time_alone_costs_no_content(run: Run, here: Path) -> None:
    pair(here, "small", *CASES["touched"])
    pair(here, "chunked", *CASES["touched, chunked"])
    before = (here / "far/small").stat().st_ino
    report = run()
    assert (report.totals.files_sent, report.totals.bytes_literal) == (2, 0)
    assert snapshot(here / "near") == snapshot(here / "far")
    assert (here / "far/small").stat().st_ino == before


def test_many_files_in_many_directories(run: Run, here: Path) -> None:
    dice = random.Random(9)
    for number in range(1200):
        content = NOISE[number : number + dice.choice([0, 10, 3000, 30_000])]
        basis = dice.choice([None, content, content[:-5], NOISE[: len(content)]])
        pair(here, f"d{number % 150}/f{number}", basis, content)
    report = run()
    assert report.status == "ok"
    assert snapshot(here / "near") == snapshot(here / "far")
    assert leftovers(here) == []


def test_a_dry_run_changes_nothing(run: Run, here: Path) -> None:
    for name, (basis, target) in CASES.items():
        pair(here, name, basis, target)
    before = snapshot(here / "far")
    assert run(dry_run=True).totals.files_sent == len(CASES)
    assert snapshot(here / "far") == before
