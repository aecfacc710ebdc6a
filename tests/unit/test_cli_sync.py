"""`parasync sync`: what is printed where. Whole syncs are tested end to end elsewhere."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_support import COMMAND, SUMMARY_KEYS, call, events, one_error, read_terminal
from parasync.cli.sync import status_of


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with two files, one in a subdirectory, and nothing else in its parent."""
    (tmp_path / "tree" / "below").mkdir(parents=True)
    (tmp_path / "tree" / "one").write_bytes(b"1" * 1000)
    (tmp_path / "tree" / "below" / "two").write_bytes(os.urandom(50_000))
    return tmp_path / "tree"


def test_json_of_a_sync_starts_with_start_and_ends_with_the_summary(tree: Path) -> None:
    code, out, err = call("sync", "--json", "-v", f"{tree}/", tree.parent / "copy")
    assert (code, err) == (0, "")
    first, *middle, last = events(out)
    assert first == {"event": "start", "sources": [f"{tree}/"], "destination": str(tree.parent / "copy")}
    assert {one["path"] for one in middle if one["event"] == "file"} == {"one", "below/two"}
    assert list(last) == SUMMARY_KEYS
    assert (last["status"], last["files_total"], last["files_sent"], last["files_failed"]) == ("ok", 2, 2, 0)
    assert last["bytes_target"] == 51_000


def test_json_keeps_paths_that_are_not_utf8(tmp_path: Path) -> None:
    name = b"caf\xe9 \xff"
    with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
        file.write(b"x")
    args = [*COMMAND, "sync", "--json", "-v", name, b"copy"]
    done = subprocess.run(args, capture_output=True, check=False, timeout=60, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.isascii()
    first, *middle, _ = events(done.stdout.decode())
    assert os.fsencode(first["sources"][0]) == name
    assert [os.fsencode(one["path"]).rpartition(b"/")[2] for one in middle if one["event"] == "file"] in (
        [name],
        [b"copy"],
    )


def test_json_quiet_is_the_summary_alone(tree: Path) -> None:
    code, out, err = call("sync", "--json", "--quiet", tree, tree.parent / "copy")
    assert (code, err) == (0, "")
    assert [one["event"] for one in events(out)] == ["summary"]


def test_quiet_says_nothing(tree: Path) -> None:
    assert call("sync", "-q", tree, tree.parent / "copy") == (0, "", "")


def test_summary_for_people_is_short_and_plain_when_piped(tree: Path) -> None:
    done = subprocess.run([*COMMAND, "sync", tree, tree.parent / "copy"], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("2 files: 2 sent, 0 unchanged in ")
    assert all(line.isprintable() for line in lines)


def test_verbose_lists_files_and_escapes_their_names(tree: Path) -> None:
    (tree / "odd\nname").write_bytes(b"x")
    code, out, _ = call("sync", "-v", f"{tree}/", tree.parent / "copy")
    assert code == 0
    assert {"one", "below/two", "odd\\x0aname"} <= set(out.splitlines())


def test_rsyncs_habits_are_accepted(tree: Path) -> None:
    assert call("sync", "-aq", "-rlpt", "--archive", "--times", f"{tree}/", tree.parent / "copy") == (0, "", "")
    assert (tree.parent / "copy" / "one").read_bytes() == b"1" * 1000


def test_the_paper_s_way_is_chosen_by_two_options(tree: Path) -> None:
    data = os.urandom(400_000)
    (tree / "one").write_bytes(data)
    copy = tree.parent / "copy"
    copy.mkdir()
    (copy / "one").write_bytes(data[:200_000] + b"x" + data[200_000:])
    mode = ("--chunking", "paper", "--matching", "weak-strong")
    code, out, err = call("sync", "--json", "-I", *mode, f"{tree}/", copy)
    assert (code, err) == (0, "")
    assert (copy / "one").read_bytes() == data
    assert events(out)[-1]["bytes_copied"] > 300_000


@pytest.mark.parametrize("option", ["--chunking", "--matching"])
def test_unknown_ways_are_refused(tree: Path, option: str) -> None:
    code, out, err = call("sync", option, "other", f"{tree}/", tree.parent / "copy")
    assert (code, out) == (1, "")
    assert option in err


def test_a_dry_run_says_so_and_changes_nothing(tree: Path) -> None:
    code, out, _ = call("sync", "-n", f"{tree}/", tree.parent / "copy")
    assert code == 0
    assert "dry run" in out
    assert not (tree.parent / "copy").exists()


def test_a_missing_source_is_a_partial_transfer(tree: Path) -> None:
    code, out, err = call("sync", "--json", tree.parent / "nothing here", tree.parent / "copy")
    assert code == 23
    assert events(out)[-1]["status"] == "partial"
    assert "nothing here" in one_error(err)


def test_failures_of_single_files_are_named_and_counted(tree: Path) -> None:
    code, out, err = call("sync", "--json", tree, tree.parent / "nothing here", tree.parent / "copy")
    assert code == 23
    failed = [one for one in events(out) if one["event"] == "failed"]
    assert len(failed) == 1
    assert "nothing here" in str(failed[0]["message"])
    assert events(out)[-1]["files_failed"] == 1
    named, closing = err.splitlines()
    assert "nothing here" in named
    assert closing.startswith("parasync: 1 of ")
    assert (tree.parent / "copy" / "tree" / "one").exists()


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """Listens, and says nothing to whoever connects: a sync with it lasts until something ends it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_sync_with_exit_20_and_a_summary(
    tmp_path: Path, silent_server: socket.socket, stop: signal.Signals
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    url = f"parasync://127.0.0.1:{silent_server.getsockname()[1]}/m"
    args = [*COMMAND, "sync", "--json", "file", url]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as client:
        connection, _ = silent_server.accept()
        connection.recv(1, socket.MSG_PEEK)  # it is connected before it has even read its options
        client.send_signal(stop)
        out, err = client.communicate(timeout=60)
        connection.close()
    assert client.returncode == 20, err
    assert events(out)[-1]["status"] == "interrupted"
    assert stop.name in one_error(err)


def test_an_interrupt_is_one_even_when_python_stumbles_over_it() -> None:
    def stumble() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            threading.Lock().release()

    with pytest.raises(RuntimeError) as stumbled:
        stumble()
    assert status_of(stumbled.value) == "interrupted"
    assert status_of(RuntimeError()) == "internal"
    assert status_of(KeyboardInterrupt()) == "interrupted"


def test_a_terminal_gets_a_bar_that_is_gone_at_the_end(tmp_path: Path, silent_server: socket.socket) -> None:
    (tmp_path / "file").write_bytes(b"x")
    url = f"parasync://127.0.0.1:{silent_server.getsockname()[1]}/m"
    leader, follower = os.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(
        [*COMMAND, "sync", "file", url], stdout=follower, stderr=subprocess.PIPE, cwd=tmp_path, env=environment
    ) as client:
        os.close(follower)
        shown = b""
        while b"reused" not in shown:
            shown += os.read(leader, 4096)
        connection, _ = silent_server.accept()
        connection.close()
        _, err = client.communicate(timeout=60)
    assert client.returncode == 10
    one_error(err.decode())
    assert b"\x1b[?25h" in read_terminal(leader), "the cursor must be back"
