"""Stacked bars in the style of benchmarks.plot: what a time is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from benchmarks.plot import BAR, LABEL, MARGIN, NOTE, ROW, STYLE, WIDTH

PARTS = ("part0", "part1", "part2", "part3", "part4")
PART_STYLE = """
.part0 { fill: #2f6fde } .part1 { fill: #d9822b } .part2 { fill: #3d9970 } .part3 { fill: #8e5bb5 }
.part4 { fill: #9aa4af } .computed { opacity: 0.55 }
@media (prefers-color-scheme: dark) {
  .part0 { fill: #6ea3ff } .part1 { fill: #f0a95b } .part2 { fill: #6cc49b } .part3 { fill: #bb8fe0 }
  .part4 { fill: #6b7580 }
}
"""


class Stack(NamedTuple):
    """One bar: its parts in order, and the text behind it. `computed`: paler, since it was not measured."""

    label: str
    values: Sequence[float]
    text: str
    computed: bool = False


class StackGroup(NamedTuple):
    """Bars on one scale of their own."""

    title: str
    stacks: list[Stack]


def stacked(title: str, legend: Sequence[str], groups: Sequence[StackGroup], note: str) -> str:
    """A whole SVG document; `legend` names the parts."""
    y = MARGIN + 16
    body = [_text(MARGIN, y, title, "title")]
    y += 22
    body += _legend(legend, y)
    for group in groups:
        y += 30
        body.append(_text(MARGIN, y, group.title, "group"))
        y += 8
        largest = max((sum(stack.values) for stack in group.stacks), default=0.0)
        for stack in group.stacks:
            body += _stack(stack, largest, y)
            y += ROW
    y += 26
    body.append(_text(MARGIN, y, f"{note}. Each group has its own scale.", "faint"))
    height = y + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img">\n<title>{escape(title)}</title>\n<style>{STYLE}{PART_STYLE}</style>\n'
        f'<rect class="page" width="{WIDTH}" height="{height}"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _legend(legend: Sequence[str], y: int) -> Iterator[str]:
    x = MARGIN
    for name, style in zip(legend, PARTS, strict=False):
        yield f'<rect class="{style}" x="{x}" y="{y - 10}" width="12" height="12" rx="2"/>'
        yield _text(x + 17, y, name)
        x += 40 + 7 * len(name)


def _stack(stack: Stack, largest: float, y: int) -> Iterator[str]:
    x = float(MARGIN + LABEL)
    room = WIDTH - LABEL - NOTE - 2 * MARGIN
    yield _text(x - 8, y + BAR - 2, stack.label, anchor="end")
    paler = " computed" if stack.computed else ""
    for value, style in zip(stack.values, PARTS, strict=False):
        length = room * value / largest if largest > 0 else 0.0
        yield f'<rect class="{style}{paler}" x="{x:.1f}" y="{y}" width="{max(length, 0.0):.1f}" height="{BAR}"/>'
        x += length
    yield _text(x + 6, y + BAR - 2, stack.text, "faint")


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>'
