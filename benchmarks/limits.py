"""What the machine itself reaches: memory, files, hashes, loopback. No chunker and no tool can be faster."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import socket
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.measure import seconds

PIECE = 1 << 20
PAGE = mmap.PAGESIZE
NEEDLE = 0xFF

_libc = ctypes.CDLL(None)
_libc.memcpy.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_libc.memcpy.restype = ctypes.c_void_p
_libc.memchr.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
_libc.memchr.restype = ctypes.c_void_p


class Memory:
    """`size` bytes to read and as many to copy to, both touched; what libc does to them, with the GIL released."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._maps = [mmap.mmap(-1, size) for _ in range(2)]
        for one in self._maps:
            ctypes.memset(self._address(one), 1, size)

    @staticmethod
    def _address(one: mmap.mmap) -> int:
        return ctypes.addressof(ctypes.c_char.from_buffer(one))

    def copy(self, threads: int = 1) -> None:
        """memcpy from the one to the other, a part for each thread."""
        source, destination = map(self._address, self._maps)
        self._spread(threads, lambda begin, length: _libc.memcpy(destination + begin, source + begin, length))

    def read(self, threads: int = 1) -> None:
        """Look at every byte, by searching for one that is not there."""
        source = self._address(self._maps[0])
        found: list[int] = []

        def search(begin: int, length: int) -> None:
            if _libc.memchr(source + begin, NEEDLE, length):
                found.append(begin)

        self._spread(threads, search)
        if found:
            raise BenchmarkError("the memory that was read did not hold what was written there")

    def _spread(self, threads: int, work: Callable[[int, int], object]) -> None:
        if threads == 1:
            work(0, self.size)
            return
        part = -(-self.size // threads // PAGE) * PAGE
        running = [
            threading.Thread(target=work, args=(begin, min(part, self.size - begin)))
            for begin in range(0, self.size, part)
        ]
        for one in running:
            one.start()
        for one in running:
            one.join()


def machine_limits(disk: Path, size: int) -> Iterator[str]:
    """A line for each limit; files are made below `disk` and in /dev/shm."""
    memory = Memory(size)
    cores = len(os.sched_getaffinity(0))
    for threads in sorted({1, cores}):
        for name, action in (("read", memory.read), ("memcpy", memory.copy)):
            best = min(seconds(partial(action, threads)) for _ in range(3))
            yield f"{f'memory {name}, {threads} threads':40} {size / best / 1e9:8.2f} GB/s"
    for directory in (disk, Path("/dev/shm")):
        yield from _files(directory, size)
    data = os.urandom(min(size, 64 << 20))
    hashes: dict[str, Callable[[bytes], object]] = {
        "SHA-256": hashlib.sha256,
        "BLAKE2b": hashlib.blake2b,
        "CRC-32": zlib.crc32,
    }
    for name, function in hashes.items():
        best = min(seconds(partial(function, data)) for _ in range(3))
        yield f"{f'{name} in Python, 1 thread':40} {len(data) / best / 1e9:8.2f} GB/s"
    yield f"{'TCP over loopback, 1 stream':40} {4 * size / seconds(partial(_loopback, 4 * size)) / 1e9:8.2f} GB/s"


def _files(directory: Path, size: int) -> Iterator[str]:
    piece = bytearray(os.urandom(PIECE))

    def write(descriptor: int) -> None:
        left = size
        while left > 0:
            left -= os.write(descriptor, piece)
        os.fsync(descriptor)

    def read(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        while os.readv(descriptor, [piece]):
            pass

    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        for what, action in (("write and fsync", write), ("read from the page cache", read)):
            rate = size / seconds(partial(action, file.fileno())) / 1e9
            yield f"{f'{what}, file in {directory}':40} {rate:8.2f} GB/s"


def _loopback(size: int) -> None:
    """`size` zero bytes through one connection to this process."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def receive() -> None:
            connection, _ = server.accept()
            buffer = bytearray(PIECE)
            with connection:
                while connection.recv_into(buffer):
                    pass

        thread = threading.Thread(target=receive)
        thread.start()
        piece = bytes(PIECE)
        with socket.create_connection(server.getsockname()) as connection:
            for _ in range(size // PIECE):
                connection.sendall(piece)
        thread.join()
