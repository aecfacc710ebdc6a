"""`python -m benchmarks show`: results again, several runs of the same benchmark taken together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.errors import BenchmarkError
from benchmarks.report import finish
from benchmarks.results import EndToEnd, Result, read_result
from benchmarks.summary import summarise


@click.command("show", short_help="Show results again; several end-to-end ones together.")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE..."
)
@click.option("--out", type=click.Path(path_type=Path), help="Write them together here, as JSON.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw them here, as SVG.")
def command(files: tuple[Path, ...], out: Path | None, plot: Path | None) -> None:
    """Show results. Several results of endtoend are joined: medians over all their runs."""
    finish(join([read_result(file) for file in files]), out, plot)


def join(results: Sequence[Result]) -> Result:
    """One result of several.

    Raises:
        BenchmarkError: there are several, and one is not of endtoend or of another machine.
    """
    first = results[0]
    if len(results) == 1:
        return first
    found = [result for result in results if isinstance(result, EndToEnd)]
    if len(found) != len(results) or not isinstance(first, EndToEnd):
        raise BenchmarkError("only results of endtoend can be joined: show the others one by one")
    if len({(one.machine.cpu, one.machine.cores, one.store) for one in found}) > 1:
        raise BenchmarkError("these results are of different machines or stores: medians over them mean nothing")
    transfers = [transfer for one in found for transfer in one.transfers]
    sizes: dict[str, int] = {}
    delay: dict[str, str] = {}
    for one in found:
        sizes |= one.sizes
        delay |= one.delay
    return EndToEnd(
        format=first.format,
        started=min(one.started for one in found),
        machine=first.machine,
        store=first.store,
        sizes=sizes,
        delay=delay,
        transfers=transfers,
        summary=summarise(transfers),
        deltas=[delta for one in found for delta in one.deltas],
    )
