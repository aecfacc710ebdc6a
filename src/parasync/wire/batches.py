"""Payloads of the batches of weak + strong matching: a mark, then packed records."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from parasync.errors import ProtocolError
from parasync.wire.messages import COPY_BYTES, MARK_BYTES, STRONG_TOKEN_BYTES

if TYPE_CHECKING:
    from typing_extensions import Buffer

_MARK = struct.Struct("<I")


def encode_mark(number: int) -> bytes:
    """What opens the payload of TOKENS, `[tokens.resolved]`, and of COPIES, `[copies.verified]`."""
    return _MARK.pack(number)


def decode_tokens(payload: Buffer) -> tuple[int, bytes]:
    """Payload of TOKENS: (checksums resolved, packed tokens).

    Raises:
        ProtocolError: it is not a mark and whole tokens.
    """
    return _split(payload, STRONG_TOKEN_BYTES, "tokens")


def decode_copies(payload: Buffer) -> tuple[int, bytes]:
    """Payload of COPIES: (tokens verified, packed copies).

    Raises:
        ProtocolError: it is not a mark and whole copies.
    """
    return _split(payload, COPY_BYTES, "copies")


def _split(payload: Buffer, record: int, what: str) -> tuple[int, bytes]:
    view = memoryview(payload)
    if view.nbytes < MARK_BYTES or (view.nbytes - MARK_BYTES) % record:
        raise ProtocolError(f"malformed {what}: {view.nbytes} bytes")
    return _MARK.unpack_from(view)[0], bytes(view[MARK_BYTES:])
