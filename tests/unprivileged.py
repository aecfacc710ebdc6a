"""Run a few lines without root's power to ignore permissions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Within the block permissions bind: as root, by becoming nobody; otherwise they do anyway."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def give_away(*paths: str | os.PathLike[str]) -> None:
    """Let `as_nobody` own these, where that differs from who runs the tests."""
    if os.geteuid() == 0:
        for path in paths:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
