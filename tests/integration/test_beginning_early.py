"""Single large files are begun on before the session is; whatever comes of it, the result is the same."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from parasync import client
from parasync.api import sync
from parasync.config import DEFAULT_AVERAGE, MATCHING_WEAK_STRONG, SEGMENT_BYTES
from parasync.errors import ConnectionLostError, SelectionError
from parasync.model import Monitor, Report
from parasync.options import Options
from parasync.server import Module
from parasync.tracing import Tracer
from parasync.wire.messages import Hello
from support import leftovers, serving

OLD = random.Random(1).randbytes(20_000_000)
NEW = OLD[:5_000_000] + random.Random(2).randbytes(100_000) + OLD[5_000_000:]


@pytest.fixture(params=["push", "pull"])
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str, Path]]:
    """(source, destination, the destination's file): `new`, 20 MB, over the older `old`."""
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    near, far = (tmp_path / "here", tmp_path / "there")
    if request.param == "pull":
        near, far = far, near
    (near / "new").write_bytes(NEW)
    (far / "old").write_bytes(OLD)
    with serving(Module("m", os.fsencode(tmp_path / "there"), read_only=False)) as url:
        if request.param == "push":
            yield str(near / "new"), f"{url}/m/old", far / "old"
        else:
            yield f"{url}/m/new", str(far / "old"), far / "old"


def early_scans(tracer: Tracer) -> int:
    return sum(span.thread.startswith("early ") and span.name.startswith("scan ") for span in tracer.spans)


def run(ends: tuple[str, str, Path], tracer: Tracer, **options: object) -> Report:
    report = sync(ends[0], ends[1], Options(**options), tracer=tracer)  # type: ignore[arg-type]
    assert report.status == "ok"
    assert ends[2].read_bytes() == NEW
    return report


def test_the_work_begun_is_used(ends: tuple[str, str, Path]) -> None:
    tracer = Tracer()
    report = run(ends, tracer)
    assert early_scans(tracer) >= len(OLD) // SEGMENT_BYTES
    side = "target" if ends[1].startswith("parasync") else "basis"
    assert sum(span.name == f"scan {side}" for span in tracer.spans) == early_scans(tracer), "nothing is scanned twice"
    assert report.totals.bytes_literal < 150_000


@pytest.mark.parametrize("ends", ["push"], indirect=True)
def test_a_server_that_chooses_its_own_key_gets_the_same(
    ends: tuple[str, str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = client.new_hello
    monkeypatch.setattr(client, "new_hello", lambda **fields: _without_offer(real(**fields)))
    tracer = Tracer()
    report = run(ends, tracer)
    assert report.totals.bytes_literal < 150_000
    again = [span for span in tracer.spans if span.name == "scan target" and not span.thread.startswith("early ")]
    assert len(again) >= len(OLD) // SEGMENT_BYTES, "what was begun by another key is of no use"


def _without_offer(hello: Hello) -> Hello:
    return msgspec.structs.replace(hello, offered_key=b"")


@pytest.mark.parametrize(
    "options",
    [
        {"whole_file": True},
        {"matching": MATCHING_WEAK_STRONG},
        {"average": 65536},
        {"chunking": "paper"},
        {"threads": 1},
    ],
)
def test_every_option_gives_the_same(ends: tuple[str, str, Path], options: dict[str, object]) -> None:
    tracer = Tracer()
    report = run(ends, tracer, **options)
    begun = not {"whole_file", "matching"} & options.keys()
    assert bool(early_scans(tracer)) == begun
    assert (report.totals.bytes_literal < 600_000) == (not options.get("whole_file", False))


def test_an_unchanged_file_costs_no_content(ends: tuple[str, str, Path]) -> None:
    run(ends, Tracer())
    again = run(ends, Tracer())
    assert again.totals.files_unchanged == 1
    assert again.totals.bytes_literal == again.totals.bytes_target == 0


def test_a_run_that_cannot_begin_leaves_no_thread_behind(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(NEW)
    before = threading.active_count()
    with pytest.raises(ConnectionLostError):
        sync(tmp_path / "new", "parasync://127.0.0.1:1/m/new")
    with pytest.raises(ConnectionLostError):
        sync("parasync://127.0.0.1:1/m/new", tmp_path / "new")
    assert threading.active_count() == before


@pytest.mark.parametrize("ends", ["pull"], indirect=True)
def test_what_is_begun_wrongly_is_given_up(ends: tuple[str, str, Path], tmp_path: Path) -> None:
    """The destination is a directory with such a file, or a file of another name, or there is none."""
    source = ends[0]
    (tmp_path / "here/new").write_bytes(OLD)
    assert sync(source, tmp_path / "here").totals.bytes_literal < 150_000
    assert (tmp_path / "here/new").read_bytes() == NEW
    assert sync(source, tmp_path / "here/other").totals.bytes_literal == len(NEW)
    assert (tmp_path / "here/other").read_bytes() == NEW
    with pytest.raises(SelectionError):
        sync(source, tmp_path / "no/such/directory/")
    assert leftovers(tmp_path) == []


def test_the_account_is_the_same_as_without(ends: tuple[str, str, Path]) -> None:
    monitor = Monitor()
    report = sync(ends[0], ends[1], Options(), monitor)
    assert report.totals.bytes_copied + report.totals.bytes_literal == len(NEW)
    assert monitor.bytes_done == monitor.bytes_expected == len(NEW)
    assert DEFAULT_AVERAGE < report.totals.bytes_sent + report.totals.bytes_received < 300_000
