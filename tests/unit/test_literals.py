"""Wanted literals cut into pieces."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from parasync.kernels import fingerprint_key
from parasync.pipeline import Channel, Scope
from parasync.session.literals import LiteralQueue, LiteralTask
from parasync.session.outgoing import OutgoingFile

KEY = fingerprint_key(bytes(range(16)))


class Source:
    """What the queue uses of an OutgoingFile; `size` may be more than there is."""

    again = False

    def __init__(self, path: Path, content: bytes, size: int) -> None:
        path.write_bytes(content)
        self.size = size
        self._path = path

    def duplicate(self) -> int:
        return os.open(self._path, os.O_RDONLY)


def test_a_file_that_became_shorter_fails_alone(tmp_path: Path) -> None:
    good, bad, last = (Source(tmp_path / name, bytes(100), size) for name, size in (("a", 100), ("b", 200), ("c", 100)))
    failed: list[object] = []
    before = len(os.listdir("/proc/self/fd"))
    with Scope("test") as scope:
        tasks: Channel[LiteralTask] = Channel(scope, 1 << 62)
        queue = LiteralQueue(tasks, KEY, lambda file, _: failed.append(file), lambda *_: None)
        for source in (good, bad, last):
            extents = (0).to_bytes(8, "little") + source.size.to_bytes(8, "little")
            tasks.put(LiteralTask(cast(OutgoingFile, source), extents))
        tasks.close()
        pieces = []
        while (piece := queue.fill(bytearray(1000))) is not None:
            pieces.append((piece.file, piece.length))
    assert pieces == [(good, 100), (last, 100)]
    assert failed == [bad]
    assert len(os.listdir("/proc/self/fd")) == before
