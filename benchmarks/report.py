"""Results for people: tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from benchmarks.chunking.projection import projected
from benchmarks.machine import facts
from benchmarks.measure import ratio
from benchmarks.plot import draw
from benchmarks.results import Chunking, EndToEnd, Index, Result, TransferSummary, write_result

MB = 1e6
Cell = str | int | float | None


def table(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Iterator[str]:
    """Columns as wide as what is in them: text to the left, numbers to the right."""
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(head, *texts, strict=True)]
    left = [all(isinstance(row[number], str) for row in rows) for number in range(len(head))]
    for line in (list(head), *texts):
        cells = (
            text.ljust(width) if to_left else text.rjust(width)
            for text, width, to_left in zip(line, widths, left, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    return f"{cell:,.2f}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else cell


def lines(result: Result) -> Iterator[str]:
    """A result as text."""
    yield from facts(result.machine)
    match result:
        case EndToEnd():
            yield from _endtoend(result)
        case Chunking():
            yield from _chunking(result)
        case Index():
            yield from _index(result)


def finish(result: Result, out: Path | None, plot: Path | None) -> None:
    """Print a result, and write and draw it where asked."""
    for line in lines(result):
        click.echo(line)
    if out is not None:
        write_result(out, result)
    if plot is not None:
        plot.parent.mkdir(parents=True, exist_ok=True)
        plot.write_text(draw(result), encoding="utf-8")


def _endtoend(result: EndToEnd) -> Iterator[str]:
    ours = sorted({name for row in result.summary for name in row.versus_ours})
    head = ["net", "set", "tool", "runs", "failed", "seconds", "fastest", "MB to recv.", "MB to sender"]
    head += ["CPU send.", "CPU recv.", "CPU other", "MiB send.", "MiB recv."]
    for name in ours:
        head += [f"time/{name}", f"bytes/{name}"]
    yield ""
    yield from table(head, [[*_cells(row), *_versus(row, ours)] for row in result.summary])
    yield "Medians. CPU in seconds and memory at its peak, of all processes of a side; other: the rest of the machine."
    if result.deltas:
        yield ""
        yield "with both files at hand (no network):"
        rows = [(delta.dataset, delta.tool, delta.seconds, delta.bytes / MB) for delta in result.deltas]
        yield from table(["set", "tool", "seconds", "MB"], rows)


def _cells(row: TransferSummary) -> list[Cell]:
    return [
        row.net,
        row.dataset,
        row.tool,
        row.runs,
        row.failed,
        row.seconds,
        row.fastest,
        row.to_receiver / MB,
        row.to_sender / MB,
        row.cpu_sender,
        row.cpu_receiver,
        row.cpu_other,
        row.rss_sender >> 20,
        row.rss_receiver >> 20,
    ]


def _versus(row: TransferSummary, ours: Sequence[str]) -> Iterator[float | None]:
    for name in ours:
        versus = row.versus_ours.get(name)
        yield versus.seconds if versus else None
        yield versus.bytes if versus else None


def _chunking(result: Chunking) -> Iterator[str]:
    head = ["data", "chunker", "threads", "GB/s", "best", "a CPU second", "inner", "mean chunk", "forced %", "and"]
    rows = [
        (
            rate.data,
            rate.name,
            rate.threads,
            rate.gb_per_s,
            rate.bytes / min(rate.seconds) / 1e9,
            rate.gb_per_cpu_s,
            rate.inner_gb_per_s,
            None if rate.mean is None else round(rate.mean),
            None if rate.forced is None else rate.forced * 100,
            rate.includes,
        )
        for rate in result.rates
    ]
    yield ""
    yield from table(head, rows)
    if result.shares:
        yield ""
        yield "serial share of the CPU time in one thread; rates with more cores are PROJECTED, by Amdahl's law"
        cores = [one.cores for one in result.shares[0].projections]
        head = ["data", "kernel", "scan ms", "merge ms", "serial %", *(f"{count} cores GB/s" for count in cores)]
        yield from table(
            head,
            [
                (
                    share.data,
                    share.kernel,
                    share.scan_seconds * 1e3,
                    share.merge_seconds * 1e3,
                    share.share * 100,
                    *(projected(one) for one in share.projections),
                )
                for share in result.shares
            ],
        )
    if result.worst:
        yield ""
        yield "hard inputs, one thread, CPU time"
        hard = [(one.kernel, one.pattern, one.gb_per_s, one.relative, one.records * 100) for one in result.worst]
        yield from table(["kernel", "input", "GB/s", "of random", "candidates' memory %"], hard)
    for name, reason in result.skipped.items():
        yield f"not run: {name}: {reason}"


def _index(result: Index) -> Iterator[str]:
    yield ""
    yield (
        f"{result.entries:,} entries, {result.bytes_per_entry:.1f} bytes each; inserted at "
        f"{ratio(result.entries, result.insert_seconds) / 1e6:.2f} million a second"
    )
    rows = [(look_up.kind, look_up.count, look_up.per_second / 1e6) for look_up in result.look_ups]
    yield from table(["look-ups", "a run", "million a second"], rows)
