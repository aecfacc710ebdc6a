"""Draw a trace that `parasync sync --trace FILE` wrote as an SVG: python tools/draw_trace.py FILE OUT.svg

One lane for each thread of either side, readable in light and dark.
"""

from __future__ import annotations

import json
import sys
from html import escape
from pathlib import Path

WIDTH, LEFT, LANE, TOP = 1000, 150, 18, 40
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
    for span in spans:
        name = str(span["name"])
        x = LEFT + float(span["ts"]) / 1000 * scale  # type: ignore[arg-type]
        wide = max(0.6, float(span["dur"]) / 1000 * scale)  # type: ignore[arg-type]
        y = TOP + LANE * lanes[span["pid"], span["tid"]]
        colour = COLOURS.get(name.split(maxsplit=1)[0], "#888")
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{LANE - 4}" fill="{colour}">'
            f"<title>{escape(name)}, {float(span['dur']) / 1000:.1f} ms</title></rect>"  # type: ignore[arg-type]
        )
    shown = {str(span["name"]).split()[0] for span in spans}
    for number, (name, colour) in enumerate(entry for entry in COLOURS.items() if entry[0] in shown):
        x = LEFT + number * 78
        parts.append(f'<rect x="{x}" y="10" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 14}" y="19">{name}</text>')
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
