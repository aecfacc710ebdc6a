"""A file as memory, for stages that are given addresses."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

POPULATE_READ = 22
"""MADV_POPULATE_READ, Linux 5.14."""


class Memory(NamedTuple):
    """`view` for calls that take buffers, `address` for those that take pointers."""

    view: mmap.mmap
    address: int
    size: int

    def populate(self) -> None:
        """Make every page present, so that what follows measures no page faults."""
        try:
            self.view.madvise(POPULATE_READ)
        except OSError:  # an older kernel
            for offset in range(0, self.size, mmap.PAGESIZE):
                self.view[offset]


@contextmanager
def mapped(path: Path) -> Iterator[Memory]:
    """The whole file; not to be written to, though ctypes wants to be allowed to."""
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE) as view,
    ):
        held = ctypes.c_char.from_buffer(view)
        try:
            yield Memory(view, ctypes.addressof(held), len(view))
        finally:
            del held
