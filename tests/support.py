"""What several test modules need: trees on disk, their comparison, and a server to talk to."""

from __future__ import annotations

import hashlib
import os
import random
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from parasync.config import CHUNKING_DEFAULT
from parasync.kernels import fingerprint_key
from parasync.model import Entry, Monitor, Need
from parasync.options import Options
from parasync.server import Module, Server
from parasync.session.ahead import new_key
from parasync.session.context import Context
from parasync.session.handshake import new_hello
from parasync.session.small_incoming import Plan, SmallFiles
from parasync.transport.stream import Stream
from parasync.tree.safepath import Root
from parasync.wire import codec
from parasync.wire.messages import FrameType, Header, SmallFile


def write_small(root: Root, path: bytes, data: bytes, entry: Entry, fsync: bool) -> None:
    """Store one small file as a session does; raises the OSError that it failed with."""
    plan = Plan(0, entry._replace(path=path, size=len(data)), path, Need.WHOLE)
    key = fingerprint_key(bytes(16))
    item = SmallFile(0, False, key.fingerprint(data), data)
    for _, error in SmallFiles(key, CHUNKING_DEFAULT).store(root, [(plan, item)], fsync).failed:
        raise error


Snapshot = dict[bytes, tuple[str, int, int, bytes]]


def snapshot(root: Path | bytes) -> Snapshot:
    """Everything below `root`: path -> (kind, mode, mtime in ns, digest of the content or link target)."""
    top = os.fsencode(root)
    found: Snapshot = {}
    for folder, directories, files in os.walk(top):
        for name in directories + files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            relative = os.path.relpath(path, top)
            mode = stat.S_IMODE(status.st_mode)
            if stat.S_ISLNK(status.st_mode):
                found[relative] = ("link", 0, status.st_mtime_ns, os.readlink(path))
            elif stat.S_ISDIR(status.st_mode):
                found[relative] = ("directory", mode, status.st_mtime_ns, b"")
            else:
                with open(path, "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").digest()
                found[relative] = ("file", mode, status.st_mtime_ns, digest)
    return found


def make_tree(root: Path, seed: int = 1) -> None:
    """A tree with what trees have: empty files and directories, links, modes, odd names, small and large files."""
    rng = random.Random(seed)
    top = os.fsencode(root)
    for folder in (b"", b"a", b"a/b", b"empty", b"many", b"caf\xe9"):
        os.makedirs(os.path.join(top, folder), exist_ok=True)
    files = {b"empty-file": 0, b"a/one": 1, b"a/b/page": 4096, b"a/b/chunk": 8192, b"a/b/chunk+1": 8193}
    files |= {b"many/%03d" % number: rng.randrange(3000) for number in range(150)}
    files |= {
        b"caf\xe9/na\xefve\xff": 500,
        b"a/line\nbreak": 20,
        b"a/-dash": 30,
        b"large": 3_000_000,
        b"a/medium": 300_000,
    }
    for name, size in files.items():
        Path(os.fsdecode(os.path.join(top, name))).write_bytes(rng.randbytes(size))
    os.symlink(b"one", os.path.join(top, b"a/link"))
    os.symlink(b"nowhere/\xff", os.path.join(top, b"dangling"))
    os.chmod(os.path.join(top, b"a/one"), 0o751)
    os.chmod(os.path.join(top, b"large"), 0o400)
    for folder, directories, names in os.walk(top, topdown=False):
        for name in names + directories:
            moment = rng.randrange(10**18, 16 * 10**17)
            os.utime(os.path.join(folder, name), ns=(moment, moment), follow_symlinks=False)
    os.chmod(os.path.join(top, b"a/b"), 0o500)


def leftovers(root: Path) -> list[str]:
    """Unfinished files that a sync left below `root`."""
    return [str(path) for path in root.rglob(".parasync.*")]


@contextmanager
def serving(*modules: Module, log: list[str] | None = None) -> Iterator[str]:
    """A server on loopback; yields "parasync://HOST:PORT"."""
    lines: list[str] = [] if log is None else log
    server = Server(("127.0.0.1", 0), modules, log=lines.append)
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        yield "parasync://{}:{}".format(*server.address)
    finally:
        server.stop()
        thread.join()


class ScriptedPeer:
    """The other end of a session, driven frame by frame by a test; it may also say what the protocol forbids."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def greet(self) -> None:
        """Exchange preambles."""
        self.stream.send(codec.encode_preamble())
        self.read(codec.PREAMBLE_BYTES)

    def say(self, kind: FrameType, payload: bytes = b"", file: int = 0, count: int = 0, flags: int = 0) -> None:
        header = struct.pack("<BBHIII", kind, flags, 0, file, count, len(payload))
        self.stream.send(header + payload)

    def hear(self, *kinds: FrameType) -> tuple[Header, bytes]:
        """The next frame; with `kinds`, the next of one of these, others are dropped."""
        while True:
            header = codec.decode_header(self.read(codec.HEADER_BYTES))
            payload = self.read(header.length)
            if not kinds or header.type in kinds:
                return header, payload

    def read(self, size: int) -> bytes:
        data = bytearray(size)
        if size:
            self.stream.receive_into(memoryview(data))
        return bytes(data)


def hello(*, push: bool, **fields: object) -> bytes:
    """A greeting's payload."""
    context = Context(Options(), Monitor())
    message = new_hello(
        push=push, module="m", path=b"", paths=[b""], single_file=False, many=False, key=new_key(), context=context
    )
    return codec.encode_hello(msgspec.structs.replace(message, **fields))
