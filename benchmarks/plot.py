"""Results as bar charts in SVG, readable in light and in dark; written by hand, so that nothing has to be installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from benchmarks.chunking.projection import projected
from benchmarks.results import Chunking, EndToEnd, Index, Machine, Rate, Result, WorstCase

WIDTH = 900
LABEL = 250
NOTE = 190
ROW = 20
BAR = 13
MARGIN = 16

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 } .title { font-size: 16px; font-weight: 600 }
.panel { font-size: 14px; font-weight: 600 } .group { font-weight: 600 } .faint { fill: #59636e }
.page { fill: #fff } .ours { fill: #2f6fde } .peer { fill: #9aa4af }
.projected { fill: none; stroke: #2f6fde; stroke-width: 1.5; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .faint { fill: #9198a1 }
  .page { fill: #0d1117 } .ours { fill: #6ea3ff } .peer { fill: #6b7580 } .projected { stroke: #6ea3ff }
}
"""
"""Colours in full for each theme: variables are unknown to many programs that draw SVG."""
OURS, PEER, PROJECTED = "ours", "peer", "projected"


class Bar(NamedTuple):
    """One value: what it is of, its text (with its unit), and a class of `STYLE`."""

    label: str
    value: float
    text: str
    style: str


class Group(NamedTuple):
    """Bars on one scale of their own."""

    title: str
    bars: list[Bar]


class Panel(NamedTuple):
    title: str
    groups: list[Group]


def draw(result: Result) -> str:
    """The chart of a result, a whole SVG document."""
    match result:
        case EndToEnd():
            title, panels = "Whole syncs: seconds, and MB on the wire; shorter is better", list(_endtoend(result))
        case Chunking():
            title, panels = "Phase I, content-defined chunking: GB/s; longer is better", list(_chunking(result))
        case Index():
            title, panels = "Index: million look-ups a second; longer is better", [_index(result)]
    return chart(title, panels, footer(result.machine, result.started))


def footer(machine: Machine, started: str) -> str:
    """Where and when."""
    return f"{machine.cpu}, {machine.cores} cores, Linux {machine.kernel}; ParaSync {machine.parasync}; {started[:10]}"


def chart(title: str, panels: Sequence[Panel], note: str) -> str:
    """Panels below each other; every group has a scale of its own, told in its values."""
    y = MARGIN + 16
    body = [_text(MARGIN, y, title, "title")]
    for panel in panels:
        y += 34
        body.append(_text(MARGIN, y, panel.title, "panel"))
        for group in panel.groups:
            y += 26
            body.append(_text(MARGIN, y, group.title, "group"))
            y += 8
            for bar, length in zip(group.bars, lengths(group.bars), strict=True):
                body += _bar(bar, length, y)
                y += ROW
    y += 30
    body.append(_text(MARGIN, y, f"{note}. Each group has its own scale.", "faint"))
    height = y + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n'
        f'<rect class="page" width="{WIDTH}" height="{height}"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def lengths(bars: Sequence[Bar]) -> list[float]:
    """Widths of a group's bars; the largest fills what is left between label and value."""
    largest = max((bar.value for bar in bars), default=0.0)
    room = WIDTH - LABEL - NOTE - 2 * MARGIN
    return [room * bar.value / largest if largest > 0 else 0.0 for bar in bars]


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>'


def _bar(bar: Bar, length: float, y: float) -> Iterator[str]:
    left = MARGIN + LABEL
    yield _text(left - 8, y + BAR - 2, bar.label, anchor="end")
    yield f'<rect class="{bar.style}" x="{left}" y="{y}" width="{max(length, 1):.1f}" height="{BAR}" rx="2"/>'
    yield _text(left + length + 6, y + BAR - 2, bar.text, "faint")


def _endtoend(result: EndToEnd) -> Iterator[Panel]:
    nets = list(dict.fromkeys(row.net for row in result.summary))
    for net in nets:
        rows = [row for row in result.summary if row.net == net and row.runs]
        groups = []
        for name in dict.fromkeys(row.dataset for row in rows):
            bars = [
                Bar(
                    row.tool,
                    row.seconds,
                    f"{row.seconds:.2f} s, {(row.to_receiver + row.to_sender) / 1e6:.1f} MB",
                    _style(row.tool),
                )
                for row in rows
                if row.dataset == name
            ]
            groups.append(Group(f"{name}, {result.sizes.get(name, 0) / 1e6:,.0f} MB", bars))
        yield Panel(f"{net} (delay by {result.delay.get(net, 'unknown')})", groups)


def _chunking(result: Chunking) -> Iterator[Panel]:
    for data in dict.fromkeys(rate.data for rate in result.rates):
        rates = [rate for rate in result.rates if rate.data == data]
        groups = []
        for threads in sorted({rate.threads for rate in rates}):
            same = [rate for rate in rates if rate.threads == threads]
            limits = ", ".join(f"{rate.name} {rate.gb_per_s:.1f}" for rate in same if rate.name.startswith("memory"))
            bars = [_rate(rate.name, rate) for rate in same if rate.group in ("parasync", "peer")]
            groups.append(Group(f"{threads} thread{'s' * (threads > 1)} (limits: {limits})", _fastest_first(bars)))
        commands = [_rate(f"{one.name}, {one.threads} threads", one) for one in rates if one.group == "command"]
        groups.append(Group("whole commands, start of the process included", _fastest_first(commands)))
        yield Panel(data, [*groups, *_projected(result, data)])
    if result.worst:
        yield _worst(result.worst)


def _rate(label: str, rate: Rate) -> Bar:
    inside = f" ({rate.inner_gb_per_s:.2f} without start)" if rate.inner_gb_per_s else ""
    return Bar(label, rate.gb_per_s, f"{rate.gb_per_s:.2f}{inside}", _style(rate.name))


def _style(name: str) -> str:
    return OURS if name.startswith("parasync") else PEER


def _fastest_first(bars: list[Bar]) -> list[Bar]:
    return sorted(bars, key=lambda bar: -bar.value)


def _projected(result: Chunking, data: str) -> Iterator[Group]:
    for share in result.shares:
        if share.data == data and share.kernel == result.machine.kernels[-1]:
            bars = [Bar(f"{one.cores} cores", one.gb_per_s, projected(one), PROJECTED) for one in share.projections]
            title = f"projected by Amdahl's law, not measured: {share.kernel}, {share.share:.1%} of it serial"
            yield Group(title, bars)


def _worst(cases: Sequence[WorstCase]) -> Panel:
    """Of the fastest kernel, slowest first."""
    kernel = cases[-1].kernel
    bars = [
        Bar(case.pattern, case.gb_per_s, f"{case.gb_per_s:.2f}, {case.relative:.2f} of random", OURS)
        for case in sorted(cases, key=lambda case: case.gb_per_s)
        if case.kernel == kernel
    ]
    return Panel("hard inputs", [Group(f"parasync {kernel}, 1 thread", bars)])


def _index(result: Index) -> Panel:
    bars = [
        Bar(one.kind, one.per_second / 1e6, f"{one.per_second / 1e6:.1f} million/s", OURS) for one in result.look_ups
    ]
    return Panel(f"{result.entries:,} entries, {result.bytes_per_entry:.1f} bytes each", [Group("look-ups", bars)])
