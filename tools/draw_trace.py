"""Draw a trace that `parasync sync --trace FILE` wrote as an SVG: python tools/draw_trace.py FILE OUT.svg

One lane for each thread of either side, readable in light and dark.
"""

from __future__ import annotations

import json
import sys
from html import escape
from pathlib import Path
from typing import NamedTuple

WIDTH, LEFT, LANE, TOP = 1000, 150, 18, 40
NARROWEST = 0.6
"""Of a bar; and of a gap between two."""
COLOURS = {
    "scan": "#4e79a7",
    "merge": "#a0cbe8",
    "match": "#b07aa1",
    "copy": "#59a14f",
    "literal": "#f28e2b",
    "read": "#edc948",
    "compress": "#9c755f",
    "decompress": "#9c755f",
    "send": "#e15759",
    "receive": "#ff9da7",
    "commit": "#76b7b2",
    "free": "#d37295",
    "plan": "#bab0ac",
}
STYLE = "text{font:11px sans-serif;fill:#333}.grid{stroke:#8884}@media(prefers-color-scheme:dark){text{fill:#ddd}}"


class Bar(NamedTuple):
    """One bar of the picture: spans of one name with hardly anything between them. Times in milliseconds."""

    lane: tuple[object, object]
    name: str
    begin: float
    end: float
    busy: float
    count: int


def joined(spans: list[dict[str, object]], gap: float) -> list[Bar]:
    """A bar for all spans of a lane that follow one of the same name within `gap` milliseconds."""
    bars: list[Bar] = []
    last: dict[tuple[object, object], int] = {}
    for span in sorted(spans, key=lambda span: float(span["ts"])):  # type: ignore[arg-type]
        lane = span["pid"], span["tid"]
        begin, busy = float(span["ts"]) / 1000, float(span["dur"]) / 1000  # type: ignore[arg-type]
        before = bars[last[lane]] if lane in last else None
        if before is not None and before.name == span["name"] and begin - before.end < gap:
            bars[last[lane]] = before._replace(
                end=max(before.end, begin + busy), busy=before.busy + busy, count=before.count + 1
            )
            continue
        last[lane] = len(bars)
        bars.append(Bar(lane, str(span["name"]), begin, begin + busy, busy, 1))
    return bars


def draw(document: dict[str, list[dict[str, object]]]) -> str:
    """The SVG of one trace document."""
    sides: dict[object, str] = {}
    threads: dict[tuple[object, object], str] = {}
    spans = []
    for event in document["traceEvents"]:
        if event["ph"] == "X":
            spans.append(event)
        elif event["name"] == "process_name":
            sides[event["pid"]] = str(event["args"]["name"])  # type: ignore[index]
        else:
            threads[event["pid"], event["tid"]] = str(event["args"]["name"])  # type: ignore[index]
    lanes = {key: number for number, key in enumerate(sorted(threads, key=lambda key: (str(key[0]), threads[key])))}
    length = max(float(span["ts"]) + float(span["dur"]) for span in spans) / 1000  # type: ignore[arg-type]
    scale = (WIDTH - LEFT - 10) / length
    height = TOP + LANE * len(lanes) + 30
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"><style>{STYLE}</style>']
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 60000) if length / step <= 12)
    for tick in range(0, int(length) + 1, step):
        x = LEFT + tick * scale
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{height - 30}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 16}" text-anchor="middle">{tick} ms</text>')
    for key, lane in lanes.items():
        label = f"{sides[key[0]]}: {threads[key]}"
        parts.append(f'<text x="{LEFT - 8}" y="{TOP + LANE * lane + 12}" text-anchor="end">{escape(label)}</text>')
    stages: dict[tuple[object, object, str], list[Bar]] = {}
    for bar in joined(spans, NARROWEST / scale):
        stages.setdefault((*bar.lane, bar.name), []).append(bar)
    for (side, thread, name), bars in stages.items():
        y = TOP + LANE * lanes[side, thread]
        outline = "".join(
            f"M{LEFT + bar.begin * scale:.1f} {y}h{wide:.1f}v{LANE - 4}h-{wide:.1f}z"
            for bar in bars
            for wide in (max(NARROWEST, (bar.end - bar.begin) * scale),)
        )
        colour = COLOURS.get(name.split(maxsplit=1)[0], "#888")
        count, busy = sum(bar.count for bar in bars), sum(bar.busy for bar in bars)
        title = f"{escape(name)}, {count} times, {busy:.1f} ms"
        parts.append(f'<path d="{outline}" fill="{colour}"><title>{title}</title></path>')
    shown = {str(span["name"]).split()[0] for span in spans}
    legend = [entry for entry in COLOURS.items() if entry[0] in shown]
    for number, (name, colour) in enumerate(legend):
        x = 10 + number * (WIDTH - 20) / len(legend)
        parts.append(f'<rect x="{x:.1f}" y="10" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 14:.1f}" y="19">{name}</text>')
    return "\n".join([*parts, "</svg>\n"])


def main() -> int:
    if len(sys.argv) != 3:
        sys.stderr.write("usage: python tools/draw_trace.py FILE OUT.svg\n")
        return 1
    document = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(sys.argv[2]).write_text(draw(document), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
