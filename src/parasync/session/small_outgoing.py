"""The sender's small files: read, compared with what the receiver has, and sent, many at a time (decision 17)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import partial

from parasync.config import SMALL_BATCH_BYTES, SMALL_BATCH_FILES, SMALL_DIRECTORIES, SMALL_WHOLE
from parasync.errors import ProtocolError
from parasync.kernels import CHANGED, FingerprintKey, SmallReader
from parasync.model import Monitor, Need
from parasync.session.compression import Packer
from parasync.session.lanes import Lanes
from parasync.session.outgoing import ChangedError, Needed, Offered
from parasync.tree.safepath import Descriptor
from parasync.wire import content
from parasync.wire.messages import Flags, FrameType, NeedItem, SmallFile


class SmallSender:
    """Gathers needed small files and sends them in batches. One thread adds; any thread may ask the rest."""

    def __init__(
        self,
        lanes: Lanes,
        packer: Packer,
        key: FingerprintKey,
        rule: str,
        monitor: Monitor,
        failed: Callable[[Needed, Exception], None],
    ) -> None:
        self._lanes = lanes
        self._packer = packer
        self._reader = SmallReader(key, rule)
        self._monitor = monitor
        self._failed = failed
        self._batch: list[tuple[Needed, Descriptor, bytes]] = []
        self._directories: set[int] = set()
        self._size = 0
        self._sent: dict[int, Offered] = {}
        self._again: set[int] = set()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> bool:
        """Whether files were added that are not sent."""
        return bool(self._batch)

    def add(self, needed: Needed) -> None:
        """Send it with the next batch.

        Raises:
            ProtocolError: it is too large, or the receiver's chunks are none.
        """
        entry = needed.offered.entry
        if entry.size > SMALL_WHOLE:
            raise ProtocolError(f"entry {needed.number} is too large to be compared as a small file")
        if self._batch and self._size + entry.size > SMALL_BATCH_BYTES:
            self.flush()
        try:
            directory, name = needed.offered.source.root.parent(entry.path)
        except OSError as error:
            self._failed(needed, error)
            return
        self._batch.append((needed, directory, name))
        self._directories.add(directory.fd)
        self._size += entry.size
        if len(self._batch) >= SMALL_BATCH_FILES or len(self._directories) >= SMALL_DIRECTORIES:
            self.flush()

    def flush(self) -> None:
        """Send what was added.

        Raises:
            ProtocolError: as `add`.
        """
        batch, self._batch, self._size = self._batch, [], 0
        self._directories.clear()
        files = self._read(batch)
        if not files:
            return
        with self._lock:
            self._sent.update((needed.number, needed.offered) for needed, _ in files)
        self._send([small for _, small in files])
        size = sum(needed.offered.entry.size for needed, _ in files)
        literal = sum(len(small.data) for _, small in files)
        self._monitor.advance(size)
        self._monitor.add(bytes_copied=size - literal, bytes_literal=literal)

    def done(self, indices: Sequence[int]) -> dict[int, Offered]:
        """Forget those of these files that were sent as small ones; which they are."""
        with self._lock:
            return {index: offered for index in indices if (offered := self._sent.pop(index, None)) is not None}

    def again(self, item: NeedItem) -> Needed | None:
        """What was stored did not verify: the file is to be sent whole. None if it was not sent as a small one.

        Raises:
            ProtocolError: that was asked for before.
        """
        with self._lock:
            offered = self._sent.pop(item.index, None)
            if offered is None:
                return None
            if item.need is not Need.WHOLE or item.index in self._again:
                raise ProtocolError(f"file {item.index} was asked for again and again")
            self._again.add(item.index)
        return Needed(item.index, offered, item, again=True)

    def _read(self, batch: list[tuple[Needed, Descriptor, bytes]]) -> list[tuple[Needed, SmallFile]]:
        requests = []
        for needed, directory, name in batch:
            entry, item = needed.offered.entry, needed.item
            requests.append((directory.fd, name, entry.size, entry.mtime, item.fingerprint, item.chunks, item.average))
        try:
            answers = self._reader.targets(requests)
        except ValueError as error:
            raise ProtocolError(f"bad chunks of small files: {error}") from None
        files = []
        for (needed, _, _), (failure, same, fingerprint, literals, copies) in zip(batch, answers, strict=True):
            if failure:
                reason = ChangedError() if failure == CHANGED else OSError(failure, os.strerror(failure))
                self._failed(needed, reason)
            else:
                files.append((needed, SmallFile(needed.number, same, fingerprint, literals, copies)))
        return files

    def _send(self, files: list[SmallFile]) -> None:
        payload = content.encode_small(files)
        packed = self._packer.pack(payload)
        data, flags = (payload, Flags(0)) if packed is None else (packed, Flags.ZSTD)
        send = partial(self._lanes.main.send, FrameType.SMALL, data, count=len(files), flags=flags)
        self._packer.send(send, len(data), self._lanes)


def is_small(needed: Needed) -> bool:
    """Whether it travels in a batch."""
    need = needed.item.need
    return need in {Need.COMPARE, Need.PATCH} or (need is Need.WHOLE and needed.offered.entry.size <= SMALL_WHOLE)
