"""What datasets there are: `DIR/manifest.json` beside `DIR/NAME/old` and `DIR/NAME/new`, basis and target."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from benchmarks.errors import BenchmarkError

MANIFEST = "manifest.json"


class Version(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One of the two: bytes, checksum, and for a tree the number of its files."""

    size: int
    sha256: str
    on_disk: int | None = None
    files: int | None = None


class Dataset(msgspec.Struct, kw_only=True):
    """A pair, and how it was made."""

    how: str
    old: Version
    new: Version

    @property
    def is_tree(self) -> bool:
        return self.new.files is not None


Manifest = dict[str, Dataset]


def load(directory: Path) -> Manifest:
    """The datasets of a directory; none if nothing was built there.

    Raises:
        BenchmarkError: the manifest cannot be read.
    """
    path = directory / MANIFEST
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise BenchmarkError(f"{path}: {error}") from error


def save(directory: Path, manifest: Manifest) -> None:
    (directory / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))


def sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(path: Path) -> Version:
    """A file, or a tree: its checksum covers names, contents and symlinks."""
    if not path.is_dir():
        status = path.stat()
        return Version(size=status.st_size, sha256=sha256(path), on_disk=status.st_blocks * 512)
    digest = hashlib.sha256()
    files = size = 0
    for one in sorted(path.rglob("*")):
        name = os.fsencode(one.relative_to(path))
        if one.is_symlink():
            digest.update(b"l" + name + b"\0" + os.fsencode(one.readlink()))
        elif one.is_file():
            digest.update(b"f" + name + b"\0" + bytes.fromhex(sha256(one)))
            files += 1
            size += one.stat().st_size
    return Version(size=size, sha256=digest.hexdigest(), files=files)
