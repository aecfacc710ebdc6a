"""Whole syncs: times (figure 22), traffic (figure 21), CPU seconds and memory."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.measure import ratio
from benchmarks.paper.rows import Experiment, Medians
from benchmarks.paper.sections import published
from benchmarks.paper.sections.section import (
    Claim,
    Section,
    change,
    change_span,
    geometric_mean,
    image,
    markdown_table,
    note,
    ordering,
    paragraph,
    seconds,
    span,
)
from benchmarks.plot import OURS, PEER, Bar, Group, Panel, chart

NAMES = {
    "dsync": "dsync",
    "pdsync": "pdsync",
    "parasync": "ParaSync, the paper's mode",
    "default": "this project's default",
    "rsync": "rsync",
}
TIMES_IMAGE, TRAFFIC_IMAGE = "endtoend.svg", "traffic.svg"

Values = dict[str, float]


def traffic_of(values: Values) -> float:
    """Bytes on the wire, both ways."""
    return values["to_receiver"] + values["to_sender"]


class Measured:
    """Medians of whole syncs."""

    def __init__(self, experiment: Experiment) -> None:
        self.medians = Medians(experiment.rows)
        self.cases = [
            (name, net)
            for net in self.medians.nets()
            for name in self.medians.datasets()
            if self.medians.find(name, "default", net)
        ]

    def has(self, subject: str) -> bool:
        return all(self.medians.find(name, subject, net) for name, net in self.cases)

    def ratios(self, subject: str, base: str, net: str, value: Callable[[Values], float]) -> list[float]:
        """`value` of `subject` in proportion to that of `base`, for each dataset."""
        pairs = [
            (self.medians.find(name, subject, where), self.medians.find(name, base, where))
            for name, where in self.cases
            if where == net
        ]
        return [ratio(value(ours), value(theirs)) for ours, theirs in pairs if ours and theirs]

    def nets(self) -> list[str]:
        return list(dict.fromkeys(net for _, net in self.cases))


def times(results: dict[str, Experiment]) -> Section:
    experiment = results["endtoend"]
    measured = Measured(experiment)
    text = "\n".join(
        [
            "## Whole syncs (Fig. 22)\n",
            paragraph(
                "From the start of the client to its end, starting Python included; nothing is compressed",
                "but by the default,",
                "which compresses where that gains. dsync and pdsync are small scripts without handshake,",
                "trees, metadata and",
                "verification; the other two are the product with all of it. They overlap their phases.",
            ),
            image(TIMES_IMAGE, "seconds of whole syncs"),
            _table(measured, lambda values: seconds(values["seconds"]), "s"),
            *_why(measured, results["endtoend"].machine.cores),
        ]
    )
    title = "Whole syncs: seconds; shorter is better"
    drawn = _chart(measured, title, lambda values: values["seconds"], "{:.2f} s", note(experiment))
    return Section(
        text, {TIMES_IMAGE: drawn}, [_ordering(measured), *_times_claims(measured), *_default_claims(measured)]
    )


def _ordering(measured: Measured) -> Claim:
    cases = {}
    for name, net in measured.cases:
        found = [measured.medians.find(name, one, net) for one in ("parasync", "pdsync", "dsync")]
        if all(found):
            cases[f"{name} {net}"] = [values["seconds"] for values in found]
    return ordering("Whole syncs", cases)


def _times_claims(measured: Measured) -> list[Claim]:
    claims = []
    for net in measured.nets():
        for base in ("dsync", "pdsync"):
            said = published.END_TO_END.get((net, base))
            gains = measured.ratios(base, "parasync", net, lambda values: values["seconds"])
            if said and gains:
                what = f"Whole syncs, {net}: ParaSync in the paper's mode against {base}"
                claims.append(Claim(what, said.factors(), span(gains), min(gains) >= said.low))
    return claims


def _default_claims(measured: Measured) -> list[Claim]:
    claims = []
    for net in measured.nets():
        for base in ("parasync", "rsync"):
            gains = measured.ratios(base, "default", net, lambda values: values["seconds"])
            if gains:
                what = f"Whole syncs, {net}: the default against {NAMES[base]}"
                claims.append(Claim(what, "goal: faster on every set", span(gains), min(gains) > 1))
    return claims


def _why(measured: Measured, cores: int) -> list[str]:
    """What bounds them; where the paper's order is not met, that too."""
    busy, more = [], []
    for name, net in measured.cases:
        paper, pdsync = (measured.medians.find(name, one, net) for one in ("parasync", "pdsync"))
        if net == "lan" and paper and pdsync:
            busy.append(sum(paper[one] for one in ("cpu_sender", "cpu_receiver", "cpu_other")) / paper["seconds"])
            more.append(_cpu(paper) / _cpu(pdsync))
    if not busy:
        return []
    return [
        paragraph(
            f"**What bounds the LAN here is the CPU**: both hosts and the emulated link share {cores} cores,",
            "of which the",
            f"product in the paper's mode keeps {span(busy, '{:.1f}')} busy. dsync's two sides, one thread",
            "each, already use",
            "two cores while both chunk. So parallel chunking, which the phases above show, gains nothing in",
            "a whole sync",
            f"on this machine: what counts is CPU seconds, of which the product takes {change_span(more)}",
            "against pdsync,",
            "with its verification, its start and its protocol. [The",
            "projection](#projection-to-hosts-of-their-own) tells",
            "what hosts of their own would do.",
        ),
        *_disorder(measured),
    ]


def _disorder(measured: Measured) -> list[str]:
    lines = []
    for name, net in measured.cases:
        found = {one: measured.medians.find(name, one, net) for one in ("parasync", "pdsync", "dsync")}
        if not all(found.values()):
            continue
        for first, second in (("parasync", "pdsync"), ("pdsync", "dsync")):
            took, other = (found[one]["seconds"] for one in (first, second))
            if took > other:
                cpu = change(_cpu(found[first]), _cpu(found[second]))
                lines.append(
                    f"{NAMES[first]} takes {change(took, other)} against {NAMES[second]} on {name} over the "
                    f"{net.upper()}, "
                    f"with {cpu} CPU time"
                )
    return [paragraph("**Not in the paper's order**:", "; ".join(lines) + ".")] if lines else []


def _cpu(values: Values) -> float:
    return values["cpu_sender"] + values["cpu_receiver"]


def traffic(results: dict[str, Experiment]) -> Section:
    experiment = results["endtoend"]
    measured = Measured(experiment)
    claims = []
    text = "\n".join(
        [
            "## Traffic (Fig. 21)\n",
            paragraph("Bytes on the wire, both ways, with all headers."),
            image(TRAFFIC_IMAGE, "MB on the wire"),
            _table(measured, lambda values: f"{traffic_of(values) / 1e6:.1f}", "MB"),
        ]
    )
    for net in measured.nets():
        paper = measured.ratios("parasync", "dsync", net, traffic_of)
        if paper:
            what = f"Traffic, {net}: ParaSync in the paper's mode against dsync"
            said = f"at most +{published.TRAFFIC} %"
            claims.append(Claim(what, said, change_span(paper), max(paper) <= 1 + published.TRAFFIC / 100))
        for base in ("dsync", "parasync"):
            found = measured.ratios("default", base, net, traffic_of)
            if found:
                what = f"Traffic, {net}: the default against {NAMES[base]}"
                claims.append(Claim(what, "goal: less on every set", change_span(found), max(found) < 1))
    title = "Whole syncs: MB on the wire; shorter is better"
    drawn = _chart(measured, title, lambda values: traffic_of(values) / 1e6, "{:.1f} MB", note(experiment))
    return Section(text, {TRAFFIC_IMAGE: drawn}, claims)


def resources(results: dict[str, Experiment]) -> Section:
    """CPU seconds and memory."""
    measured = Measured(results["endtoend"])
    text = "\n".join(
        [
            "## CPU seconds and memory\n",
            paragraph(
                "Of whole syncs; CPU seconds of both sides together, peak memory of the sender and of the",
                "receiver. The",
                "baselines map their files, whose pages count as theirs; the product reads into a few buffers.",
            ),
            _table(measured, lambda values: f"{_cpu(values):.2f}", "CPU s"),
            _table(measured, lambda values: " + ".join(f"{values[one] / 2**20:.0f}" for one in SIDES), "MiB"),
            *_mean(measured),
        ]
    )
    return Section(text, {}, [])


SIDES = ("rss_sender", "rss_receiver")


def _mean(measured: Measured) -> list[str]:
    ratios = [one for net in measured.nets() for one in measured.ratios("default", "parasync", net, _cpu)]
    if not ratios:
        return []
    return [
        paragraph(
            f"The default takes {change(geometric_mean(ratios), 1)} CPU time against the paper's mode on the mean."
        )
    ]


def _table(measured: Measured, shown: Callable[[Values], str], unit: str) -> str:
    rows = [
        [name, net, *(shown(values) if (values := measured.medians.find(name, one, net)) else "-" for one in NAMES)]
        for name, net in measured.cases
    ]
    return markdown_table(["set", f"net; {unit}", *NAMES.values()], rows)


def _chart(measured: Measured, title: str, value: Callable[[Values], float], shown: str, foot: str) -> str:
    panels = []
    for net in measured.nets():
        groups = []
        for name, where in measured.cases:
            if where == net:
                found = {one: measured.medians.find(name, one, net) for one in NAMES}
                bars = [
                    Bar(NAMES[one], value(values), shown.format(value(values)), OURS if one == "default" else PEER)
                    for one, values in found.items()
                    if values
                ]
                groups.append(Group(name, bars))
        panels.append(Panel(net, groups))
    return chart(title, panels, foot)
