"""The command line as a whole: help, usage errors, how runs end."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import parasync
from cli_support import COMMAND, SUMMARY_KEYS, call, events, one_error
from parasync.cli.main import _run, main, main_sync
from parasync.cli.sync import error_of
from parasync.errors import BY_CODE, ParaSyncError
from parasync.model import Report


def test_version_is_the_projects() -> None:
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
    code = "import sys, parasync.cli.main; print(*sys.modules)"
    modules = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    slow = {"rich", "msgspec", "numpy", "asyncio", "ssl", "sqlite3", "concurrent.futures", "importlib.metadata"}
    assert not modules & slow
    assert not modules & {"parasync.api", "parasync.server", "parasync.session", "parasync._native"}


@pytest.mark.parametrize("name", ["sync", "serve", "chunk", "doctor"])
def test_help_is_short_and_has_examples(name: str) -> None:
    code, out, err = call(name, "--help")
    assert (code, err) == (0, "")
    assert f"parasync {name}" in out
    assert "Examples:" in out
    assert len(out.splitlines()) < 64


def test_help_of_all_lists_the_commands() -> None:
    code, out, _ = call("--help")
    assert code == 0
    assert all(f"\n  {name} " in out for name in ("sync", "serve", "chunk", "doctor"))


@pytest.mark.parametrize("entry", [main, main_sync])
def test_without_arguments_help_goes_to_stderr(entry: Callable[..., int]) -> None:
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
        ["sync", "user@host::module", "b"],
        ["sync", "a", "host:~/path"],
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
def test_usage_errors_are_one_line_and_exit_1(args: list[str]) -> None:
    code, out, err = call(*args)
    assert (code, out) == (1, "")
    assert len(one_error(err)) > 20


@pytest.mark.parametrize(
    "args", [["only-one"], ["--no-such-option", "a", "b"], ["--threads", "999", "a", "b"], ["h::x", "b"]]
)
@pytest.mark.parametrize("entry", [main, main_sync])
def test_usage_errors_with_json_end_in_a_summary(args: list[str], entry: Callable[..., int]) -> None:
    code, out, err = call(*(["sync"] if entry is main else []), "--json", *args, entry=entry)
    assert code == 1
    summary = events(out)[-1]
    assert list(summary) == SUMMARY_KEYS
    assert (summary["event"], summary["status"], summary["files_total"]) == ("summary", "usage", 0)
    one_error(err)


def test_json_of_other_commands_has_no_summary() -> None:
    code, out, err = call("chunk", "--json")
    assert (code, out) == (1, "")
    one_error(err)


def test_control_characters_of_an_argument_do_not_reach_the_terminal() -> None:
    code, _, err = call("sync", "--threads", "1\n\x1b[31m", "a", "b")
    assert code == 1
    assert one_error(err).isprintable()


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


@pytest.mark.parametrize("args", [["sync", "--json", "one"], ["doctor"], ["--version"], ["sync", "--help"]])
def test_output_that_cannot_be_written_exits_13(args: list[str], tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, *args], stdout=full, stderr=subprocess.PIPE, check=False, timeout=60, cwd=tmp_path
        )
    assert done.returncode == 13
    assert "standard output" in one_error(done.stderr.decode())


def test_a_trace_that_cannot_be_written_exits_11(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    code, _, err = call("sync", "--trace", "/dev/full", tmp_path / "a", tmp_path / "b")
    assert code == 11
    assert "cannot write trace '/dev/full': No space left on device" in one_error(err)


def test_closed_standard_streams_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    script = '"$@" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", script, "sh", *COMMAND, "sync", "a", "b"], check=False, timeout=60, cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "b").read_bytes() == b"content"
