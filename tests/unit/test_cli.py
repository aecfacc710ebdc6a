"""The command line: arguments, exit codes, what is printed where. Whole syncs are tested end to end elsewhere."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

import parasync
from parasync.cli import main, main_sync
from parasync.cli.main import _run
from parasync.cli.meter import Meter, Reading, figures, human_bytes, human_seconds
from parasync.cli.output import summary_lines
from parasync.cli.progress import Bar
from parasync.cli.serve import format_address, parse_address
from parasync.cli.sync import error_of
from parasync.errors import BY_CODE, ParaSyncError, UsageError
from parasync.model import Monitor, Report, Totals

SUMMARY_KEYS = ["event", "status", *asdict(Totals()), "seconds"]
COMMAND = [sys.executable, "-m", "parasync"]

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command in this process: (exit code, stdout, stderr)."""

    def run(*args: str | Path, entry: Callable[..., int] = main) -> tuple[int, str, str]:
        code = entry([os.fspath(one) for one in args])
        return code, *capsys.readouterr()

    return run


def run(*args: str | bytes | Path, **more: object) -> subprocess.CompletedProcess[bytes]:
    """Runs the command in a process of its own."""
    return subprocess.run([*COMMAND, *args], capture_output=True, check=False, timeout=60, **more)


def one_error(text: str) -> str:
    """The only line on stderr, without its prefix."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("parasync: ")
    return lines[0].removeprefix("parasync: ")


def events(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


# -- the package ------------------------------------------------------------------------------


def test_version_is_the_projects(call: Call) -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    version = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    assert parasync.__version__ == version
    assert call("--version") == (0, f"parasync {version}\n", "")
    assert call("--version", entry=main_sync) == (0, f"parasync {version}\n", "")


def test_public_names_are_there_and_others_are_not() -> None:
    assert all(getattr(parasync, name) is not None for name in parasync.__all__)
    assert set(parasync.__all__) <= set(dir(parasync))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = parasync.nonsense


def test_importing_the_command_line_imports_nothing_slow() -> None:
    code = "import sys, parasync.cli; print(*sys.modules)"
    modules = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    slow = {"rich", "msgspec", "numpy", "asyncio", "ssl", "sqlite3", "concurrent.futures", "importlib.metadata"}
    assert not modules & slow
    assert not modules & {"parasync.api", "parasync.server", "parasync.session", "parasync._native"}


# -- help and usage ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sync", "serve", "chunk", "doctor"])
def test_help_is_short_and_has_examples(call: Call, name: str) -> None:
    code, out, err = call(name, "--help")
    assert (code, err) == (0, "")
    assert f"parasync {name}" in out
    assert "Examples:" in out
    assert len(out.splitlines()) < 50


def test_help_of_all_lists_the_commands(call: Call) -> None:
    code, out, _ = call("--help")
    assert code == 0
    assert all(f"\n  {name} " in out for name in ("sync", "serve", "chunk", "doctor"))


@pytest.mark.parametrize("entry", [main, main_sync])
def test_without_arguments_help_goes_to_stderr(call: Call, entry: Callable[..., int]) -> None:
    code, out, err = call(entry=entry)
    assert (code, out) == (1, "")
    assert err.startswith("Usage:")


@pytest.mark.parametrize(
    "args",
    [
        ["bogus"],
        ["sync"],
        ["sync", "only-one"],
        ["sync", "--no-such-option", "a", "b"],
        ["sync", "--threads", "many", "a", "b"],
        ["sync", "--threads", "-1", "a", "b"],
        ["sync", "--timeout", "0", "a", "b"],
        ["sync", "--timeout", "nan", "a", "b"],
        ["sync", "user@host:path", "b"],
        ["sync", "a", "host:path"],
        ["sync", "parasync://host", "b"],
        ["sync", "parasync://host:99999/module", "b"],
        ["serve", "--module", "m=/"],
        ["serve", "--listen", "127.0.0.1:0"],
        ["serve", "--listen", "127.0.0.1:0", "--module", "m"],
        ["serve", "--listen", "127.0.0.1", "--module", "m=/"],
        ["serve", "--listen", "127.0.0.1:x", "--module", "m=/"],
        ["serve", "--listen", "::1:80", "--module", "m=/"],
        ["serve", "--listen", "0.0.0.0:0", "--module", "m=/"],
        ["chunk"],
        ["chunk", "--segment-size", "0", __file__],
        ["chunk", "--key", "xyz", __file__],
        ["chunk", "--key", "00ff", __file__],
        ["chunk", "--kernel", "no-such-kernel", __file__],
    ],
)
def test_usage_errors_are_one_line_and_exit_1(call: Call, args: list[str]) -> None:
    code, out, err = call(*args)
    assert (code, out) == (1, "")
    assert len(one_error(err)) > 20


@pytest.mark.parametrize(
    "args", [["only-one"], ["--no-such-option", "a", "b"], ["--threads", "999", "a", "b"], ["h:x", "b"]]
)
@pytest.mark.parametrize("entry", [main, main_sync])
def test_usage_errors_with_json_end_in_a_summary(call: Call, args: list[str], entry: Callable[..., int]) -> None:
    code, out, err = call(*(["sync"] if entry is main else []), "--json", *args, entry=entry)
    assert code == 1
    summary = events(out)[-1]
    assert list(summary) == SUMMARY_KEYS
    assert (summary["event"], summary["status"], summary["files_total"]) == ("summary", "usage", 0)
    one_error(err)


def test_json_of_other_commands_has_no_summary(call: Call) -> None:
    code, out, err = call("chunk", "--json")
    assert (code, out) == (1, "")
    one_error(err)


def test_control_characters_of_an_argument_do_not_reach_the_terminal(call: Call) -> None:
    code, _, err = call("sync", "--threads", "1\n\x1b[31m", "a", "b")
    assert code == 1
    assert one_error(err).isprintable()


# -- how runs end -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", sorted(BY_CODE))
def test_a_reports_status_decides_the_exit_code(status: str) -> None:
    assert error_of(Report(status)).exit_code == BY_CODE[status].exit_code


def failing_command(error: BaseException) -> click.Command:
    @click.command("fail")
    @click.argument("words", nargs=-1)
    def fail(words: tuple[str, ...]) -> int:
        raise error

    return fail


@pytest.mark.parametrize("kind", sorted(BY_CODE.values(), key=lambda kind: kind.code))
def test_every_error_of_the_tree_is_one_line_and_its_exit_code(
    capsys: pytest.CaptureFixture[str], kind: type[ParaSyncError]
) -> None:
    code = _run(failing_command(kind("first line\nsecond line")), "fail", ["x"])
    assert code == kind.exit_code
    one_error(capsys.readouterr().err)


def test_an_unforeseen_error_is_one_line_unless_details_are_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PARASYNC_TRACEBACK", raising=False)
    assert _run(failing_command(ValueError("odd\nthing")), "fail", ["x"]) == 12
    line = one_error(capsys.readouterr().err)
    assert "ValueError" in line
    assert "PARASYNC_TRACEBACK=1" in line
    monkeypatch.setenv("PARASYNC_TRACEBACK", "1")
    assert _run(failing_command(ValueError("odd\nthing")), "fail", ["x"]) == 12
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_exits_20_and_signals_are_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert _run(failing_command(KeyboardInterrupt()), "fail", ["x"]) == 20
    assert "interrupted" in one_error(capsys.readouterr().err)
    assert before == [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


@pytest.mark.parametrize("args", [["sync", "--json", "one"], ["doctor"]])
def test_output_that_cannot_be_written_exits_13(args: list[str], tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, *args], stdout=full, stderr=subprocess.PIPE, check=False, timeout=60, cwd=tmp_path
        )
    assert done.returncode == 13
    assert "standard output" in one_error(done.stderr.decode())


def test_closed_standard_streams_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    script = '"$@" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", script, "sh", *COMMAND, "sync", "a", "b"], check=False, timeout=60, cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "b").read_bytes() == b"content"


# -- sync -------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with two files, one in a subdirectory, and nothing else in its parent."""
    (tmp_path / "tree" / "below").mkdir(parents=True)
    (tmp_path / "tree" / "one").write_bytes(b"1" * 1000)
    (tmp_path / "tree" / "below" / "two").write_bytes(os.urandom(50_000))
    return tmp_path / "tree"


def test_json_of_a_sync_starts_with_start_and_ends_with_the_summary(call: Call, tree: Path) -> None:
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
    done = run("sync", "--json", "-v", name, b"copy", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.isascii()
    first, *middle, _ = events(done.stdout.decode())
    assert os.fsencode(first["sources"][0]) == name
    assert [os.fsencode(one["path"]).rpartition(b"/")[2] for one in middle if one["event"] == "file"] in (
        [name],
        [b"copy"],
    )


def test_json_quiet_is_the_summary_alone(call: Call, tree: Path) -> None:
    code, out, err = call("sync", "--json", "--quiet", tree, tree.parent / "copy")
    assert (code, err) == (0, "")
    assert [one["event"] for one in events(out)] == ["summary"]


def test_quiet_says_nothing(call: Call, tree: Path) -> None:
    assert call("sync", "-q", tree, tree.parent / "copy") == (0, "", "")


def test_summary_for_people_is_short_and_plain_when_piped(tree: Path) -> None:
    done = run("sync", tree, tree.parent / "copy")
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("2 files: 2 sent, 0 unchanged in ")
    assert all(line.isprintable() for line in lines)


def test_verbose_lists_files_and_escapes_their_names(call: Call, tree: Path) -> None:
    (tree / "odd\nname").write_bytes(b"x")
    code, out, _ = call("sync", "-v", f"{tree}/", tree.parent / "copy")
    assert code == 0
    assert {"one", "below/two", "odd\\x0aname"} <= set(out.splitlines())


def test_rsyncs_habits_are_accepted(call: Call, tree: Path) -> None:
    assert call("sync", "-aq", "-rlpt", "--archive", "--times", f"{tree}/", tree.parent / "copy") == (0, "", "")
    assert (tree.parent / "copy" / "one").read_bytes() == b"1" * 1000


def test_a_dry_run_says_so_and_changes_nothing(call: Call, tree: Path) -> None:
    code, out, _ = call("sync", "-n", f"{tree}/", tree.parent / "copy")
    assert code == 0
    assert "dry run" in out
    assert not (tree.parent / "copy").exists()


def test_a_missing_source_is_a_partial_transfer(call: Call, tree: Path) -> None:
    code, out, err = call("sync", "--json", tree.parent / "nothing here", tree.parent / "copy")
    assert code == 23
    assert events(out)[-1]["status"] == "partial"
    assert "nothing here" in one_error(err)


def test_failures_of_single_files_are_named_and_counted(call: Call, tree: Path) -> None:
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
        client.send_signal(stop)
        out, err = client.communicate(timeout=60)
        connection.close()
    assert client.returncode == 20
    assert events(out)[-1]["status"] == "interrupted"
    assert stop.name in one_error(err)


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
    rest = os.read(leader, 65536)
    os.close(leader)
    assert b"\x1b[?25h" in rest, "the cursor must be back"


# -- serve ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_serve_says_where_it_listens_and_a_signal_ends_it(tmp_path: Path, stop: signal.Signals) -> None:
    args = ["serve", "--listen", "127.0.0.1:0", "--module", f"m={tmp_path}"]
    with subprocess.Popen([*COMMAND, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        host, port = parse_address(line.removeprefix("listening on ").strip())
        assert host == "127.0.0.1"
        assert port > 0
        server.send_signal(stop)
        _, err = server.communicate(timeout=60)
    assert server.returncode == 20
    assert stop.name in one_error(err)


def test_serve_of_a_missing_directory(call: Call, tmp_path: Path) -> None:
    code, out, err = call("serve", "--listen", "127.0.0.1:0", "--module", f"m={tmp_path}/missing")
    assert (code, out) == (3, "")
    assert "missing" in one_error(err)


@given(st.sampled_from(["127.0.0.1", "::1", "localhost", "fe80::1%eth0"]), st.integers(0, 65535))
def test_addresses_come_back(host: str, port: int) -> None:
    assert parse_address(format_address(host, port)) == (host, port)


@given(st.text())
def test_any_other_address_is_a_usage_error(text: str) -> None:
    try:
        host, port = parse_address(text)
    except UsageError:
        return
    assert host
    assert 0 <= port <= 65535


# -- chunk and doctor -------------------------------------------------------------------------


def chunk(call: Call, *args: str | Path) -> dict[str, object]:
    code, out, err = call("chunk", "--json", *args)
    assert (code, err) == (0, "")
    (facts,) = events(out)
    return facts


def test_chunk_tells_sizes_that_add_up(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(1_000_000))
    facts = chunk(call, file)
    assert list(facts) == ["chunks", "mean", "min", "max", "forced", "seconds", "gb_per_s", "kernel", "digest"]
    assert facts["chunks"] * facts["mean"] == pytest.approx(1_000_000, rel=1e-3)
    assert 0 < facts["min"] <= facts["mean"] <= facts["max"] <= 12 * 1024


def test_chunks_do_not_depend_on_how_they_are_found(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(3_000_000))
    digest = chunk(call, file)["digest"]
    assert chunk(call, file, "--threads", "1")["digest"] == digest
    assert chunk(call, file, "--threads", "3", "--segment-size", "100001")["digest"] == digest
    assert chunk(call, file, "--key", "00ff" * 8)["digest"] != digest


def test_chunk_of_an_empty_file_and_for_people(call: Call, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    facts = chunk(call, tmp_path / "empty")
    assert (facts["chunks"], facts["mean"], facts["gb_per_s"]) == (0, 0, 0)
    code, out, _ = call("chunk", tmp_path / "empty")
    assert code == 0
    assert str(facts["digest"]) in out


def test_chunk_refuses_what_is_not_a_file(call: Call, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "fifo"):
        code, out, err = call("chunk", path)
        assert (code, out) == (3, "")
        assert str(path) in one_error(err)


def test_doctor_tells_of_cpu_and_file_system_and_leaves_nothing(call: Call, tmp_path: Path) -> None:
    code, out, err = call("doctor", "--json", tmp_path)
    assert (code, err) == (0, "")
    (facts,) = events(out)
    assert facts["kernel"] in facts["kernels"]
    assert facts["kernels"][0] == "portable"
    assert list(facts["file_system"]) == [
        "path",
        "reflink",
        "copy_file_range",
        "sparse",
        "o_tmpfile",
        "fsync",
        "non_utf8_names",
        "mtime_granularity",
    ]
    assert facts["file_system"]["fsync"] is True
    assert list(tmp_path.iterdir()) == []


def test_doctor_for_people_and_where_nothing_can_be_tried(call: Call, tmp_path: Path) -> None:
    code, out, err = call("doctor", tmp_path / "missing")
    assert code == 11
    assert "kernels: portable" in out
    assert "missing" in one_error(err)


# -- figures ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (2_500_000_000, "2.5 GB"),
    ],
)
def test_human_bytes(amount: int, text: str) -> None:
    assert human_bytes(amount) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (9.4, "0:09"), (754, "12:34"), (3723, "1:02:03")])
def test_human_seconds(seconds: float, text: str) -> None:
    assert human_seconds(seconds) == text


def test_summary_counts_and_speedup() -> None:
    totals = Totals(5, 2, 2, 1, 4_000_000, 3_000_000, 1_000_000, 900_000, 100_000)
    first, second, last = summary_lines(Report("partial", totals, seconds=1.5), 10_000_000, dry_run=True)
    assert first == "5 files: 2 sent, 2 unchanged, 1 failed in 1.50 s"
    assert second == "10.0 MB in all; of what changed 3.0 MB reused, 1.0 MB sent; 1.0 MB on the wire, speedup 10.0"
    assert "dry run" in last


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 2000), st.floats(0.01, 5)), max_size=30), st.integers(0, 30)
)
def test_shown_progress_never_runs_backwards(steps: list[tuple[int, int, float]], scanned: int) -> None:
    monitor = Monitor()
    meter = Meter(monitor, 0.0)
    now = 0.0
    before = Reading(0, 0, 0, 0, 0.0, None, None)
    for number, (done, expected, seconds) in enumerate(steps):
        now += seconds
        monitor.bytes_done, monitor.bytes_expected = done, expected
        monitor.totals.bytes_copied = monitor.totals.bytes_literal = done // 2
        monitor.scanned = number >= scanned
        reading = meter.read(now)
        assert (reading.done, reading.reused, reading.sent) >= (before.done, before.reused, before.sent)
        assert reading.done <= reading.expected
        assert reading.rate >= 0
        assert (reading.fraction is None) is (not monitor.scanned)
        if reading.fraction is not None:
            assert (before.fraction or 0.0) <= reading.fraction <= 1.0
        before = reading


def test_remaining_time_counts_down_at_a_steady_rate() -> None:
    monitor = Monitor()
    monitor.bytes_expected, monitor.scanned = 1000, True
    meter = Meter(monitor, 0.0)
    shown = []
    for second in range(1, 11):
        monitor.bytes_done = 100 * second
        shown.append(meter.read(float(second)).remaining)
    assert shown == pytest.approx([9, 8, 7, 6, 5, 4, 3, 2, 1, 0])


def test_remaining_time_does_not_rise_by_a_pause_but_does_when_the_rate_is_lower() -> None:
    monitor = Monitor()
    monitor.bytes_expected, monitor.scanned = 100_000, True
    meter = Meter(monitor, 0.0)
    monitor.bytes_done = 1000
    first = meter.read(1.0).remaining
    pause = meter.read(1.1).remaining
    for tick in range(2, 60):
        monitor.bytes_done += 10
        slow = meter.read(float(tick)).remaining
    assert first is not None
    assert pause is not None
    assert slow is not None
    assert pause < first < slow


def test_the_bar_shows_its_figures_and_lines_above_it() -> None:
    leader, follower = os.openpty()
    reading = Reading(500_000, 1_000_000, 300_000, 200_000, 2e6, 0.5, 9.0)
    with open(follower, "w", encoding="utf-8") as terminal:
        bar = Bar(terminal)
        bar.show(reading)
        bar.print("a line [bold]as it is[/bold]")
        bar.stop()
        shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert "50%" in shown
    assert figures(reading) == "500.0 kB of 1.0 MB  2.0 MB/s  ETA 0:09  reused 300.0 kB  sent 200.0 kB"
    assert "ETA 0:09" in shown
    assert "a line [bold]as it is[/bold]" in shown
