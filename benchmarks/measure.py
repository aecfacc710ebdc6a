"""Repeating, interleaving and summing up."""

from __future__ import annotations

import fcntl
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click

Name = TypeVar("Name")
Value = TypeVar("Value")

DEFAULT_LOCK = Path(tempfile.gettempdir()) / "syncbench.lock"

lock_option = click.option(
    "--lock",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_LOCK,
    show_default=True,
    help="Held during every measured run, so that two benchmarks on one machine take turns.",
)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Wait for other benchmarks on this machine and keep them away."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def seconds(action: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def interleaved(actions: Mapping[Name, Callable[[], Value]], rounds: int, lock: Path) -> dict[Name, list[Value]]:
    """Call every action once a round, in order, each under the lock; what they return, by name.

    What slows the machine down for a while then slows all down alike.
    """
    results: dict[Name, list[Value]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            with alone(lock):
                results[name].append(action())
    return results


def cpu_seconds() -> float:
    """Of this process and the children it has waited for, all threads together; other load does not show in it."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def median(values: Sequence[float]) -> float:
    """
    Raises:
        ValueError: there are none.
    """
    if not values:
        raise ValueError("no values")
    return statistics.median(values)


def ratio(value: float, base: float) -> float:
    """`value / base`; 0 if there is no base."""
    return value / base if base else 0.0
