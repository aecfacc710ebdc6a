"""The look at the command line: which file Phase I is begun on before the options are known."""

from __future__ import annotations

import os
import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_support import COMMAND
from parasync.cli import early
from parasync.config import CHUNKING_DEFAULT, INLINE_BYTES, default_average
from parasync.server import Module
from parasync.session.ahead import BASIS, TARGET
from parasync.transport.tcp import Listener, SocketStream
from support import serving

DATA = random.Random(1).randbytes(INLINE_BYTES + 1_000_000)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with `file`, `inside/file`, `small`, `link` to `file`, and `fifo`."""
    (tmp_path / "file").write_bytes(DATA)
    (tmp_path / "small").write_bytes(b"small")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/file").write_bytes(DATA[1:])
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begun(*words: str) -> list[str]:
    """Which of the files is being chunked."""
    ahead, connecting = early.begin(words)
    if connecting is not None:
        connecting.close()
    if ahead is None:
        return []
    found = []
    with ahead:
        for name in ("file", "inside/file"):
            fd = os.open(name, os.O_RDONLY)
            file, average = ahead._file, default_average(len(DATA))
            if file and any(file.is_that(fd, use, average, CHUNKING_DEFAULT) for use in (TARGET, BASIS)):
                found.append(name)
            os.close(fd)
    return found


@pytest.mark.parametrize(
    "words",
    [
        ("file", "host:"),
        ("-v", "--threads", "2", "file", "parasync://host/m"),
        ("file", "elsewhere"),
        ("small", "file", "host:"),
        ("--", "file", "host:"),
    ],
)
def test_the_source(here: Path, words: tuple[str, ...]) -> None:
    assert begun(*words) == ["file"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("host:some/file", "file"), "file"),
        (("host:other", "file"), "file"),
        (("host:some/file", "inside"), "inside/file"),
        (("parasync://host/m/file", "inside/"), "inside/file"),
        (("host:file", "."), "file"),
    ],
)
def test_the_basis(here: Path, words: tuple[str, ...], name: str) -> None:
    assert begun(*words) == [name]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("file",),
        ("file", "-v"),
        ("-e", "ssh -v"),
        ("--trace", "file", "host:", "-v"),
        ("absent", "host:"),
        ("inside", "host:"),
        ("inside/", "host:"),
        ("link", "host:"),
        ("fifo", "host:"),
        ("small", "host:"),
        ("", "host:"),
        ("file\0", "host:"),
        ("host:file", "there:"),
        ("host:", "inside"),
        ("host:..", "inside"),
        ("host:file", "fifo"),
        ("host:file", "absent"),
        ("wrong://host/m", "file"),
    ],
)
def test_nothing_is_begun_where_there_is_no_such_file(here: Path, words: tuple[str, ...]) -> None:
    assert begun(*words) == []


@pytest.fixture
def server() -> Iterator[tuple[socket.socket, str]]:
    """A listening socket, and what to call a module there."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        yield listening, f"parasync://127.0.0.1:{listening.getsockname()[1]}/m"


def test_the_connection_to_the_server_is_begun(here: Path, server: tuple[socket.socket, str]) -> None:
    listening, url = server
    for words in (("file", url), ("-v", "inside/", f"{url}/x"), (url, "absent"), ("a", "b", url)):
        begun = early.begin(words)
        assert begun.connecting is not None
        listening.accept()[0].close()
        begun.connecting.close()
        if begun.ahead is not None:
            with begun.ahead:
                pass


@pytest.mark.parametrize(
    "words",
    [("file", "inside"), ("file", "host:m"), ("{url}", "{url}"), ("--help", "file", "{url}"), ("file", "{url}", "-v")],
)
def test_no_connection_is_begun_where_none_is_needed(
    here: Path, server: tuple[socket.socket, str], words: tuple[str, ...]
) -> None:
    _, url = server
    ahead, connecting = early.begin([word.format(url=url) for word in words])
    assert connecting is None
    if ahead is not None:
        with ahead:
            pass


@pytest.mark.parametrize("words", [("file", "{url}/m/file"), ("{url}/m/file", "file")])
def test_one_connection_serves_the_sync_that_was_foreseen(
    here: Path, words: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted: list[SocketStream] = []
    accept = Listener.accept

    def counting(listener: Listener) -> SocketStream:
        accepted.append(accept(listener))
        return accepted[-1]

    monkeypatch.setattr(Listener, "accept", counting)
    with serving(Module("m", bytes(here / "inside"), read_only=False)) as url:
        command = [*COMMAND, "sync", "-q", "-I", "--streams", "1", *(word.format(url=url) for word in words)]
        subprocess.run(command, check=True)
    assert len(accepted) == 1
    assert (here / "inside/file").read_bytes() == (here / "file").read_bytes()


def test_an_unknown_host_is_left_to_the_sync(here: Path) -> None:
    assert early.begin(("inside", "parasync://host.invalid/m")).connecting is None


def test_no_descriptor_takes_the_number_of_a_closed_stream(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    assert begun("file", "host:") == []


@pytest.mark.parametrize(
    "words",
    [
        ("file", "inside"),
        ("file", "inside/file"),
        ("-W", "file", "inside"),
        ("--average", "2048", "file", "inside"),
        ("--chunking", "paper", "file", "inside"),
        ("--matching", "weak-strong", "file", "inside"),
        ("--threads", "1", "file", "inside"),
        ("small", "file", "inside"),
        ("file", "small", "inside"),
        ("file", "inside", "--fsync"),
    ],
)
def test_whatever_is_begun_the_result_is_right(here: Path, words: tuple[str, ...]) -> None:
    subprocess.run([*COMMAND, "sync", "-q", "-I", *words], check=True)
    assert (here / "inside/file").read_bytes() == DATA
    assert sorted(os.listdir("inside")) in (["file"], ["file", "small"])


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_stay_out_of_it(here: Path, closed: str) -> None:
    command = " ".join(["exec", *COMMAND, "sync", "-q", "-I", "file", "inside", closed])
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0
    assert (here / "inside/file").read_bytes() == DATA
