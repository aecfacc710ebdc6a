"""The look at the command line: which file Phase I is begun on before the options are known."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_support import COMMAND
from parasync.cli import early
from parasync.config import CHUNKING_DEFAULT, INLINE_BYTES, default_average
from parasync.server import Module
from parasync.session.ahead import BASIS, TARGET
from parasync.transport.ssh import EXIT_SECONDS
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
    monkeypatch.setenv("PARASYNC_RSH", "true")
    return tmp_path


def begun(*words: str) -> list[str]:
    """Which of the files is being chunked."""
    begun = early.begin(words)
    begun.close()
    ahead = begun.ahead
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
    [("file", "inside"), ("{url}", "{url}"), ("--help", "file", "{url}"), ("file", "{url}", "-v")],
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


@pytest.fixture
def shell(here: Path) -> Path:
    """A remote shell that writes down how it was started, and stays until it is ended."""
    script = here / "shell"
    script.write_text(f'#!/bin/sh\necho "$*" >> {here}/started\nexec sleep 600\n')
    script.chmod(0o755)
    return script


def wait_for(file: Path) -> str:
    for _ in range(1000):
        if file.exists() and file.read_text():
            break
        time.sleep(0.01)
    return file.read_text()


@pytest.mark.parametrize(
    "words",
    [
        ("-e", "{shell} -p 1", "file", "me@host:x"),
        ("-Ive{shell} -p 1", "--threads", "2", "me@host:x", "file"),
        ("-n", "--rsh={shell} -p 1", "absent", "file", "me@host:"),
    ],
)
def test_the_remote_shell_is_begun(here: Path, shell: Path, words: tuple[str, ...]) -> None:
    begun = early.begin([word.format(shell=shell) for word in words])
    try:
        assert wait_for(here / "started") == "-p 1 me@host parasync serve --stdio\n"
    finally:
        begun.close()
        if begun.ahead is not None:
            with begun.ahead:
                pass


@pytest.mark.parametrize(
    "words",
    [
        ("-e", "{shell}", "--unknown", "file", "host:"),
        ("-e", "{shell}", "-X", "file", "host:"),
        ("--help", "-e", "{shell}", "file", "host:"),
        ("-e", "{shell}", "host:file", "there:"),
        ("file", "-e", "{shell}"),
        ("-e", "{shell}", "host:file"),
        ("-e", "'{shell}", "file", "host:"),
        ("-e", "{shell}.absent", "file", "host:"),
    ],
)
def test_no_remote_shell_is_begun_on_a_guess(here: Path, shell: Path, words: tuple[str, ...]) -> None:
    begun = early.begin([word.format(shell=shell) for word in words])
    assert begun.connecting is None
    if begun.ahead is not None:
        with begun.ahead:
            pass
    assert not (here / "started").exists()


@pytest.mark.parametrize("words", [("--threads", "-1", "file"), ("--average", "3", "file"), ("absent",)])
def test_a_remote_shell_that_is_not_wanted_is_ended(here: Path, shell: Path, words: tuple[str, ...]) -> None:
    start = time.monotonic()
    done = subprocess.run([*COMMAND, "sync", "-e", str(shell), *words, "host:"], check=False, capture_output=True)
    assert done.returncode in (1, 3, 23)
    assert time.monotonic() - start < EXIT_SECONDS


def test_one_remote_shell_serves_the_sync_that_was_foreseen(here: Path) -> None:
    script = here / "shell"
    script.write_text(f"#!/bin/sh\necho once >> {here}/started\nshift\nexec $*\n")
    script.chmod(0o755)
    remote = ["--remote-path", " ".join(COMMAND)]
    subprocess.run([*COMMAND, "sync", "-qI", "-e", str(script), *remote, "file", "host:inside/file"], check=True)
    assert (here / "started").read_text() == "once\n"
    assert (here / "inside/file").read_bytes() == DATA


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
