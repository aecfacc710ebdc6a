"""Every constant with its reason, and the defaults that depend on the machine or the file."""

from __future__ import annotations

import os

from parasync.errors import UsageError

KIB = 1024
MIB = 1024 * KIB

MIN_AVERAGE = 2 * KIB
"""Smallest average chunk: below it the filter's one candidate in 256 bytes is too coarse."""
MAX_AVERAGE = 1 * MIB
DEFAULT_AVERAGE = 8 * KIB
FINE_AVERAGE = 4 * KIB
"""The paper's average (ParaSync 4.1)."""
MANY_CHUNKS = 1 << 22
"""Chunks of a file above which they are made larger: up to 80 bytes each on the receiver, 28 on the sender."""

CHUNKING_DEFAULT = "default"
"""Cut at the candidate of the highest level (decision 1)."""
CHUNKING_PAPER = "paper"
"""Cut at the first candidate of level log2(average) (ParaSync 3.1)."""
CHUNKINGS = (CHUNKING_DEFAULT, CHUNKING_PAPER)
"""The cut rules."""
MATCHING_FINGERPRINT = "fingerprint"
"""The receiver finds chunks by their fingerprints and plans alone (decisions 2 and 3)."""
MATCHING_WEAK_STRONG = "weak-strong"
"""Weak checksums find tentative matches, strong ones confirm them, and the sender commands (ParaSync 3.2)."""
MATCHINGS = (MATCHING_FINGERPRINT, MATCHING_WEAK_STRONG)

SLICE_CHUNKS = 128
"""Chunks that are hashed and told together (about 1 MiB): some 0.5 ms of work for one thread, and one frame."""
TOKENS_IN_FLIGHT = 16384
"""Tokens of a file that the sender has not answered: bounds what either side holds, for 128 MiB of chunks a round
trip."""

SEGMENT_BYTES = 8 * MIB
"""One worker's extent: large enough that a merge per segment is noise, small enough that the first
batch of chunks leaves after a few milliseconds."""
KEPT_SEGMENT_BYTES = 4 * MIB
"""The same where each worker keeps the bytes in memory, for copies out of them (decision 10)."""

INLINE_BYTES = 1 * MIB
"""Files up to this size are chunked, matched and copied by the thread that meets them: handing them to another one
costs more than the work."""

LITERAL_BYTES = 1 * MIB
"""Piece of literal data per frame: amortises the frame, bounds a buffer."""
SMALL_FILE = DEFAULT_AVERAGE
"""Up to one average chunk a file is not chunked: a fingerprint stands for it, and it travels in a batch."""
SMALL_WHOLE = 256 * KIB
"""Up to this size files travel in batches, with what the basis lacks of them only (decision 17): no descriptor, no
place in the window and one exchange."""
SMALL_AVERAGE = MIN_AVERAGE
"""Of the chunks of such files: the receiver sends their fingerprints, 1 % of the basis, before it knows what is new."""
MAX_SMALL_AVERAGE = 32 * KIB
LEAST_PATCH = 2 * KIB
"""Smaller files are sooner sent whole than compared by parts."""
SMALL_DIRECTORIES = 64
"""Directories that a batch of small files holds open."""
SMALL_BATCH_BYTES = 1 * MIB
SMALL_BATCH_FILES = 1024
COPY_BYTES = 1 * MIB
"""Longest single copy operation, so that copies share the writers fairly."""

LITERAL_BUFFERS = 8
"""Receive buffers of LITERAL_BYTES: enough that the network does not wait for one slow write."""
COPY_WORKERS = 2
"""Copies are bound by one core (some 2 GB/s each); literals have a worker of their own, so that they never queue
behind copies."""
WRITE_QUEUE_BYTES = 32 * MIB
"""Copies and small files that wait for a writer."""

BEHIND_BYTES = 8 * MIB
"""How far the basis is kept behind the target over short links (decision 20): content that was inserted moves the rest
of the target back, and the basis is chunked by several threads at once."""
BEHIND_SECONDS = 0.1
"""What that may cost one file, if its sender is slow."""

COMPRESS_AUTOMATICALLY = -1
COMPRESS_NOTHING = 0
MAX_COMPRESS_LEVEL = 19

REMOTE_SHELL = "ssh"
"""What reaches HOST:PATH, with its options, as a shell would split it."""
REMOTE_COMMAND = "parasync"
"""What it runs there; the shell there reads it."""

HOPELESS_BYTES = 32 * MIB
"""Without one match between so much of the target and so much of the basis, a fast link is better used to send the
file whole."""
DISTANT_SECONDS = 0.003
"""Round trips from here on are taken for a wide-area link, on which bytes and round trips cost more than computing;
below it whole data costs less than a hopeless search."""

MAX_LANES = 15
"""Connections of a session beside the first."""
STREAMS_AS_NEEDED = 0
"""--streams: one connection over a short link, 1 + DISTANT_LANES over a long one, and 1 + LOSSY_LANES as soon as that
turns out to lose packets."""
DISTANT_LANES = 5
LOSSY_LANES = 7
LONG_ROUND_TRIP = 0.02
"""Over shorter ones, a connection is at its full rate soon, at the beginning and after losses."""
LOSS_POLL_SECONDS = 0.25
LOSSY_POLLS = 3
"""So many polls that found new losses, or a connection that crawls after earlier ones, make a link a lossy one."""
LOSSY_RATE = 8e6
"""Bytes per second below which a connection crawls: what 8 of them get of a link that leaves each one megabyte."""
LANE_PIECE_BYTES = 256 * KIB
"""Piece of literal data per frame where there are lanes: small enough that they share what is wanted evenly."""
LANE_FRAMES = 16384
"""Frames of unfinished files that a lane remembers, for the case that it is lost: 7 to 15 MB, for 4 GiB of literals.
With more, it carries no more literals in that session."""
LANE_CONNECT_SECONDS = 2.0
"""A lane that takes longer to connect is left out; the session's end may have to wait for it."""

FILES_IN_FLIGHT = 64
"""Files between need and commit, per session: bounds descriptors and chunk tables on both sides."""
ENTRY_BATCH = 1024
"""Entries per frame: about 64 KiB."""
ENTRIES_IN_FLIGHT = 16 * ENTRY_BATCH
"""Entries the sender may have sent without the receiver's answer: bounds the sender's memory."""

MAGIC = b"ParaSync"
"""What either side sends first."""
MAX_FRAME = 4 * MIB
"""Largest payload of a frame that either side accepts."""
MAX_PATH = 4096
MAX_NAME = 255
MAX_DEPTH = 1024

HANDSHAKE_SECONDS = 20.0
"""A peer that connects and says nothing is dropped after this."""
CONNECT_SECONDS = 20.0
STALL_SECONDS = 60.0
"""No byte in either direction for this long, keep-alives included, ends a session."""
INTERRUPT_SECONDS = 0.1
"""How often a main thread that waits looks up. A signal that arrives just before the wait, or on another thread, does
not end it, and its handler, which runs in the main thread alone, would run after the wait only."""
KEEPALIVE_SECONDS = 2.0
"""A side that has nothing to say says so this often; a peer's --timeout should be some times longer."""


def default_average(size: int, fine: bool = False) -> int:
    """Average chunk size for a file of `size` bytes: 8 KiB up to 32 GiB, then doubling, 1 MiB at most.

    `fine`: 4 KiB up to 16 GiB. Each doubling halves the memory, and sends a quarter more of an edited file.
    """
    average = FINE_AVERAGE if fine else DEFAULT_AVERAGE
    while average < MAX_AVERAGE and size > average * MANY_CHUNKS:
        average *= 2
    return average


def check_average(average: int) -> int:
    """`average` if it is a power of two from 2 KiB to 1 MiB.

    Raises:
        UsageError: otherwise.
    """
    if not MIN_AVERAGE <= average <= MAX_AVERAGE or average & (average - 1):
        raise UsageError(f"average chunk size {average} is not a power of two from {MIN_AVERAGE} to {MAX_AVERAGE}")
    return average


def default_threads() -> int:
    """Chunking threads per side: the cores this process may run on, eight at most."""
    return max(1, min(8, len(os.sched_getaffinity(0))))
