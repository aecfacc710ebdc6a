"""Phase I over threads as the product does it: segments in file order, merged while later ones are scanned."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from parasync.config import SEGMENT_BYTES
from parasync.kernels import Merger, Segment


def merge_while_scanning(
    scan: Callable[[Segment, int], Segment], merger: Merger, size: int, threads: int, segment_bytes: int = SEGMENT_BYTES
) -> None:
    """`threads` scan the segments of `size` bytes; the caller merges each when its turn has come."""
    free = [Segment(segment_bytes) for _ in range(threads + 2)]
    scanning: deque[Future[Segment]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for offset in range(0, size, segment_bytes):
            if not free:
                free.append(scanning.popleft().result())
                merger.merge(free[-1])
            scanning.append(pool.submit(scan, free.pop(), offset))
        for scanned in scanning:
            merger.merge(scanned.result())
