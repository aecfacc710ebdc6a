"""Typed stub of the C++ core. Every call that touches bytes releases the GIL.

Fingerprints are 16 bytes: two little-endian u64, the residues modulo the key's two polynomials.
A short fingerprint is 8 bytes: the first of them XOR the second rotated by 32.
Extents are packed records of two little-endian u64 (offset, length): 16 bytes.
Copies are packed records of three little-endian u64 (target offset, basis offset, length): 24 bytes.
Tokens are packed records of u32 weak checksum, u32 length, u64 basis offset and 32 bytes of strong checksum: 48 bytes.
Chunk numbers and weak checksums are packed little-endian u32, strong checksums 32 bytes each.
All offsets and lengths are bytes.
"""

from typing_extensions import Buffer

def cpu_features() -> list[str]:
    """Names of the CPU features that matter here and that this CPU has, for example "avx2", "gfni"."""

def usable_kernels() -> list[str]:
    """Kernels this CPU can run, slowest first; "portable" is always the first."""

def active_kernel() -> str: ...
def select_kernel(name: str) -> None:
    """Make `name` the kernel of all later calls.

    Raises ValueError if it is unknown or this CPU cannot run it.
    """

CONTEXT: int
"""Bytes before a segment that decide the candidates inside it (the warm-up of the window hash and of thinning)."""

class FingerprintKey:
    """Two irreducible polynomials of degree 64 over GF(2), with their tables. Immutable, shared by threads."""

    def __init__(self, words: Buffer) -> None:
        """The first two distinct irreducible x^64 + w among the little-endian u64 `words` (bit 0 forced to 1).

        ValueError if there are fewer than two, or if `words` is no whole number of words.
        """

    def fingerprint(self, data: Buffer) -> bytes: ...
    def combine(self, left: bytes, right: bytes, right_length: int) -> bytes:
        """Fingerprint of A||B from those of A and B."""

    def shift(self, fingerprint: bytes, length: int) -> bytes:
        """Fingerprint of the data followed by `length` zero bytes."""

class ChunkTable:
    """Append-only columns of one file's chunks: length, fingerprint, offset, in 21 1/3 bytes a chunk.

    Stored in pages that never move: one writer, any number of readers of what is already there.
    """

    def __init__(self, average: int, size: int, weak: bool = False) -> None:
        """For a file of `size` bytes; minimum chunk average/2, maximum average*3/2. Allocates as chunks arrive.

        With `weak`, a column of weak checksums, 4 bytes a chunk, which the segments to be merged must bring.

        ValueError if `average` is not a power of two from 2 KiB to 1 MiB, or if the file may have more than
        2^32 - 2 chunks.
        """

    def __len__(self) -> int: ...
    @property
    def end(self) -> int:
        """Offset behind the last chunk; equals `size` when the table is complete."""

    @property
    def size(self) -> int: ...
    @property
    def average(self) -> int: ...
    @property
    def has_weak(self) -> bool: ...
    def weak(self, first: int, count: int) -> bytes:
        """Weak checksums of these chunks (u32 each). IndexError if they are not all there; ValueError without any."""

    def extents(self, numbers: Buffer) -> bytes:
        """Extents of the chunks with these numbers (u32 each). IndexError if one is not there."""

    def encode(self, first: int, count: int) -> bytes:
        """`count` chunks for the wire: lengths (u16 if the maximum chunk fits, else u32), then short fingerprints.

        IndexError if the table does not have them all.
        """

    def extend(self, data: Buffer) -> int:
        """Append chunks from the wire; returns how many. Only their short fingerprints are known then.

        ValueError if the byte count does not divide, a length is 0 or above the maximum, one other than
        the file's last is below the minimum, or the chunks exceed the file's size. Nothing is appended then.
        Readers see the whole batch or nothing of it.
        """

    def chunk(self, number: int) -> tuple[int, int, bytes]:
        """(offset, length, fingerprint) of one chunk; for tests and reports, not for hot paths. IndexError."""

    def fold(self, key: FingerprintKey) -> bytes:
        """Fingerprint of the file's first `end` bytes, combined from its chunks; none of them may be from the wire."""

    def digest(self) -> bytes:
        """32 bytes that depend on every length and fingerprint (for comparing runs, not for security)."""

class Segment:
    """One worker's scratch: a buffer for one segment with its context, and the records of its candidates."""

    def __init__(self, capacity: int) -> None:
        """For segments of up to `capacity` bytes, 1 GiB at most; ValueError otherwise."""

    def scan_file(
        self,
        key: FingerprintKey,
        average: int,
        fd: int,
        offset: int,
        length: int,
        rule: str = "default",
        weak: bool = False,
        keep: bool = False,
    ) -> None:
        """Read [offset - CONTEXT, offset + length) with pread and scan it, interleaved in pieces that stay in L2.

        `rule` says where cuts are, "default" (the candidate of the highest level) or "paper" (the first of level
        log2(average) or more); with `weak`, chunks get weak checksums. Unless the bytes are to be kept, each piece is
        read over the one before, and some are read from `fd` again until the segment has been merged.

        OSError from the read; EOFError if the file ends early; ValueError for a bad average or rule, or if length
        exceeds the capacity. After an error the segment cannot be merged.
        """

    def scan_buffer(
        self,
        key: FingerprintKey,
        average: int,
        data: Buffer,
        offset: int,
        length: int,
        rule: str = "default",
        weak: bool = False,
    ) -> None:
        """The same over memory, without a copy; `data` is the whole file and is kept alive until the next scan.

        ValueError also if the extent reaches beyond `data`.
        """

    def partition(self, copies: Buffer) -> tuple[bytes, bytes]:
        """These packed copies in two lists: those with bytes of the scanned extent, and the others.

        ValueError if nothing was scanned, or its bytes were not kept.
        """

    @property
    def candidates(self) -> int: ...
    @property
    def record_bytes(self) -> int:
        """Memory of the last scan's records, without the buffer; bounded by the length, whatever the content."""

class Merger:
    """Stage 2 of Phase I: takes segments in file order, appends chunks to the table (ParaSync 3.1)."""

    def __init__(self, key: FingerprintKey, table: ChunkTable, rule: str = "default") -> None:
        """ValueError unless the table is empty, or for an unknown rule."""

    def merge(self, segment: Segment) -> int:
        """Append the chunks that became final; returns how many.

        ValueError, with nothing changed, if the segment is not the next one or was not scanned with this key object
        and rule and the table's average, with weak checksums exactly if the table has them.
        """

    @property
    def forced(self) -> int: ...
    @property
    def rehashed(self) -> int:
        """Bytes hashed again for forced cuts."""

class ChunkIndex:
    """(length, fingerprint) -> chunk number; open addressing; grows; thread-safe."""

    def __init__(self, table: ChunkTable) -> None: ...
    def insert(self, first: int, count: int) -> None:
        """Make these chunks of the table known; of equal ones the first inserted stays.

        IndexError if the table does not have them all.
        """

    def find(self, sought: ChunkTable, first: int, count: int) -> bytes:
        """For each of these chunks of another table the number of an equal one here, or 2^32 - 1; packed u32.

        IndexError if the table sought does not have them all.
        """

    def __len__(self) -> int:
        """Different chunks inserted."""

    @property
    def nbytes(self) -> int:
        """Memory, without the table's: 12 to 18 bytes a chunk."""

class ChunkMatcher:
    """Matches a target's chunks with a growing index, in batches. One owner; not thread-safe.

    While the basis is `growing`, its new chunks are sought among the kept misses, for which these are indexed, too.
    """

    def __init__(
        self, target: ChunkTable, index: ChunkIndex | None, copy_limit: int, growing: bool = False
    ) -> None: ...
    def match(self, first: int, count: int) -> bytes:
        """Copies for the hits among these chunks, runs joined up to `copy_limit` bytes; misses are kept.

        A chunk that follows the previous hit in the basis is tried first, so that runs stay whole. Only a
        single chunk makes a copy longer than the limit. IndexError if the target does not have them all.
        """

    def grow(self, first: int, count: int) -> bytes:
        """Copies for the kept misses that are among these chunks of the basis, which are in the index by now.

        Of equal misses, sometimes only for one. IndexError if the basis does not have them all.
        """

    def rematch(self) -> bytes:
        """Copies for the kept misses that the index, grown since, now has. Looks up every one of them.

        For when the basis is complete: `grow` finds nothing after that.
        """

    def take_wants(self) -> bytes:
        """The kept misses as extents of the target, neighbours joined; forgets them."""

    @property
    def missing(self) -> int:
        """Kept misses, in chunks."""

    @property
    def matched_bytes(self) -> int: ...

class LiteralReader:
    """Reads extents of a file piece by piece (the sender's side of literals)."""

    def __init__(self, fd: int, extents: Buffer, size: int, key: FingerprintKey | None) -> None:
        """ValueError if an extent is empty or reaches beyond `size`. With a key, the bytes read are fingerprinted."""

    def fill(self, buffer: Buffer, limit: int) -> tuple[bytes, int]:
        """Read up to the buffer's length in at most `limit` extents: (their extents, bytes); (b"", 0) at the end.

        The last extent may be the first part of a longer one, whose rest begins the next piece. OSError from the
        read; EOFError if the file ends early; ValueError for an empty buffer or limit 0.
        """

    @property
    def total(self) -> int:
        """Bytes of all extents."""

    def fingerprint(self) -> bytes:
        """Sum of the fingerprints of what was read, each at its place in a file of `size` bytes.

        ValueError without a key.
        """

class TargetWriter:
    """Applies copies and literals to the new file in any order, from several threads (ParaSync 3.3).

    Sums the fingerprint of every byte it writes at its place in the file. If `written` equals `size` and the sum
    the file's fingerprint, then (but for 2^-90) each byte was written once and right, or left a zero in a new file:
    zero bytes add nothing to the sum. A call that raises adds nothing to either.
    """

    def __init__(self, fd: int, size: int, key: FingerprintKey) -> None: ...
    def copy(self, basis_fd: int, copies: Buffer, segment: Segment | None = None) -> int:
        """Copy these ranges out of the basis, those in a scanned segment of it from there; returns bytes.

        ValueError, before anything is written, if one is empty or leaves the target, or the segment holds nothing;
        OSError; EOFError if the basis is shorter.
        """

    def literal(self, extents: Buffer, data: Buffer) -> int:
        """Write `data` over these extents, back to back; returns bytes.

        ValueError, before anything is written, if one is empty or leaves the target or if they do not cover `data`
        exactly; OSError.
        """

    @property
    def written(self) -> int: ...
    def fingerprint(self) -> bytes: ...

MAX_SMALL: int
"""Largest small file, bytes."""
MAX_SMALL_AVERAGE: int
"""Largest average chunk size for small files: their chunks are encoded in 10 bytes each."""
CHANGED: int
"""A small file's error: it is not what it was said to be."""
UNVERIFIED: int
"""A small file's error: what is to be stored does not have the fingerprint that it should."""

class SmallReader:
    """Reads small files in batches and compares them in memory. One owner; not thread-safe.

    A file is a name in an open directory: its descriptor and one component. Links are not followed, FIFOs not waited
    for. Each answer begins with 0, the errno with which that file failed, or `CHANGED`; the others go on.
    """

    def __init__(self, key: FingerprintKey, rule: str = "default") -> None:
        """Cuts chunks by this rule. ValueError for an unknown one."""

    def bases(self, requests: list[tuple[int, bytes, int, int]]) -> list[tuple[int, bytes, bytes]]:
        """Of (directory, name, size, average) each: (error, fingerprint, encoded chunks), no chunks for average 0.

        ValueError for a size above MAX_SMALL, a bad average or a name that is not one component.
        """

    def targets(
        self, requests: list[tuple[int, bytes, int, int, bytes, bytes, int]]
    ) -> list[tuple[int, bool, bytes, bytes, bytes]]:
        """How each target comes from its basis: (error, same, fingerprint, literals, copies).

        A request is (directory, name, size, mtime in ns, and of the basis: fingerprint or b"", encoded chunks or b"",
        their average). `same`: the basis is the target. Else literals fill, in order, what the copies leave of it.
        ValueError as in `bases`, and for bad chunks.
        """

def store_small(
    key: FingerprintKey,
    requests: list[tuple[int, bytes, int, int, int, bool, bytes, bytes, bytes]],
    prefix: bytes,
    durable: bool,
) -> list[int]:
    """Put small files in their places, each verified; the error of each: 0, an errno, `CHANGED` or `UNVERIFIED`.

    A request is (directory, name, size, mode, mtime in ns, same, fingerprint, literals, copies of the old file): with
    `same`, the old file only gets mode and time. A new file's temporary name is `prefix` and 16 hexadecimal digits.
    `durable`: its content, not its name, is on the disk then. An error leaves the old file as it was.

    ValueError for a size above MAX_SMALL, for literals and copies that do not make up the file, or a name that is not
    one component.
    """

def crc32c(data: Buffer, before: int) -> int:
    """CRC32C of A||`data`, given that of A in `before` (0 if A is empty)."""

def crc32c_combine(left: int, right: int, right_length: int) -> int:
    """CRC32C of A||B from those of A and B; that of B from those of A and A||B."""

def blake3(data: Buffer) -> bytes:
    """BLAKE3, 32 bytes."""

def blake3_extents(fd: int, extents: Buffer) -> bytes:
    """BLAKE3 of each extent of the file, 32 bytes each; extents are hashed side by side.

    ValueError if one is empty; OSError from a read; EOFError if the file ends early.
    """

class WeakTable:
    """Weak checksum -> the chunks of a table that have it. One owner; not thread-safe."""

    def __init__(self, chunks: ChunkTable) -> None:
        """ValueError if the table has no weak checksums."""

    def insert(self, first: int, count: int) -> None:
        """Add the next chunks of the table. ValueError if others come first; IndexError if they are not all there."""

    def find(self, weak: Buffer) -> bytes:
        """All chunks with these checksums: packed pairs of u32 (place of the checksum in `weak`, chunk number)."""

    def __len__(self) -> int:
        """Chunks inserted."""

    @property
    def values(self) -> int:
        """Different checksums among them."""

class TentativeMatcher:
    """Joins weak checksums of the target with chunks of the basis while both grow. One owner; not thread-safe."""

    def __init__(self, basis: ChunkTable) -> None:
        """ValueError if the table has no weak checksums."""

    def add_chunks(self, first: int, count: int) -> None:
        """The next chunks of the basis. ValueError if others come first; IndexError if they are not all there."""

    def seal(self) -> None:
        """No more chunks follow."""

    def add_values(self, weak: Buffer) -> None:
        """The next checksums of the target. ValueError if one came before."""

    def take(self, limit: int) -> bytes:
        """Numbers of the next basis chunks with a checksum of the target, `limit` at most; each chunk once."""

    @property
    def waiting(self) -> int:
        """Chunks to take."""

    @property
    def values(self) -> int: ...
    @property
    def resolved(self) -> int:
        """So many checksums, the first that came, have all their chunks taken; 0 until sealed."""

def tokens(chunks: ChunkTable, numbers: Buffer, strong: Buffer) -> bytes:
    """Tokens of these chunks with these strong checksums; of equal content the first alone.

    ValueError unless there are as many of both; IndexError if a chunk is not there.
    """

class StrongMatcher:
    """Verifies tokens against the target's chunks, batch by batch. One owner; not thread-safe."""

    def __init__(self, target: ChunkTable, copy_limit: int) -> None:
        """Copies are joined up to `copy_limit` bytes. ValueError if the table has no weak checksums."""

    def add(self, first: int, count: int) -> bytes:
        """The next chunks of the target; returns their new weak checksums.

        ValueError if others come first; IndexError if they are not all there.
        """

    def begin(self, tokens: Buffer) -> bytes:
        """Begin a batch; numbers of the chunks to hash, each once in all batches.

        ValueError for a token whose checksum is not the target's, or without length; RuntimeError within a batch.
        """

    def confirm(self, strong: Buffer) -> bytes:
        """End the batch, given the strong checksums of these chunks; copies for those that a token describes.

        ValueError unless there are as many; RuntimeError without a batch.
        """

    def take_literals(self, resolved: int) -> bytes:
        """Extents, neighbours joined, of chunks that no token can confirm any more: of the first `resolved` checksums.

        Each is returned once. ValueError if `resolved` descends or exceeds `values`.
        """

    @property
    def late(self) -> bool:
        """Whether chunks wait for a batch, even one without tokens."""

    @property
    def values(self) -> int:
        """Different weak checksums so far."""

    @property
    def hashed_bytes(self) -> int: ...
    @property
    def matched_bytes(self) -> int: ...

def check_copies(copies: Buffer, target_size: int, basis_size: int) -> int:
    """Bytes of these copies.

    ValueError if one is empty or leaves target or basis, or if they are more than the target.
    """
