"""What more cores would give, by Amdahl's law; never measured, always marked as projected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.results import Projection, Rate

CORES = (8, 16, 64)
MEMORY_READ = "memory read"
"""Name of the limit that bounds a projection."""


def read_bandwidth(rates: Iterable[Rate]) -> float:
    """The most that memory gave in any run, in GB/s; 0 if it was not measured."""
    return max((rate.bytes / min(rate.seconds) / 1e9 for rate in rates if rate.name == MEMORY_READ), default=0.0)


def serial_share(scan_seconds: float, merge_seconds: float) -> float:
    """Share of the time in one thread that only one thread at a time can do.

    Raises:
        ValueError: no time was spent at all.
    """
    total = scan_seconds + merge_seconds
    if total <= 0:
        raise ValueError("no time was measured")
    return merge_seconds / total


def project(one_thread: float, share: float, read_bandwidth: float, cores: Sequence[int] = CORES) -> list[Projection]:
    """Rates at more cores, in the unit of `one_thread` and `read_bandwidth`.

    The memory's bandwidth is the one measured here with all cores; a machine with more cores has more of it.
    """
    found = []
    for count in cores:
        rate = one_thread / (share + (1 - share) / count)
        limit = "memory" if rate > read_bandwidth else "merge" if share * count > 1 else "cores"
        bounded = min(rate, read_bandwidth)
        found.append(Projection(cores=count, amdahl_gb_per_s=rate, gb_per_s=bounded, limit=limit))
    return found


def projected(one: Projection) -> str:
    """For people."""
    beyond = f", else {one.amdahl_gb_per_s:.1f}" if one.limit == "memory" else ""
    return f"{one.gb_per_s:.1f} (bound by {one.limit}{beyond})"
