"""Where dsync's time goes (figure 3), and where it would go with an ideal chunker and matcher (figure 5)."""

from __future__ import annotations

from benchmarks.lab.shape import parse_shape
from benchmarks.measure import ratio
from benchmarks.paper.drawing import Stack, StackGroup, stacked
from benchmarks.paper.rows import Experiment, Medians
from benchmarks.paper.sections import published
from benchmarks.paper.sections.section import (
    Claim,
    Section,
    image,
    markdown_table,
    note,
    paragraph,
    percent,
    seconds,
    span,
)

LEGEND = ("chunking", "matching", "literals on the wire (computed)", "rest of reconstruction")
IMAGE = "breakdown.svg"

Parts = tuple[float, float, float, float]


def parts_of(values: dict[str, float], net: str) -> Parts:
    """Seconds of chunking, matching, literals at the link's rate, and what is left of Phase III."""
    shape = parse_shape(net)
    wire = values["literal_bytes"] * 8 / shape.rate if shape else 0.0
    wire = min(wire, values["reconstruction"])
    return values["chunking"], values["matching"], wire, values["reconstruction"] - wire


def section(results: dict[str, Experiment]) -> Section:
    phases = results["phases"]
    medians = Medians(phases.rows)
    groups, rows, claims = [], [], []
    for net in medians.nets():
        found = {
            name: parts_of(values, net) for name in medians.datasets() if (values := medians.find(name, "dsync", net))
        }
        for name, parts in found.items():
            groups.append(StackGroup(f"{name}, {net}", _stacks(parts)))
            rest = sum(parts) - parts[0]
            shares = [ratio(one, rest) for one in parts[1:]]
            rows.append([name, net, seconds(sum(parts)), percent(ratio(parts[0], sum(parts))), *map(percent, shares)])
        claims += _claims(net, list(found.values()))
    head = ["set", "net", "seconds", "chunking", "matching", "literals on the wire", "rest of reconstruction"]
    text = "\n".join(
        [
            "## Where the time goes (Fig. 3, 5)\n",
            paragraph(
                "dsync, its phases one after the other; chunking by one thread, in turns, as each side would",
                "on a host of",
                "its own. The shares on the right are of the time with an ideal chunker, which takes none.",
            ),
            image(IMAGE, "dsync's time by phase, and with an ideal chunker and matcher"),
            markdown_table(head, rows),
            _why(medians),
        ]
    )
    title = "dsync's seconds by phase, then with an ideal chunker, then with an ideal matcher, too"
    return Section(text, {IMAGE: stacked(title, LEGEND, groups, note(phases))}, claims)


def _stacks(parts: Parts) -> list[Stack]:
    chunking, matching, wire, rest = parts
    return [
        Stack("dsync", parts, f"{sum(parts):.2f} s"),
        Stack("ideal chunker", (0.0, matching, wire, rest), f"{sum(parts) - chunking:.2f} s, computed", True),
        Stack("and ideal matcher", (0.0, 0.0, wire, rest), f"{wire + rest:.2f} s, computed", True),
    ]


def _claims(net: str, found: list[Parts]) -> list[Claim]:
    shares = [100 * ratio(parts[0], sum(parts)) for parts in found]
    ideal = [[100 * ratio(one, sum(parts) - parts[0]) for one in parts[1:]] for parts in found]
    shown = "{:.1f} %"
    claims = [
        Claim(
            f"dsync, {net}: chunking's share of the time",
            published.CHUNKING_SHARE.shares(),
            span(shares, shown),
            min(shares) >= published.CHUNKING_SHARE.low,
        )
    ]
    said = published.IDEAL_MATCHING.get(net)
    if said:
        matching = [one[0] for one in ideal]
        claims.append(
            Claim(
                f"dsync with an ideal chunker, {net}: matching's share",
                said.shares(),
                span(matching, shown),
                said.low <= min(matching) and max(matching) <= said.high,
            )
        )
    return claims


def _why(medians: Medians) -> str:
    found = [medians.get(*place)["chunking"] for place in medians if place.subject == "dsync"]
    return paragraph(
        "**Why chunking's share is smaller here.** It is the paper's bottleneck because its chunker is slow: the",
        "published prototype reaches 0.4 to 0.5 GB/s a core on a machine like this. dsync has this project's kernels",
        f"here, and chunks a whole file in {span(found, '{:.2f} s')}. So parallel chunking can gain less of",
        "the whole,",
        "and matching is a larger share of it: BLAKE3 of all that matches, on both sides, is now the most that is",
        "computed.",
    )
