"""Bytes <-> messages. Pure functions; whatever is wrong with the bytes becomes a ProtocolError of one line.

Nothing is allocated in proportion to a number from the peer before that number
is known to be within the bounds of `messages`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from parasync import __version__
from parasync.config import KIB, MAGIC, MAX_FRAME, check_average
from parasync.errors import ProtocolError, UsageError, VersionError, display
from parasync.model import Entry, Kind
from parasync.wire import messages
from parasync.wire.messages import (
    INDEX_BYTES,
    KEY_BYTES,
    MAX_BATCH,
    MAX_FAILURES,
    MAX_FINISH,
    MAX_HELLO,
    MAX_TEXT,
    MAX_WORD,
    NO_FILE,
    RULES,
    VERSION,
    Entries,
    Error,
    Failed,
    Finish,
    FrameType,
    Header,
    Hello,
    Spans,
    Welcome,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typing_extensions import Buffer

    from parasync.tracing import Span

_PREAMBLE = struct.Struct("<8sHH")
_HEADER = struct.Struct("<BBHIII")
PREAMBLE_BYTES = _PREAMBLE.size
"""[limit.preamble]"""
HEADER_BYTES = _HEADER.size
"""[limit.header]"""
EXTENT_BYTES = messages.EXTENT_BYTES
SOFTWARE = f"parasync {__version__}"
"""What this side calls itself in greetings."""

M = TypeVar("M")


# -- preamble -------------------------------------------------------------------------------


def encode_preamble() -> bytes:
    return _PREAMBLE.pack(MAGIC, VERSION, 0)  # [preamble.magic] [preamble.reserved]


def check_preamble(data: bytes, name: str) -> None:
    """Check that `name`, who sent these 12 bytes first, can be talked to.

    Raises:
        ProtocolError: it speaks something else.
        VersionError: it speaks another version.
    """
    if len(data) != PREAMBLE_BYTES or data[: len(MAGIC)] != MAGIC:
        raise ProtocolError(f"{name} does not speak the ParaSync protocol (got {bytes(data[:PREAMBLE_BYTES])!r})")
    _, version, reserved = _PREAMBLE.unpack(data)
    if version != VERSION:
        older = "here" if version > VERSION else "there"
        raise VersionError(
            f"{name} speaks version {version} of the protocol, this side version {VERSION}: upgrade parasync {older}"
        )
    if reserved:
        raise ProtocolError(f"{name} sent a preamble that version {VERSION} does not define")


# -- header ---------------------------------------------------------------------------------

_SPANS = frozenset((FrameType.ENTRIES, FrameType.NEEDS))
"""These are about entries `file` to `file + count`."""


def encode_header(kind: FrameType, flags: int = 0, file: int = 0, count: int = 0, length: int = 0) -> bytes:
    """The 16 bytes before `length` bytes of payload.

    Raises:
        ProtocolError: the peer would refuse this header.
    """
    _check_header(Header(kind, flags, file, count, length), MAX_FRAME)
    return _HEADER.pack(kind, flags, 0, file, count, length)


def decode_header(data: bytes, max_frame: int = MAX_FRAME) -> Header:
    """The header, checked before anything is allocated for its payload.

    Raises:
        ProtocolError: the type is unknown, or flags, file, count and length are not possible for it.
    """
    if len(data) != HEADER_BYTES:
        raise ProtocolError(f"a frame header of {len(data)} bytes instead of {HEADER_BYTES}")
    number, flags, reserved, file, count, length = _HEADER.unpack(data)
    if number not in RULES:
        raise ProtocolError(f"frame of unknown type {number}")
    if reserved:  # [header.reserved]
        raise ProtocolError(f"frame of type {number} with reserved bits set")
    header = Header(FrameType(number), flags, file, count, length)
    _check_header(header, max_frame)
    return header


def _check_header(header: Header, max_frame: int) -> None:
    kind, file, count, length = header.type, header.file, header.count, header.length
    rule = RULES[kind]
    shortest = rule.fixed[0] + count * rule.each[0]
    longest = min(rule.fixed[1] + count * rule.each[1], max_frame)
    if header.flags & ~int(rule.flags):  # ~ of an IntFlag would let undefined bits pass
        raise ProtocolError(f"{kind.name} frame with flags {header.flags:#x}, which it cannot have")
    if not rule.file[0] <= file <= rule.file[1]:
        raise ProtocolError(f"{kind.name} frame for file {file}")
    if not rule.counts[0] <= count <= rule.counts[1]:
        raise ProtocolError(f"{kind.name} frame with a count of {count}, not {rule.counts[0]} to {rule.counts[1]}")
    if not shortest <= length <= longest:
        raise ProtocolError(f"{kind.name} frame of {length} bytes for a count of {count}, not {shortest} to {longest}")
    if kind in _SPANS and file + count > NO_FILE:
        raise ProtocolError(f"{kind.name} frame for entries beyond {NO_FILE}")


# -- payloads -------------------------------------------------------------------------------

encode = msgspec.msgpack.Encoder().encode
"""Any message of `messages`, as MessagePack."""


_decoders: dict[object, msgspec.msgpack.Decoder[Any]] = {}
"""Made when first used: a session needs about half of them, and making them all would delay every start."""


def decode_as(shape: type[M], payload: Buffer, what: str) -> M:
    """A message from MessagePack; `what` names it for people.

    Raises:
        ProtocolError: it is malformed or a value is out of range.
    """
    decoder = _decoders.get(shape)
    if decoder is None:
        decoder = _decoders[shape] = msgspec.msgpack.Decoder(shape)
    try:
        decoded: M = decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ProtocolError(f"malformed {what}: {display(str(error))}") from None
    return decoded


def _readable(text: str, limit: int) -> str:
    """`text` as one printable line of at most `limit` characters, whatever is in it."""
    return display(text[:limit].encode("utf-8", "backslashreplace").decode())[:limit]


def encode_hello(hello: Hello) -> bytes:
    """Payload of HELLO.

    Raises:
        UsageError: there are more or longer names in it than a server accepts, or unprintable ones.
    """
    try:
        payload = encode(hello)
        decode_hello(payload)
    except (UnicodeEncodeError, ProtocolError) as error:
        raise UsageError(f"this cannot be asked of a server: {display(str(error))}") from None
    if len(payload) > MAX_HELLO:
        raise UsageError(
            f"too many sources for one run: use several runs, each with names of {MAX_HELLO} bytes at most"
        )
    return payload


def decode_hello(payload: Buffer) -> Hello:
    """Payload of HELLO.

    Raises:
        ProtocolError: it is malformed, or the key is not where it belongs.
    """
    hello = decode_as(Hello, payload, "greeting")
    _check_key(hello.key, given=not hello.push)
    if hello.offered_key and not (hello.push and len(hello.offered_key) == KEY_BYTES):
        raise ProtocolError(
            f"an offered key of {len(hello.offered_key)} bytes: only who pushes offers one, of {KEY_BYTES} bytes"
        )
    for average in (hello.average, hello.unasked):
        if average:
            check_average_of(average, "greeting")
    words = (hello.module, hello.software, hello.chunking, hello.matching, *hello.features)
    if not all(word.isprintable() for word in words):
        raise ProtocolError("malformed greeting: control characters in a name")
    return hello


def check_average_of(average: int, what: str) -> None:
    """Raise ProtocolError, about `what`, for an average that no chunks have."""
    try:
        check_average(average)
    except UsageError as error:
        raise ProtocolError(f"{what}: {error}") from None


def encode_welcome(welcome: Welcome) -> bytes:
    """Payload of WELCOME."""
    return encode(welcome)


def decode_welcome(payload: Buffer) -> Welcome:
    """Payload of WELCOME. Whether there must be a key is known to who sent the greeting.

    Raises:
        ProtocolError: it is malformed.
    """
    welcome = decode_as(Welcome, payload, "answer to the greeting")
    _check_key(welcome.key, given=bool(welcome.key))
    if not all(word.isprintable() for word in (welcome.software, *welcome.features)):
        raise ProtocolError("malformed answer to the greeting: control characters in a name")
    return welcome


def _check_key(key: bytes, given: bool) -> None:
    if len(key) != (KEY_BYTES if given else 0):
        raise ProtocolError(f"a key of {len(key)} bytes: the receiver, and only it, chooses one of {KEY_BYTES} bytes")


def encode_entries(entries: Sequence[Entry]) -> bytes:
    """Payload of ENTRIES; see `entry_frames` for entries of any length."""
    return encode(entries)


def entry_frames(first: int, entries: Sequence[Entry]) -> Iterator[tuple[int, int, bytes]]:
    """ENTRIES frames for entries `first` and following: (index, count, payload), as few as fit.

    One frame, unless the paths are so long that the payload would be refused.
    """
    payload = encode_entries(entries)
    if len(payload) <= MAX_FRAME or len(entries) == 1:
        yield first, len(entries), payload
        return
    half = len(entries) // 2
    yield from entry_frames(first, entries[:half])
    yield from entry_frames(first + half, entries[half:])


def decode_entries(payload: Buffer) -> list[Entry]:
    """Payload of ENTRIES. The paths are bounded but not judged: that is `tree.safepath`'s task.

    Raises:
        ProtocolError: it is malformed or a value is out of range.
    """
    entries: list[Entry] = list(decode_as(Entries, payload, "entries"))
    for _, kind, size, _, _, link in entries:
        if kind is Kind.FILE:
            if link:
                raise ProtocolError("malformed entries: a file with the target of a symlink")
        elif size or (kind is Kind.SYMLINK) is not bool(link):
            raise ProtocolError(f"malformed entries: a {kind.name.lower()} with a size, or with a wrong link")
    return entries


def encode_indices(indices: Sequence[int]) -> bytes:
    """Payload of FILES_DONE."""
    return struct.pack(f"<{len(indices)}I", *indices)


def decode_indices(payload: Buffer) -> list[int]:
    """Payload of FILES_DONE.

    Raises:
        ProtocolError: it is not a list of file indices.
    """
    view = memoryview(payload)
    if view.nbytes % INDEX_BYTES or view.nbytes > MAX_BATCH * INDEX_BYTES:
        raise ProtocolError(f"malformed list of files: {view.nbytes} bytes")
    indices = list(struct.unpack(f"<{view.nbytes // INDEX_BYTES}I", view))
    if NO_FILE in indices:
        raise ProtocolError("malformed list of files: it contains an index that no file has")
    return indices


def encode_failed(failed: Failed) -> bytes:
    """Payload of FILE_FAILED; the message is cut to what the peer accepts."""
    return encode(_readable_failure(failed))


def decode_failed(payload: Buffer) -> Failed:
    """Payload of FILE_FAILED; its words are safe to print.

    Raises:
        ProtocolError: it is malformed.
    """
    failed = decode_as(Failed, payload, "failure")
    return _readable_failure(failed)


def _readable_failure(failed: Failed) -> Failed:
    return Failed(failed.path, _readable(failed.code, MAX_WORD), _readable(failed.message, MAX_TEXT))


def encode_finish(finish: Finish) -> bytes:
    """Payload of FINISH; failures beyond its bounds are left out."""
    room = MAX_FINISH - KIB
    kept: list[Failed] = []
    for failed in map(_readable_failure, finish.failures[:MAX_FAILURES]):
        room -= len(encode(failed))
        if room < 0:
            break
        kept.append(failed)
    return encode(msgspec.structs.replace(finish, failures=kept))


def decode_finish(payload: Buffer) -> Finish:
    """Payload of FINISH; its words are safe to print.

    Raises:
        ProtocolError: it is malformed or a value is out of range.
    """
    finish = decode_as(Finish, payload, "account")
    failures = [_readable_failure(failed) for failed in finish.failures]
    return msgspec.structs.replace(finish, status=_readable(finish.status, MAX_WORD), failures=failures)


def encode_error(code: str, text: str, retryable: bool) -> bytes:
    """Payload of ERROR; the text is cut to what the peer accepts."""
    return encode(Error(_readable(code, MAX_WORD), _readable(text, MAX_TEXT), retryable))


def decode_error(payload: Buffer) -> Error:
    """Payload of ERROR; its words are safe to print.

    Raises:
        ProtocolError: it is malformed.
    """
    error = decode_as(Error, payload, "error report")
    return Error(_readable(error.code, MAX_WORD), _readable(error.text, MAX_TEXT), error.retryable)


def encode_spans(spans: Sequence[Span]) -> bytes:
    """Payload of TRACE."""
    return encode(spans)


def decode_spans(payload: Buffer) -> list[Span]:
    """Payload of TRACE; its words are safe to print.

    Raises:
        ProtocolError: it is malformed or a value is out of range.
    """
    spans = decode_as(Spans, payload, "trace")
    return [span._replace(name=display(span.name), thread=display(span.thread)) for span in spans]
