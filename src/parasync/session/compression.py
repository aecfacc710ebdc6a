"""Compression of literals and small files that adapts to the link and the CPU.

Every buffer is packed at the level that is expected to move the most original
bytes per second: the lesser of what the CPU compresses and what the link takes
of the result. Both are learnt while sending: the link's rate from sends that
have to wait, a level's speed and ratio from its use. So nothing is compressed
on a link that is faster than the compressor, and the best level is found on a
slow one; what does not compress is noticed and mostly left alone.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from parasync.config import COMPRESS_AUTOMATICALLY, COMPRESS_NOTHING, DISTANT_SECONDS
from parasync.errors import ProtocolError

if TYPE_CHECKING:
    from typing_extensions import Buffer

LEVELS = (1, 3, 6, 9)
"""zstd's levels between which a difference can be measured; above 9 the speed falls faster than the size."""

DISTANT_RATE = 50e6
NEAR_RATE = 1e9
"""First guesses of a distant and a near link's rate, bytes per second."""

WAITED_SECONDS = 0.001
"""A send that takes longer than this waited for the link, and tells its rate."""
BUSY_SECONDS = 0.01
"""Least time over which the rate of a busy link is taken."""
UNHINDERED = 8
"""So many sends that never wait mean that the link is faster than believed, and the compressor is what limits."""
GAIN = 1.5
"""What compression must promise over none: it takes cores from the other stages, which the estimate does not see."""
EFFORT = 0.4
"""What a higher level must promise beyond a lower one if it keeps all compressing threads busy; in proportion less if
they mostly wait for the link. For the same reason."""
LEARNING = 0.3
"""Weight of the newest measurement."""
INCOMPRESSIBLE = 0.95
MAX_SKIP = 32
"""Most buffers that are sent plain, untried, after ones that did not compress."""
PLAIN_BEFORE_TRIAL = 8
"""So many buffers are sent plain because those before compressed too little; then one is tried. What comes next in a
file may be of another kind: without trials, a disk image was sent plain from its first compressed archive on."""


class Sends(Protocol):
    """A stream, or several of one link."""

    @property
    def bytes_sent(self) -> int: ...
    @property
    def backlog(self) -> int: ...


class LinkRate:
    """What the link takes, bytes per second; learnt by all threads that send.

    A transport that tells its backlog shows the rate itself: as long as there
    is one, the link is busy, and what left the buffer is what it took. Without
    that, a send that waits tells the rate.
    """

    def __init__(self, round_trip: float) -> None:
        self._rate = DISTANT_RATE if round_trip >= DISTANT_SECONDS else NEAR_RATE
        self._unhindered = 0
        self._since = 0.0
        self._passed = 0
        self._busy = False
        self._cores = len(os.sched_getaffinity(0))
        self._packers = 0
        self._lock = threading.Lock()

    @property
    def rate(self) -> float:
        return self._rate

    @property
    def packers(self) -> int:
        """Threads that compress for this link at the same time, as far as there are cores for them."""
        return max(1, min(self._packers, self._cores))

    @contextmanager
    def packing(self) -> Iterator[None]:
        """A thread that compresses for this link."""
        with self._lock:
            self._packers += 1
        try:
            yield
        finally:
            with self._lock:
                self._packers -= 1

    def observe(self, now: float, size: int, seconds: float, passed: int, backlog: int) -> None:
        """At `now` a send of `size` bytes ended that took `seconds`.

        `passed` bytes left this side's buffer since the session began, `backlog` still wait in it.
        """
        with self._lock:
            if self._busy and now - self._since >= BUSY_SECONDS:
                self._learn((passed - self._passed) / (now - self._since))
                self._since, self._passed = now, passed
            elif not self._busy:
                self._since, self._passed = now, passed
                if not backlog:
                    self._observe_send(size, seconds)
            self._busy = backlog > 0

    def _observe_send(self, size: int, seconds: float) -> None:
        if seconds > WAITED_SECONDS:
            self._learn(size / seconds)
        elif self._unhindered + 1 >= UNHINDERED:
            self._rate *= 1 + LEARNING
            self._unhindered = 0
        else:
            self._unhindered += 1

    def _learn(self, rate: float) -> None:
        self._rate += LEARNING * (rate - self._rate)
        self._unhindered = 0


class _Experience(NamedTuple):
    """What a level did so far: original bytes per second of CPU time, and compressed per original byte."""

    speed: float
    ratio: float


_EXPECTED = {
    1: _Experience(400e6, 0.4),
    3: _Experience(200e6, 0.36),
    6: _Experience(80e6, 0.33),
    9: _Experience(40e6, 0.32),
}
"""Where learning starts: one core of a server, ordinary text and binaries."""


class Packer:
    """Packs one thread's buffers. Not thread-safe; the link may be shared."""

    def __init__(self, link: LinkRate, level: int) -> None:
        self._link = link
        self._fixed = level
        self._experience = dict(_EXPECTED)
        self._unused = set(LEVELS)
        self._compressors: dict[int, zstandard.ZstdCompressor] = {}
        self.attempts = 0
        self._skip = 0
        self._next_skip = 1
        self._plain = 0

    def packing(self) -> AbstractContextManager[None]:
        """Within, this thread competes with others for the cores."""
        return self._link.packing()

    def prepare(self) -> None:
        """Do what the first `pack` would: for a moment in which nobody waits."""
        level = self._level()
        if level != COMPRESS_NOTHING:
            self._compressor(level)

    def pack(self, data: bytes | memoryview) -> bytes | None:
        """`data` compressed, or None if it is better sent as it is."""
        level = self._level()
        trial = level == COMPRESS_NOTHING and not self._skip and self._try_again()
        if trial:
            level = LEVELS[0]
        if level == COMPRESS_NOTHING or self._skip:
            self._skip -= self._skip > 0
            return None
        self.attempts += 1
        # CPU time: how many threads share the cores is counted apart, by `packers`.
        start = time.thread_time()
        packed = self._compressor(level).compress(data)
        speed = len(data) / max(1e-6, time.thread_time() - start)
        ratio = len(packed) / len(data)
        self._learn(level, speed, ratio, 1.0 if trial else LEARNING)
        if ratio > INCOMPRESSIBLE:
            self._skip = self._next_skip
            self._next_skip = min(MAX_SKIP, 2 * self._next_skip)
            return None
        self._next_skip = 1
        return packed

    def send(self, send: Callable[[], None], size: int, link: Sends) -> None:
        """Run `send`, which sends `size` bytes, and learn from how long it takes."""
        start = time.perf_counter()
        send()
        now = time.perf_counter()
        backlog = link.backlog
        self._link.observe(now, size, now - start, link.bytes_sent - backlog, backlog)

    def _learn(self, level: int, speed: float, ratio: float, weight: float) -> None:
        """What a level made of a buffer: of those that were not used yet, the same is expected in proportion."""
        known = self._experience.get(level)
        if known is None:
            return
        faster = 1 + weight * (speed / known.speed - 1)
        longer = 1 + weight * (ratio / known.ratio - 1)
        self._unused.discard(level)
        for each in (level, *self._unused):
            other = self._experience[each]
            self._experience[each] = _Experience(other.speed * faster, other.ratio * longer)

    def _try_again(self) -> bool:
        """Whether it is time for a trial, on a link on which ordinary data is compressed."""
        self._plain += 1
        if self._fixed != COMPRESS_AUTOMATICALLY or self._plain <= PLAIN_BEFORE_TRIAL:
            return False
        self._plain = 0
        rate = self._link.rate
        return self._throughput(_EXPECTED[LEVELS[0]], rate) > GAIN * rate

    def _level(self) -> int:
        if self._fixed != COMPRESS_AUTOMATICALLY:
            return self._fixed
        rate = self._link.rate
        best = LEVELS[0]
        for level in LEVELS[1:]:
            worth = 1 + EFFORT * self._busy(self._experience[level], rate)
            if self._throughput(self._experience[level], rate) > worth * self._throughput(self._experience[best], rate):
                best = level
        return best if self._throughput(self._experience[best], rate) > GAIN * rate else COMPRESS_NOTHING

    def _busy(self, level: _Experience, rate: float) -> float:
        """Which part of their time the threads that compress would spend on what the link takes; at most all."""
        return min(1.0, rate / max(level.ratio, 0.01) / (level.speed * self._link.packers))

    def _throughput(self, level: _Experience, rate: float) -> float:
        return min(level.speed * self._link.packers, rate / max(level.ratio, 0.01))

    def _compressor(self, level: int) -> zstandard.ZstdCompressor:
        compressor = self._compressors.get(level)
        if compressor is None:
            import zstandard  # noqa: PLC0415 - 14 ms that only some runs need

            compressor = self._compressors[level] = zstandard.ZstdCompressor(level=level)
        return compressor


def prepare_unpacking() -> None:
    """Do what the first `unpack` would: for a moment in which nobody waits."""
    import zstandard  # noqa: F401, PLC0415


def unpack(data: Buffer, limit: int) -> bytes:
    """The original of what a peer packed, `limit` bytes at most.

    Raises:
        ProtocolError: it is damaged, or says that it is longer.
    """
    import zstandard  # noqa: PLC0415

    view = memoryview(data)
    try:
        size = zstandard.frame_content_size(view)
        if not 0 <= size <= limit:
            raise ProtocolError(f"a compressed payload of {size} bytes, where at most {limit} are allowed")
        return zstandard.ZstdDecompressor().decompress(view, max_output_size=limit)
    except zstandard.ZstdError as error:
        raise ProtocolError(f"a damaged compressed payload: {error}") from None


if TYPE_CHECKING:
    import zstandard
