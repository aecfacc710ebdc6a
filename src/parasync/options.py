"""How one sync is to be done: validated options."""

from __future__ import annotations

from msgspec import Struct

from parasync.config import (
    CHUNKING_DEFAULT,
    CHUNKINGS,
    COMPRESS_AUTOMATICALLY,
    MATCHING_FINGERPRINT,
    MATCHING_WEAK_STRONG,
    MATCHINGS,
    MAX_COMPRESS_LEVEL,
    MAX_LANES,
    REMOTE_COMMAND,
    REMOTE_SHELL,
    STALL_SECONDS,
    STREAMS_AS_NEEDED,
    check_average,
    default_average,
    default_threads,
)
from parasync.errors import UsageError


class Options(Struct, frozen=True):
    """How one sync is to be done; what the command line and the Python API both produce.

    Raises:
        UsageError: from the constructor, for a value out of range.
    """

    threads: int = 0
    ignore_times: bool = False
    dry_run: bool = False
    whole_file: bool = False
    fsync: bool = False
    timeout: float = STALL_SECONDS
    compression: int = COMPRESS_AUTOMATICALLY
    average: int = 0
    streams: int = STREAMS_AS_NEEDED
    rsh: str = REMOTE_SHELL
    remote_path: str = REMOTE_COMMAND
    chunking: str = CHUNKING_DEFAULT
    matching: str = MATCHING_FINGERPRINT
    fine: bool = False
    """Chunks of half the size, where `average` is 0: for links on which bytes cost more than computing."""

    def __post_init__(self) -> None:
        if not 0 <= self.threads <= 256:
            raise UsageError(f"--threads {self.threads} is out of range: use 1 to 256, or 0 for one per core")
        if not STREAMS_AS_NEEDED <= self.streams <= MAX_LANES + 1:
            raise UsageError(
                f"--streams {self.streams} is out of range: use 1 to {MAX_LANES + 1}, or 0 for what the link needs"
            )
        if not COMPRESS_AUTOMATICALLY <= self.compression <= MAX_COMPRESS_LEVEL:
            raise UsageError(
                f"compression level {self.compression} is out of range: use 1 to {MAX_COMPRESS_LEVEL}, 0 for none, "
                f"{COMPRESS_AUTOMATICALLY} for what suits the link"
            )
        if self.average:
            check_average(self.average)
        for name, value, known in (
            ("chunking", self.chunking, CHUNKINGS),
            ("matching", self.matching, MATCHINGS),
        ):
            if value not in known:
                raise UsageError(f"--{name} {value!r} is not known here: use {' or '.join(known)}")
        if not 0 < self.timeout <= 86400:
            raise UsageError(f"--timeout {self.timeout} is out of range: use seconds up to 86400")

    def average_for(self, size: int) -> int:
        """Average size of the chunks of a file of `size` bytes."""
        return self.average or default_average(size, self.fine)

    @property
    def weak_strong(self) -> bool:
        return self.matching == MATCHING_WEAK_STRONG

    @property
    def workers(self) -> int:
        return self.threads or default_threads()
