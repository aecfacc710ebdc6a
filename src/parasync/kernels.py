"""The native core, as the rest of the project sees it; the only module that imports `_native`.

Which kernel runs is decided once, on first use: the fastest that this CPU
offers, unless the environment variable PARASYNC_KERNEL names one. All kernels
give the same chunks and fingerprints; the choice is for tests and comparisons.
"""

from __future__ import annotations

import os
from hashlib import shake_256

from parasync import _native
from parasync._native import (
    CHANGED,
    CONTEXT,
    UNVERIFIED,
    ChunkIndex,
    ChunkMatcher,
    ChunkTable,
    FingerprintKey,
    LiteralReader,
    Merger,
    Segment,
    SmallReader,
    StrongMatcher,
    TargetWriter,
    TentativeMatcher,
    WeakTable,
    blake3,
    blake3_extents,
    check_copies,
    cpu_features,
    crc32c,
    crc32c_combine,
    store_small,
    tokens,
    usable_kernels,
)
from parasync.errors import UsageError

__all__ = [
    "CHANGED",
    "CONTEXT",
    "KERNEL_VARIABLE",
    "KEY_BYTES",
    "UNVERIFIED",
    "ChunkIndex",
    "ChunkMatcher",
    "ChunkTable",
    "FingerprintKey",
    "LiteralReader",
    "Merger",
    "Segment",
    "SmallReader",
    "StrongMatcher",
    "TargetWriter",
    "TentativeMatcher",
    "WeakTable",
    "active_kernel",
    "blake3",
    "blake3_extents",
    "check_copies",
    "cpu_features",
    "crc32c",
    "crc32c_combine",
    "fingerprint_key",
    "select_kernel",
    "store_small",
    "tokens",
    "usable_kernels",
]

KERNEL_VARIABLE = "PARASYNC_KERNEL"
KEY_BYTES = 16
"""Least length of a fingerprint key, in bytes: the fingerprint's own."""

_KEY_WORDS = 2048
"""One random word in 32 gives an irreducible polynomial; that fewer than two of these do has probability 2^-87."""

_environment_done = False


def fingerprint_key(key: bytes) -> FingerprintKey:
    """The two polynomials that the secret `key` stands for; both sides of a session derive the same.

    Takes about half a millisecond.

    Raises:
        UsageError: `key` has fewer than `KEY_BYTES` bytes, or PARASYNC_KERNEL names a kernel that cannot run here.
    """
    _obey_environment()
    if len(key) < KEY_BYTES:
        raise UsageError(f"a fingerprint key of {len(key)} bytes is too short: use {KEY_BYTES} random bytes or more")
    return FingerprintKey(shake_256(b"parasync fingerprint 1" + key).digest(8 * _KEY_WORDS))


def active_kernel() -> str:
    """Name of the kernel that runs now.

    Raises:
        UsageError: PARASYNC_KERNEL names a kernel that cannot run here.
    """
    _obey_environment()
    return _native.active_kernel()


def select_kernel(name: str) -> None:
    """Make `name` the kernel of all later calls; goes before PARASYNC_KERNEL.

    Raises:
        UsageError: there is no such kernel, or this CPU cannot run it.
    """
    global _environment_done  # noqa: PLW0603 - the native core has one kernel per process, too
    _select(name, "kernel")
    _environment_done = True


def _obey_environment() -> None:
    global _environment_done  # noqa: PLW0603
    if _environment_done:
        return
    name = os.environ.get(KERNEL_VARIABLE)
    if name is not None:
        _select(name, KERNEL_VARIABLE)
    _environment_done = True


def _select(name: str, origin: str) -> None:
    try:
        _native.select_kernel(name)
    except ValueError as error:
        raise UsageError(f"{origin} {name!r}: {error}; use one of {', '.join(usable_kernels())}") from error
