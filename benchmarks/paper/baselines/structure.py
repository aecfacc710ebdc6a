"""The structures that are compared, as what makes them differ."""

from __future__ import annotations

from typing import NamedTuple


class Structure(NamedTuple):
    """How a tool is built.

    `parallel`: chunking and matching by several threads. `bitmap`: SS-CDC's candidates, with checksums in the serial
    stage. `by_checksum`: all chunks of one weak checksum are one thread's. `streaming`: lists and tokens in small
    batches, each answered at once. `pipelined`: network and disk each have a thread in Phase III. `absolute`: commands
    carry their offset in the target and are applied in any order.
    """

    name: str
    parallel: bool
    bitmap: bool
    by_checksum: bool
    streaming: bool
    pipelined: bool
    absolute: bool


DSYNC = Structure("dsync", False, False, True, False, False, False)
"""All phases sequential, one thread, whole lists (ParaSync 2.1)."""
PDSYNC = Structure("pdsync", True, True, True, False, True, False)
"""SS-CDC, matching by checksum, whole lists, relative offsets, partial pipelining (ParaSync 4.1)."""
PARASYNC = Structure("parasync", True, False, False, True, True, True)
"""Sub-chunk checksums, slices, streaming, absolute offsets (ParaSync 3)."""
STRUCTURES = {one.name: one for one in (DSYNC, PDSYNC, PARASYNC)}
