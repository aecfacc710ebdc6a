"""Payloads of NEEDS and SMALL: what the receiver asks for of each file, and small files with what it lacks of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parasync.config import MAX_SMALL_AVERAGE
from parasync.errors import ProtocolError
from parasync.model import Need
from parasync.wire.codec import check_average_of, decode_as, encode
from parasync.wire.messages import (
    COPY_BYTES,
    FINGERPRINT_BYTES,
    MAX_SMALL_CHUNKS,
    SMALL_CHUNK_BYTES,
    NeedItem,
    Needs,
    SmallFile,
    SmallFiles,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

_COMPARED = frozenset((Need.COMPARE, Need.PATCH))
_CHUNKED = frozenset((Need.DELTA, Need.PATCH))


def encode_needs(items: Sequence[NeedItem]) -> bytes:
    """Payload of NEEDS."""
    return encode(items)


def decode_needs(payload: Buffer) -> list[NeedItem]:
    """Payload of NEEDS.

    Raises:
        ProtocolError: it is malformed or a value is out of range.
    """
    items: list[NeedItem] = decode_as(Needs, payload, "needs")
    for item in items:
        if len(item.fingerprint) != (FINGERPRINT_BYTES if item.need in _COMPARED else 0):
            raise ProtocolError(f"need of entry {item.index}: a fingerprint of {len(item.fingerprint)} bytes")
        if item.average or item.need in _CHUNKED:
            check_average_of(item.average, f"need of entry {item.index}")
        if item.chunks or item.need is Need.PATCH:
            _check_patch(item)
    return items


def _check_patch(item: NeedItem) -> None:
    size = len(item.chunks)
    if item.need is not Need.PATCH or item.average > MAX_SMALL_AVERAGE:
        raise ProtocolError(f"need of entry {item.index}: chunks where none belong, or too large ones")
    if not size or size % SMALL_CHUNK_BYTES or size > MAX_SMALL_CHUNKS * SMALL_CHUNK_BYTES:
        raise ProtocolError(f"need of entry {item.index}: chunks of {size} bytes")


def encode_small(files: Sequence[SmallFile]) -> bytes:
    """Payload of SMALL."""
    return encode(files)


def decode_small(payload: Buffer) -> list[SmallFile]:
    """Payload of SMALL.

    Raises:
        ProtocolError: it is malformed or a value is out of range.
    """
    files: list[SmallFile] = decode_as(SmallFiles, payload, "small files")
    for file in files:
        if file.same and (file.data or file.copies):
            raise ProtocolError(f"malformed small files: content for file {file.index}, which is the same")
        if len(file.copies) % COPY_BYTES or len(file.copies) > MAX_SMALL_CHUNKS * COPY_BYTES:
            raise ProtocolError(f"malformed small files: copies of {len(file.copies)} bytes for file {file.index}")
    return files
