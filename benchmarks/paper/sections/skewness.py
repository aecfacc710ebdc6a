"""How uneven weak checksums are (figure 10), and what that costs who matches by checksum."""

from __future__ import annotations

from benchmarks.measure import ratio
from benchmarks.paper.experiments.slices import CHUNKS, DATASET
from benchmarks.paper.rows import Experiment, Medians
from benchmarks.paper.sections import published
from benchmarks.paper.sections.section import (
    Claim,
    Section,
    markdown_table,
    paragraph,
    percent,
    seconds,
    threads_of,
    times,
)

SCALES = 1.8
"""Times as fast by two threads as by one: what is called parallel here."""


def section(results: dict[str, Experiment]) -> Section:
    medians = Medians(results["skew"].rows)
    rows = []
    for place in medians:
        values = medians.get(*place)
        rows.append(
            [
                place.dataset,
                place.subject,
                f"{values['chunks']:,.0f}",
                f"{values['checksums']:,.0f}",
                percent(values["below10"]),
                percent(values["above100"]),
                percent(values["above1000"]),
                f"{values['largest']:,.0f}",
            ]
        )
    most, where = max((medians.get(*place)["largest"], f"{place.dataset}'s {place.subject}") for place in medians)
    head = ["set", "side", "chunks", "checksums", "fewer than 10", "more than 100", "more than 1000", "the most"]
    below = [100 * medians.get(*place)["below10"] for place in medians]
    claims = [
        Claim(
            "Weak checksums that more than 100 chunks share",
            published.ABOVE_100.shares(),
            f"at most {max(100 * medians.get(*place)['above100'] for place in medians):.2f} %",
            max(100 * medians.get(*place)["above100"] for place in medians) >= published.ABOVE_100.low,
        )
    ]
    text = "\n".join(
        [
            "## Skew of weak checksums (Fig. 10)\n",
            paragraph("Chunks that share a weak checksum, as shares of the different checksums."),
            markdown_table(head, rows),
            paragraph(
                "The paper's archives hold many versions of the same files, so that a checksum in 20 to 30",
                "is shared by",
                f"more than 100 chunks. These files are one version each: at least {min(below):.2f} % of the",
                "checksums",
                f"have fewer than 10 chunks. What is shared is mostly zeros: {most:,.0f} chunks in {where}.",
            ),
        ]
    )
    made, more = _slices(results)
    return Section(f"{text}\n{made}", {}, claims + more)


def _slices(results: dict[str, Experiment]) -> tuple[str, list[Claim]]:
    if "slices" not in results:
        return "", []
    medians = Medians(results["slices"].rows)
    threads = max(medians.threads())
    rows, gains = [], {}
    for subject in medians.subjects():
        one, many = (medians.get(DATASET, subject, threads=count)["seconds"] for count in (1, threads))
        gains[subject] = ratio(one, many)
        rows.append([subject, seconds(one), seconds(many), times(gains[subject])])
    text = "\n".join(
        [
            paragraph(
                f"**One checksum of {CHUNKS:,} chunks**, the paper's worst case, made: the seconds of the",
                "receiver's strong",
                "checksums when a checksum is one thread's (pdsync), and when equal slices of chunks are",
                "(ParaSync 3.2).",
            ),
            markdown_table(["", "1 thread", threads_of(threads), "gain"], rows),
        ]
    )
    holds = gains["by slice"] >= SCALES * threads / 2 and gains["by checksum"] < gains["by slice"]
    ours = f"{times(gains['by slice'])} by slices, {times(gains['by checksum'])} by checksum"
    what = f"A checksum of {CHUNKS:,} chunks does not serialise, {threads} threads"
    return text, [Claim(what, "parallel by slices", ours, holds)]
