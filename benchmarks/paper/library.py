"""The baselines' native stages, compiled on first use from `native/` together with the product's own core."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import shake_256
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.lab.system import run
from parasync.kernels import active_kernel

SOURCES = Path(__file__).with_name("native")
ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "native"
BUILD = ROOT / "build" / "baselines"
KEY_WORDS = 2048

Function = Callable[..., Any]
BYTES, POINTER, U64, U32, FLAG = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_int
CHUNKS = (ctypes.c_int, POINTER, POINTER, POINTER, POINTER, U64)
"""Descriptor, offsets, lengths, weak checksums, weak table, count."""
SHARE = (ctypes.c_uint, ctypes.c_uint, FLAG)
"""Part, parts, whether they are of checksums."""


class Library:
    """Functions of libbaselines.so; every call releases the GIL. `native/*.cpp` say what they do."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        self.mark = _declared(library.sscdc_mark, None, POINTER, U64, U64, ctypes.c_uint, POINTER)
        self.cut = _declared(library.sscdc_cut, U64, POINTER, U64, U32, U32, POINTER)
        self.checksums = _declared(library.sscdc_checksums, None, POINTER, POINTER, U64, POINTER, BYTES, U64, POINTER)
        self.weak_order = _declared(library.weak_order, None, POINTER, U64, POINTER)
        self.weak_distinct = _declared(library.weak_distinct, U64, POINTER, POINTER, U64, POINTER)
        self.make_tokens = _declared(library.make_tokens, U64, *CHUNKS, POINTER, U64, *SHARE, POINTER)
        self.verify_tokens = _declared(
            library.verify_tokens, None, *CHUNKS, POINTER, U64, *SHARE, POINTER, POINTER, POINTER
        )
        self.plan_delta = _declared(library.plan_delta, U64, POINTER, POINTER, U64, U64, POINTER)
        library.baselines_select_kernel(active_kernel().encode())


def _declared(function: Any, result: type[Any] | None, *arguments: type[Any]) -> Function:  # noqa: ANN401 - ctypes
    """A foreign function with its types."""
    function.restype = result
    function.argtypes = arguments
    found: Function = function
    return found


def key_words(key: bytes) -> bytes:
    """The words in which the product finds the polynomials of this key."""
    return shake_256(b"parasync fingerprint 1" + key).digest(8 * KEY_WORDS)


@cache
def library() -> Library:
    """The library, compiled if it is not there or older than a source.

    Raises:
        BenchmarkError: there is no CMake or no compiler, or it does not compile.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / "libbaselines.so"
    with (BUILD / "lock").open("w") as lock:  # of several processes, one compiles
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists() or path.stat().st_mtime < max(one.stat().st_mtime for one in _sources()):
            _compile()
    return Library(path)


def _sources() -> Iterator[Path]:
    yield from SOURCES.iterdir()
    for directory in ("include/parasync", "src"):
        yield from (CORE / directory).iterdir()


def _compile() -> None:
    cmake = shutil.which("cmake", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if cmake is None:
        raise BenchmarkError("cmake is missing: run `make build`, which installs it")
    run(cmake, "-S", SOURCES, "-B", BUILD, "-G", "Unix Makefiles")
    run(cmake, "--build", BUILD, "--parallel", len(os.sched_getaffinity(0)))
    (BUILD / "libbaselines.so").touch()
