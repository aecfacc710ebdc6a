"""Many transfers to few figures: medians, and how each tool compares with ours."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.measure import median, ratio
from benchmarks.results import Transfer, TransferSummary, Versus

OURS = "parasync"
"""Our tools' names begin with this."""


def summarise(transfers: Sequence[Transfer]) -> list[TransferSummary]:
    """Medians of each net, dataset and tool, in the order of their first run; failed runs are counted, not timed."""
    groups: dict[tuple[str, str, str], list[Transfer]] = {}
    for transfer in transfers:
        groups.setdefault((transfer.net, transfer.dataset, transfer.tool), []).append(transfer)
    rows = [_medians(runs) for runs in groups.values()]
    return [_versus_ours(row, rows) for row in rows]


def _medians(runs: Sequence[Transfer]) -> TransferSummary:
    good = [run for run in runs if run.ok]

    def middle(field: str) -> float:
        return median([getattr(run, field) for run in good]) if good else 0.0

    return TransferSummary(
        tool=runs[0].tool,
        dataset=runs[0].dataset,
        net=runs[0].net,
        runs=len(good),
        failed=len(runs) - len(good),
        seconds=middle("seconds"),
        fastest=min((run.seconds for run in good), default=0.0),
        to_receiver=round(middle("to_receiver")),
        to_sender=round(middle("to_sender")),
        cpu_sender=middle("cpu_sender"),
        cpu_receiver=middle("cpu_receiver"),
        cpu_other=middle("cpu_other"),
        rss_sender=round(middle("rss_sender")),
        rss_receiver=round(middle("rss_receiver")),
        versus_ours={},
    )


def _versus_ours(row: TransferSummary, rows: Sequence[TransferSummary]) -> TransferSummary:
    versus = {}
    for ours in rows:
        same = (ours.net, ours.dataset) == (row.net, row.dataset)
        if same and ours.tool.startswith(OURS) and ours.runs and row.runs:
            both = ours.to_receiver + ours.to_sender
            versus[ours.tool] = Versus(
                seconds=ratio(row.seconds, ours.seconds), bytes=ratio(row.to_receiver + row.to_sender, both)
            )
    return msgspec.structs.replace(row, versus_ours=versus)
