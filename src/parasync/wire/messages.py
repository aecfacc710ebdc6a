"""What the two sides say to each other, and the bounds of every part of it."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from parasync.config import (
    CHUNKING_DEFAULT,
    COMPRESS_AUTOMATICALLY,
    FILES_IN_FLIGHT,
    KIB,
    MATCHING_FINGERPRINT,
    MAX_AVERAGE,
    MAX_COMPRESS_LEVEL,
    MAX_FRAME,
    MAX_LANES,
    MAX_PATH,
    MIB,
    TOKENS_IN_FLIGHT,
)
from parasync.model import Entry, Kind, Need
from parasync.tracing import Span

VERSION = 1
"""[preamble.version]"""

KEY_BYTES = 16
"""[limit.key]"""
FINGERPRINT_BYTES = 16
"""[limit.fingerprint]"""
SHORT_FINGERPRINT_BYTES = 8
"""[limit.short_fingerprint] Of a chunk on the wire."""
EXTENT_BYTES = 16
"""[limit.extent] Offset and length, each u64 LE."""
COPY_BYTES = 24
"""[limit.copy] Target offset, basis offset and length, each u64 LE."""
STRONG_TOKEN_BYTES = 48
"""[limit.strong_token] Weak checksum u32, length u32, basis offset u64, strong checksum."""
MAX_TOKENS = TOKENS_IN_FLIGHT
"""[limit.tokens] Tokens of a file that the sender has not answered."""
SMALL_CHUNK_BYTES = 2 + SHORT_FINGERPRINT_BYTES
MAX_SMALL_CHUNKS = 257
"""[limit.small_chunks] Chunks of a small file: its longest, in the shortest chunks, and one more."""
MAX_UNASKED = 64 * KIB
"""[limit.unasked] Bytes of chunks that are sent before they are asked for: what a connection takes in its first round
trips."""
WEAK_BYTES = 4
MARK_BYTES = 4
INDEX_BYTES = 4
FIRST_BYTES = 4
TOKEN_BYTES = 16
"""[limit.token]"""

NO_FILE = 0xFFFF_FFFF
"""[limit.no_file] As a file index: no entry of this session. Indices, and so the number of entries, stay below it."""
MAX_BATCH = 65536
"""[limit.batch] Entries, needs, small files, chunks, extents or indices in one frame."""
MAX_HELLO = 256 * KIB
"""[limit.hello] Bytes of a greeting: what a stranger can make the other side hold."""
MAX_SOURCES = 1024
"""[limit.sources]"""
MAX_FEATURES = 64
"""[limit.features]"""
MAX_WORD = 255
"""[limit.word] Characters of a module's name, a software's name, a feature or a code."""
MAX_TEXT = 4096
"""[limit.text] Characters of a message for people."""
MAX_REPORT = 32 * KIB
"""[limit.report] Bytes of FILE_FAILED or ERROR: a path and a text, with room for UTF-8."""
MAX_FAILURES = 1000
"""[limit.failures] Failures named in FINISH; all are counted."""
MAX_FINISH = 1 * MIB
"""[limit.finish] Bytes of FINISH; failures beyond it are left out."""


class FrameType(IntEnum):
    """[header.type] The number of each frame; the sender and the receiver are those of file content."""

    HELLO = 1  # [frame.hello] client -> server: Hello
    WELCOME = 2  # [frame.welcome] server -> client: Welcome
    ENTRIES = 3  # [frame.entries] sender -> receiver: entries `file` to `file + count`
    ENTRIES_END = 4  # [frame.entries_end] sender -> receiver: there are `count` entries
    NEEDS = 5  # [frame.needs] receiver -> sender: answers entries `file` to `file + count`
    SMALL = 6  # [frame.small] sender -> receiver: `count` small files
    CHUNKS = 7  # [frame.chunks] sender -> receiver: the number of the first, then `count` chunks of `file`
    WANTS = 8  # [frame.wants] receiver -> sender: `count` extents of `file`
    LITERAL = 9  # [frame.literal] sender -> receiver: `count` extents of `file`, then their bytes
    FILE_END = 10  # [frame.file_end] sender -> receiver: the fingerprint of `file`
    FILE_FAILED = 11  # [frame.file_failed] either way: Failed
    FILES_DONE = 12  # [frame.files_done] receiver -> sender: `count` indices of committed files
    FINISH = 13  # [frame.finish] receiver -> sender: Finish
    BYE = 14  # [frame.bye] sender -> receiver
    KEEPALIVE = 15  # [frame.keepalive] either way
    ERROR = 16  # [frame.error] either way: Error
    TRACE = 17  # [frame.trace] server -> client: what it did when
    JOIN = 18  # [frame.join] client -> server, first on a further connection: it is lane `file` of a session
    LANE_LOST = 19  # [frame.lane_lost] either way: lane `file` is lost; from the receiver: after `count` frames
    WEAK = 20  # [frame.weak] sender -> receiver: `count` weak checksums of `file`
    TOKENS = 21  # [frame.tokens] receiver -> sender: `count` tokens of `file`; [tokens.resolved]
    COPIES = 22  # [frame.copies] sender -> receiver: `count` copies of `file`; [copies.verified]


ZSTD = "zstd"
"""[feature.zstd] The side unpacks frames with the flag of that name."""
PAPER_CHUNKING = "chunking-paper"
"""[feature.chunking] The side knows the cut rule "paper"."""
WEAK_STRONG = "weak-strong"
"""[feature.weak_strong] The side knows this way of matching, and its frames."""
PATCH = "patch"
"""[feature.patch] The side, as sender, answers a need of that name."""
FEATURES = (ZSTD, PAPER_CHUNKING, WEAK_STRONG, PATCH)


class Flags(IntFlag):
    """[header.flags]"""

    ZSTD = 1  # [flag.zstd] SMALL, LITERAL: the payload, behind the extents, is one zstd frame with its size in it
    RETRY = 2  # [flag.retry] LITERAL, FILE_END: of the second attempt at this file
    UNASKED = 4  # [flag.unasked] CHUNKS: sent before the answer to the entry was known


class Header(Struct, frozen=True, gc=False):
    """The fixed start of every frame."""

    type: FrameType
    flags: int
    file: int  # [header.file]
    count: int  # [header.count]
    length: int  # [header.length] bytes of payload


class Rule(NamedTuple):
    """What the header of one frame type may say: the payload is `fixed` bytes and `each` bytes per count."""

    counts: tuple[int, int] = (0, 0)
    fixed: tuple[int, int] = (0, 0)
    each: tuple[int, int] = (0, 0)
    file: tuple[int, int] = (0, 0)
    flags: int = 0


_INDEXED = (0, NO_FILE - 1)
_LANE = (1, MAX_LANES)  # [limit.lanes]
_BATCH = (1, MAX_BATCH)
_MOST = (1, MAX_FRAME)
_SHORTEST_ENTRY = 7
_CHUNK_BYTES = (2 + SHORT_FINGERPRINT_BYTES, 4 + SHORT_FINGERPRINT_BYTES)
_EXTENTS = (EXTENT_BYTES, EXTENT_BYTES)
_INDICES = (INDEX_BYTES, INDEX_BYTES)
_MARK = (MARK_BYTES, MARK_BYTES)

RULES: dict[int, Rule] = {
    FrameType.HELLO: Rule(fixed=(1, MAX_HELLO)),
    FrameType.WELCOME: Rule(fixed=(1, MAX_HELLO)),
    FrameType.ENTRIES: Rule(_BATCH, _MOST, (_SHORTEST_ENTRY, MAX_FRAME), _INDEXED),
    FrameType.ENTRIES_END: Rule((0, NO_FILE)),
    FrameType.NEEDS: Rule((0, MAX_BATCH), _MOST, file=_INDEXED),
    FrameType.SMALL: Rule(_BATCH, _MOST, flags=Flags.ZSTD),
    FrameType.CHUNKS: Rule(_BATCH, (FIRST_BYTES, FIRST_BYTES), _CHUNK_BYTES, _INDEXED, Flags.UNASKED),
    FrameType.WANTS: Rule(_BATCH, each=_EXTENTS, file=_INDEXED),
    FrameType.LITERAL: Rule(_BATCH, _MOST, _EXTENTS, _INDEXED, Flags.ZSTD | Flags.RETRY),
    FrameType.FILE_END: Rule(fixed=(FINGERPRINT_BYTES, FINGERPRINT_BYTES), file=_INDEXED, flags=Flags.RETRY),
    FrameType.FILE_FAILED: Rule(fixed=(1, MAX_REPORT), file=(0, NO_FILE)),
    FrameType.FILES_DONE: Rule((0, MAX_BATCH), each=_INDICES),
    FrameType.FINISH: Rule(fixed=(1, MAX_FINISH)),
    FrameType.BYE: Rule(),
    FrameType.KEEPALIVE: Rule(),
    FrameType.ERROR: Rule(fixed=(1, MAX_REPORT)),
    FrameType.TRACE: Rule(_BATCH, _MOST),
    FrameType.JOIN: Rule(fixed=(TOKEN_BYTES, TOKEN_BYTES), file=_LANE),
    FrameType.LANE_LOST: Rule((0, NO_FILE), file=_LANE),
    FrameType.WEAK: Rule(_BATCH, each=(WEAK_BYTES, WEAK_BYTES), file=_INDEXED),
    FrameType.TOKENS: Rule((0, MAX_BATCH), _MARK, (STRONG_TOKEN_BYTES, STRONG_TOKEN_BYTES), _INDEXED),
    FrameType.COPIES: Rule((0, MAX_BATCH), _MARK, (COPY_BYTES, COPY_BYTES), _INDEXED),
}
"""Every frame type is here."""

Word = Annotated[str, Meta(max_length=MAX_WORD)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Path = Annotated[bytes, Meta(max_length=MAX_PATH)]
Index = Annotated[int, Meta(ge=0, lt=NO_FILE)]
Counter = Annotated[int, Meta(ge=0, lt=1 << 62)]
Moment = Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)]
Compression = Annotated[int, Meta(ge=COMPRESS_AUTOMATICALLY, le=MAX_COMPRESS_LEVEL)]
Average = Annotated[int, Meta(ge=0, le=MAX_AVERAGE)]
Key = Annotated[bytes, Meta(max_length=KEY_BYTES)]
Fingerprint = Annotated[bytes, Meta(min_length=FINGERPRINT_BYTES, max_length=FINGERPRINT_BYTES)]
Token = Annotated[bytes, Meta(max_length=TOKEN_BYTES)]
Features = Annotated[list[Word], Meta(max_length=MAX_FEATURES)]
FrameLimit = Annotated[int, Meta(ge=MAX_FRAME, lt=1 << 31)]  # [limit.frame]
FilesLimit = Annotated[int, Meta(ge=1, le=MAX_BATCH)]


class Hello(Struct, frozen=True, kw_only=True):
    """The client's greeting: what is to be synchronised, and how."""

    push: bool  # [hello.push] the client is the sender
    module: Word  # [hello.module]
    path: Path = b""  # [hello.path] push: the destination below the module
    paths: Annotated[list[Path], Meta(max_length=MAX_SOURCES)] = []  # [hello.paths] pull: the sources below the module
    single_file: bool = False  # [hello.single_file] push: the only source is not a directory
    many: bool = False  # [hello.many] there are several sources
    ignore_times: bool = False  # [hello.ignore_times] equal size and time do not prove equal content
    dry_run: bool = False  # [hello.dry_run]
    whole_file: bool = False  # [hello.whole_file] ask for no delta
    fsync: bool = False  # [hello.fsync]
    compression: Compression = COMPRESS_AUTOMATICALLY  # [hello.compression] pull: of the server's literals
    average: Average = 0  # [hello.average] push: of the chunks the receiver asks for; 0: as it sees fit
    fine: bool = False  # [hello.fine] as it sees fit, and rather small
    chunking: Word = CHUNKING_DEFAULT  # [hello.chunking] the cut rule of both sides
    matching: Word = MATCHING_FINGERPRINT  # [hello.matching]
    trace: bool = False  # [hello.trace] the server is to send its spans before FINISH or BYE
    key: Key = b""  # [hello.key] pull: the session's key
    offered_key: Key = b""  # [hello.offered_key] push: one that the receiver may choose
    unasked: Average = 0  # [hello.unasked] push: of the chunks that come before NEEDS; 0: none will
    token: Token = b""  # [hello.token] by which further connections join this session
    software: Word = ""  # [hello.software]
    max_frame: FrameLimit = MAX_FRAME  # [hello.max_frame]
    files_in_flight: FilesLimit = FILES_IN_FLIGHT  # [hello.files_in_flight]
    features: Features = []  # [hello.features]


class Welcome(Struct, frozen=True, kw_only=True):
    """The server's answer to a greeting it accepts."""

    key: Key = b""  # [welcome.key] push: the session's key
    single_file: bool = False  # [welcome.single_file] pull: the only source is not a directory
    unasked: Average = 0  # [welcome.unasked] pull: as in HELLO
    software: Word = ""  # [welcome.software]
    max_frame: FrameLimit = MAX_FRAME  # [welcome.max_frame]
    files_in_flight: FilesLimit = FILES_IN_FLIGHT  # [welcome.files_in_flight]
    features: Features = []  # [welcome.features]
    clock: Moment = 0  # [welcome.clock] nanoseconds of the server's monotonic clock, when this was sent


class WireSpan(Span):
    """A span that came from the peer and is within its bounds."""

    __slots__ = ()

    name: Word  # [span.name]
    thread: Word  # [span.thread]
    start: Moment  # [span.start]
    length: Counter  # [span.length]


class WireEntry(Entry):
    """An entry that came from the peer and is within its bounds (its path is still to be judged by `tree`)."""

    __slots__ = ()

    path: Path  # [entry.path]
    kind: Kind  # [entry.kind]
    size: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]  # [entry.size]
    mtime: Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)]  # [entry.mtime]
    mode: Annotated[int, Meta(ge=0, le=0o7777)]  # [entry.mode]
    link: Path  # [entry.link]


class NeedItem(Struct, frozen=True, array_like=True, gc=False):
    """One entry whose content the receiver needs."""

    index: Index  # [need.index]
    need: Need  # [need.need]
    average: int  # [need.average] average chunk size for DELTA and PATCH; else 0 is allowed
    fingerprint: bytes = b""  # [need.fingerprint] COMPARE, PATCH: of the basis
    chunks: bytes = b""  # [need.chunks] PATCH: of the basis, encoded


class SmallFile(Struct, frozen=True, array_like=True, gc=False):
    """The content of one small file, or the word that it is the basis's."""

    index: Index  # [small.index]
    same: bool  # [small.same] the content is what the receiver has; `data` is empty
    fingerprint: Fingerprint  # [small.fingerprint]
    data: bytes  # [small.data]
    copies: bytes = b""  # [small.copies] after PATCH: parts of the basis; `data` is what they leave


class Failed(Struct, frozen=True, array_like=True):
    """One path that is not transferred, and why."""

    path: Path  # [failed.path]
    code: Word  # [failed.code]
    message: Text  # [failed.message]


class Finish(Struct, frozen=True, kw_only=True):
    """The receiver's account of the session."""

    status: Word  # [finish.status] "ok", "partial", "vanished" or an error's code
    files_total: Counter  # [finish.files_total]
    files_sent: Counter  # [finish.files_sent]
    files_unchanged: Counter  # [finish.files_unchanged]
    files_failed: Counter  # [finish.files_failed]
    bytes_target: Counter  # [finish.bytes_target]
    bytes_copied: Counter  # [finish.bytes_copied]
    bytes_literal: Counter  # [finish.bytes_literal]
    failures: Annotated[list[Failed], Meta(max_length=MAX_FAILURES)]  # [finish.failures]


class Error(Struct, frozen=True):
    """Why a side ends the session."""

    code: Word  # [error.code]
    text: Text  # [error.text]
    retryable: bool  # [error.retryable]


Entries = Annotated[list[WireEntry], Meta(max_length=MAX_BATCH)]
Needs = Annotated[list[NeedItem], Meta(max_length=MAX_BATCH)]
SmallFiles = Annotated[list[SmallFile], Meta(max_length=MAX_BATCH)]
Spans = Annotated[list[WireSpan], Meta(max_length=MAX_BATCH)]
