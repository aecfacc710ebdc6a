"""How many chunks share a weak checksum (figure 10): what makes matching by checksum uneven."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from benchmarks.measure import alone
from benchmarks.paper.baselines import chunking
from benchmarks.paper.baselines.memory import mapped
from benchmarks.paper.plan import Plan, say
from benchmarks.paper.rows import Row


def measure(plan: Plan) -> Iterator[Row]:
    """Both versions of each dataset, once: nothing is timed."""
    for name in plan.sets:
        for side, path in (("target", plan.target(name)), ("basis", plan.basis(name))):
            with alone(plan.lock), mapped(path) as memory:
                found = chunking.parasync(memory, plan.threads)
            row = Row(dataset=name, subject=side, values=skew(Counter(found.weak)))
            say(f"skew       {name:12} {side:8} largest {row.values['largest']:,.0f}")
            yield row


def skew(chunks: Counter[int]) -> dict[str, float]:
    """Shares of the different checksums by how many chunks have them, and the most that one has."""
    count = len(chunks)

    def share(low: int, high: float) -> float:
        return sum(low <= number < high for number in chunks.values()) / count

    return {
        "chunks": chunks.total(),
        "checksums": count,
        "one": share(1, 2),
        "below10": share(1, 10),
        "above100": share(101, float("inf")),
        "above1000": share(1001, float("inf")),
        "largest": max(chunks.values()),
    }
