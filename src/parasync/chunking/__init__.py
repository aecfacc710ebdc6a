"""PHASE I: content-defined chunks found by many threads (ParaSync 3.1).

1. A file is cut into equal segments; every worker takes the next segment in
   file order, reads it and scans it for candidates, fingerprints included.
   The window hash is warmed with the bytes before the segment, so candidates
   do not depend on where segments begin.
2. Whoever finishes the next segment in order merges it: cuts are selected
   under minimum and maximum, fingerprints of chunks are combined from those of
   sub-chunks. No thread waits for a merge, and nothing is read twice but what
   lies before a cut that had to be forced.
3. Each merge hands the chunks that became final to the job's sink, so the
   first batch leaves after the first segment.

The chunks are a pure function of content and average size: the number of
threads, the segment size and the CPU do not show. An interruption leaves
nothing behind: this phase only reads.
"""

from __future__ import annotations

from parasync.chunking.job import ChunkingJob, ChunkSink, FailureSink, SegmentSink, SegmentUse
from parasync.chunking.pool import ChunkingPool
from parasync.chunking.whole import ChunkReport, InlineChunker, chunk_file

__all__ = [
    "ChunkReport",
    "ChunkSink",
    "ChunkingJob",
    "ChunkingPool",
    "FailureSink",
    "InlineChunker",
    "SegmentSink",
    "SegmentUse",
    "chunk_file",
]
