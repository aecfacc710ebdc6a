"""Typed stub of the C++ core. Every call that touches bytes releases the GIL.

Fingerprints are 16 bytes: two little-endian u64, the residues modulo the key's two polynomials.
Extents are packed records of two little-endian u64 (offset, length): 16 bytes.
Copies are packed records of three little-endian u64 (target offset, basis offset, length): 24 bytes.
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

    def __init__(self, average: int, size: int) -> None:
        """For a file of `size` bytes; minimum chunk average/2, maximum average*3/2. Allocates as chunks arrive.

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
    def encode(self, first: int, count: int) -> bytes:
        """`count` chunks for the wire: lengths (u16 if the maximum chunk fits, else u32), then fingerprints.

        IndexError if the table does not have them all.
        """

    def extend(self, data: Buffer) -> int:
        """Append chunks from the wire; returns how many.

        ValueError if the byte count does not divide, a length is 0 or above the maximum, one other than
        the file's last is below the minimum, or the chunks exceed the file's size. Nothing is appended then.
        Readers see the whole batch or nothing of it.
        """

    def chunk(self, number: int) -> tuple[int, int, bytes]:
        """(offset, length, fingerprint) of one chunk; for tests and reports, not for hot paths. IndexError."""

    def fold(self, key: FingerprintKey) -> bytes:
        """Fingerprint of the file's first `end` bytes, combined from its chunks."""

    def digest(self) -> bytes:
        """32 bytes that depend on every length and fingerprint (for comparing runs, not for security)."""

class Segment:
    """One worker's scratch: a buffer for one segment with its context, and the records of its candidates."""

    def __init__(self, capacity: int) -> None:
        """For segments of up to `capacity` bytes, 1 GiB at most; ValueError otherwise."""

    def scan_file(self, key: FingerprintKey, average: int, fd: int, offset: int, length: int) -> None:
        """Read [offset - CONTEXT, offset + length) with pread and scan it, interleaved in blocks that stay in L2.

        OSError from the read; EOFError if the file ends early; ValueError for a bad average, or if length
        exceeds the capacity. After an error the segment cannot be merged.
        """

    def scan_buffer(self, key: FingerprintKey, average: int, data: Buffer, offset: int, length: int) -> None:
        """The same over memory, without a copy; `data` is the whole file and is kept alive until the next scan.

        ValueError also if the extent reaches beyond `data`.
        """

    @property
    def candidates(self) -> int: ...
    @property
    def record_bytes(self) -> int:
        """Memory of the last scan's records, without the buffer; bounded by the length, whatever the content."""

class Merger:
    """Stage 2 of Phase I: takes segments in file order, appends chunks to the table (ParaSync 3.1)."""

    def __init__(self, key: FingerprintKey, table: ChunkTable) -> None:
        """ValueError unless the table is empty."""

    def merge(self, segment: Segment) -> int:
        """Append the chunks that became final; returns how many.

        ValueError, with nothing changed, if the segment is not the next one or was not scanned with this key object
        and the table's average.
        """

    @property
    def forced(self) -> int: ...
    @property
    def rehashed(self) -> int:
        """Bytes hashed again for forced cuts."""

class BasisIndex:
    """(length, fingerprint) -> chunk number of the basis; open addressing; grows; thread-safe."""

    def __init__(self, table: ChunkTable) -> None: ...
    def insert(self, first: int, count: int) -> None:
        """Make these chunks of the table known; of equal ones the first inserted stays.

        IndexError if the table does not have them all.
        """

    def __len__(self) -> int:
        """Different chunks inserted."""

    @property
    def nbytes(self) -> int:
        """Memory, without the table's: 12 to 18 bytes a chunk."""

class ChunkMatcher:
    """Matches a target's chunks with a growing index, in batches. One owner; not thread-safe."""

    def __init__(self, target: ChunkTable, index: BasisIndex | None, copy_limit: int) -> None: ...
    def match(self, first: int, count: int) -> bytes:
        """Copies for the hits among these chunks, runs joined up to `copy_limit` bytes; misses are kept.

        A chunk that follows the previous hit in the basis is tried first, so that runs stay whole. Only a
        single chunk makes a copy longer than the limit. IndexError if the target does not have them all.
        """

    def rematch(self) -> bytes:
        """Copies for the kept misses that the index, grown since, now has. Looks up every one of them."""

    def take_wants(self) -> bytes:
        """The kept misses as extents of the target, neighbours joined; forgets them."""

    def take_edits(self) -> bytes:
        """Those kept misses that lie between two hits in the same order in the basis; forgets them."""

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
    def copy(self, basis_fd: int, copies: Buffer) -> int:
        """Copy these ranges out of the basis; returns bytes.

        ValueError, before anything is written, if one is empty or leaves the target; OSError; EOFError if the
        basis is shorter.
        """

    def literal(self, extents: Buffer, data: Buffer) -> int:
        """Write `data` over these extents, back to back; returns bytes.

        ValueError, before anything is written, if one is empty or leaves the target or if they do not cover `data`
        exactly; OSError.
        """

    @property
    def written(self) -> int: ...
    def fingerprint(self) -> bytes: ...
