"""Traces, and what they show: the stages of both sides overlap."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from native_support import using_kernel
from parasync.api import sync
from parasync.options import Options
from parasync.server import Module
from parasync.tracing import OFF, Span, Tracer
from support import serving


@pytest.fixture(params=[50_000_000])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A target of as many bytes, and a server that has 15 MB of its beginning and as many of its end."""
    rng = random.Random(1)
    target = b"".join(rng.randbytes(50_000_000) for _ in range(request.param // 50_000_000))
    (tmp_path / "new").write_bytes(target)
    (tmp_path / "m").mkdir()
    (tmp_path / "m/file").write_bytes(target[:15_000_000] + target[-15_000_000:])
    with serving(Module("m", os.fsencode(tmp_path / "m"), read_only=False)) as url:
        yield tmp_path / "new", f"{url}/m/file"


def named(spans: list[Span], name: str) -> list[Span]:
    return sorted((span for span in spans if span.name == name), key=lambda span: span.start)


def end(span: Span) -> int:
    return span.start + span.length


# So large that its chunking takes a tenth of a second with the slowest kernel at least, and that of the basis a tenth
# of that.
@pytest.mark.parametrize("pair", [300_000_000], indirect=True)
def test_the_stages_overlap(pair: tuple[Path, str]) -> None:
    tracer = Tracer()
    with using_kernel("portable"):
        sync(*pair, Options(threads=1, compression=0), tracer=tracer)
    ours, theirs = tracer.spans, tracer.peer_spans
    assert tracer.peer_offset == 0, "both sides read the clock of one machine"
    last_scan = named(ours, "scan target")[-1]
    last_want = named(theirs, "send wants")[-1]
    assert end(named(ours, "send literal")[0]) < last_scan.start, "literals flow before target chunking ends"
    assert end(named(theirs, "literal")[0]) < last_want.start, "literals are written before the last want"
    assert end(named(theirs, "copy")[0]) < last_want.start, "copies are made before the last want"
    assert named(theirs, "scan basis")[0].start < end(last_scan), "both sides chunk at once"


def test_both_sides_are_in_the_file(pair: tuple[Path, str]) -> None:
    tracer = Tracer()
    sync(*pair, tracer=tracer)
    document = json.loads(tracer.chrome("client", "server"))
    events = document["traceEvents"]
    names = {event["args"]["name"] for event in events if event["ph"] == "M" and event["name"] == "process_name"}
    assert names == {"client", "server"}
    timed = [event for event in events if event["ph"] == "X"]
    assert {event["pid"] for event in timed} == {1, 2}
    assert min(event["ts"] for event in timed) >= 0
    assert all(event["dur"] >= 0 for event in timed)


def test_a_pull_brings_the_servers_spans_too(pair: tuple[Path, str], tmp_path: Path) -> None:
    tracer = Tracer()
    sync(pair[1], tmp_path / "copy", tracer=tracer)
    assert named(tracer.peer_spans, "read literals")
    assert named(tracer.spans, "literal")


def test_the_replaced_file_is_freed_when_the_new_one_is_in_its_place(pair: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(pair[0].read_bytes()[:20_000_000])
    tracer = Tracer()
    sync(pair[1], tmp_path / "copy", tracer=tracer)
    assert end(named(tracer.spans, "commit")[0]) <= named(tracer.spans, "free")[0].start


def test_nothing_is_recorded_or_sent_unless_asked(pair: tuple[Path, str]) -> None:
    sync(*pair)
    assert OFF.spans == []
    assert OFF.peer_spans == []


def test_clocks_of_different_machines_are_aligned_half_way() -> None:
    tracer = Tracer()
    tracer.align(1000, 3000, 1_000_000)
    assert tracer.peer_offset == 998_000
    tracer.spans.append(Span("here", "a", 1500, 10))
    tracer.peer_spans.append(Span("there", "b", 1_000_000, 10))
    events = {e["name"]: e for e in json.loads(tracer.chrome("x", "y"))["traceEvents"] if e["ph"] == "X"}
    assert events["there"]["ts"] - events["here"]["ts"] == 0.5
