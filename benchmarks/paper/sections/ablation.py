"""What each departure from the paper is worth."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.measure import ratio
from benchmarks.paper.experiments.ablation import VARIANTS
from benchmarks.paper.rows import Experiment, Medians
from benchmarks.paper.sections.section import (
    Claim,
    Section,
    change,
    change_span,
    geometric_mean,
    markdown_table,
    paragraph,
)
from benchmarks.paper.sections.wholes import traffic_of

LEAST_SAVED = 1.01
"""Times the traffic without compression, from which on there was some."""
LONG = ("wan",)
"""Networks over which there are several connections."""
DEPARTURES = {
    "weak and strong checksums, the sender plans": "fingerprint and receiver's plan",
    "the paper's cut rule": "the highest candidate",
    "no compression": "compression",
    "one connection": "connections as the link needs",
}


def section(results: dict[str, Experiment]) -> Section:
    medians = Medians(results["ablation"].rows)
    names = medians.datasets()
    parts = [
        "## This project's departures, one at a time\n",
        paragraph(
            "The default with one thing taken back: seconds and MB on the wire of the default, then how much",
            "more or less",
            f"each variant takes (sets {', '.join(names)}; at the end the geometric mean).",
        ),
    ]
    for net in medians.nets():
        parts.append(f"**{net}**\n")
        rows = []
        for subject in VARIANTS:
            cells = [_cell(medians, name, subject, net) for name in names]
            rows.append([subject, *cells, _mean(medians, names, subject, net)])
        parts.append(markdown_table(["", *names, "mean"], rows))
    parts.append(
        paragraph(
            "Where the link is faster than the compressor, nothing is compressed, and there is nothing to take back;",
            "over a short link there is one connection anyway.",
            "That the receiver plans is not a switch of its own: it can, only because the fingerprint needs",
            "no second",
            "exchange, so taking back the one takes back the other. Merging while later segments are",
            "scanned, instead of",
            "equal segments and a barrier, is compared under [chunking](#chunking-fig-16-17).",
        )
    )
    return Section("\n".join(parts), {}, _claims(medians, names))


def _claims(medians: Medians, names: list[str]) -> list[Claim]:
    """Whether each departure is worth it: without it, a sync takes longer on the mean."""
    claims = []
    for subject, departure in DEPARTURES.items():
        for net in medians.nets():
            ratios = _ratios(medians, names, subject, net, lambda values: values["seconds"])
            if ratios and not _unused(medians, names, subject, net):
                what = f"Without {departure}, {net}: time of the default"
                mean = geometric_mean(ratios)
                claims.append(Claim(what, "goal: more", f"{change(mean, 1)} ({change_span(ratios)})", mean > 1))
    return claims


def _unused(medians: Medians, names: list[str], subject: str, net: str) -> bool:
    """Whether the default compressed nothing there, or had one connection, so that there is nothing to take back."""
    if subject == "one connection":
        return net not in LONG
    sent = _ratios(medians, names, subject, net, traffic_of)
    return subject == "no compression" and geometric_mean(sent) < LEAST_SAVED


def _ratios(
    medians: Medians, names: list[str], subject: str, net: str, value: Callable[[dict[str, float]], float]
) -> list[float]:
    """`value` in proportion to the default's, for each dataset; empty if one was not measured."""
    pairs = [(medians.find(name, subject, net), medians.find(name, "default", net)) for name in names]
    return [ratio(value(values), value(base)) for values, base in pairs if values and base]


def _cell(medians: Medians, name: str, subject: str, net: str) -> str:
    values, base = (medians.find(name, one, net) for one in (subject, "default"))
    if not values or not base:
        return "-"
    if subject == "default":
        return f"{values['seconds']:.2f} s, {traffic_of(values) / 1e6:.1f} MB"
    return f"{change(values['seconds'], base['seconds'])}, {change(traffic_of(values), traffic_of(base))}"


def _mean(medians: Medians, names: list[str], subject: str, net: str) -> str:
    if subject == "default":
        return ""
    found = [_ratios(medians, names, subject, net, value) for value in (lambda one: one["seconds"], traffic_of)]
    return ", ".join(change(geometric_mean(ratios), 1) for ratios in found if ratios)
