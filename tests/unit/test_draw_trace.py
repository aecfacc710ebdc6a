"""The picture of a trace: every stage of every thread is in it once, however many spans it has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

TOOL = Path(__file__).parents[2] / "tools/draw_trace.py"
SVG = "{http://www.w3.org/2000/svg}"


def event(name: str, thread: int, begin: float, length: float) -> dict[str, object]:
    return {"ph": "X", "name": name, "pid": 1, "tid": thread, "ts": begin, "dur": length}


def test_spans_are_drawn_by_stage(tmp_path: Path) -> None:
    names: list[dict[str, object]] = [
        {"ph": "M", "name": "process_name", "pid": 1, "tid": 0, "args": {"name": "this side"}},
        *({"ph": "M", "name": "thread_name", "pid": 1, "tid": n, "args": {"name": f"<{n}>"}} for n in (1, 2)),
    ]
    # 100 ms on 840 units: spans 10 us apart touch, those 20 ms apart do not.
    spans = [event("scan x", 1, 100.0 * n, 90.0) for n in range(10)]
    spans += [event("send y", 2, 20_000.0 * n, 1000.0) for n in range(5)]
    spans += [event("scan x", 2, 10_000.0, 90_000.0)]
    (tmp_path / "trace.json").write_text(json.dumps({"traceEvents": [*names, *spans]}))

    subprocess.run([sys.executable, TOOL, tmp_path / "trace.json", tmp_path / "trace.svg"], check=True)

    root = ElementTree.parse(tmp_path / "trace.svg").getroot()
    drawn = {path.findtext(f"{SVG}title"): path.get("d", "").count("M") for path in root.iter(f"{SVG}path")}
    assert drawn == {"scan x, 10 times, 0.9 ms": 1, "send y, 5 times, 5.0 ms": 5, "scan x, 1 times, 90.0 ms": 1}
    assert {"this side: <1>", "this side: <2>"} <= {text.text for text in root.iter(f"{SVG}text")}


def test_without_files_it_says_what_it_wants() -> None:
    done = subprocess.run([sys.executable, TOOL], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith("usage: ")) == (1, True)
