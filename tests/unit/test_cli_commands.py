"""`parasync serve`, `parasync chunk` and `parasync doctor`."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_support import COMMAND, call, events, one_error
from parasync.cli.serve import format_address, parse_address
from parasync.errors import UsageError


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


def test_serve_of_a_missing_directory(tmp_path: Path) -> None:
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


def chunk(*args: str | Path) -> dict[str, Any]:
    code, out, err = call("chunk", "--json", *args)
    assert (code, err) == (0, "")
    (facts,) = events(out)
    return facts


def test_chunk_tells_sizes_that_add_up(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(1_000_000))
    facts = chunk(file)
    assert list(facts) == ["chunks", "mean", "min", "max", "forced", "seconds", "gb_per_s", "kernel", "digest"]
    assert facts["chunks"] * facts["mean"] == pytest.approx(1_000_000, rel=1e-3)
    assert 0 < facts["min"] <= facts["mean"] <= facts["max"] <= 12 * 1024


def test_chunks_do_not_depend_on_how_they_are_found(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(3_000_000))
    digest = chunk(file)["digest"]
    assert chunk(file, "--threads", "1")["digest"] == digest
    assert chunk(file, "--threads", "3", "--segment-size", "100001")["digest"] == digest
    assert chunk(file, "--key", "00ff" * 8)["digest"] != digest


def test_chunk_with_a_kernel_of_choice(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(300_000))
    args = [*COMMAND, "chunk", "--json", tmp_path / "file"]
    ours, portable = (
        events(subprocess.run([*args, *more], capture_output=True, text=True, check=True).stdout)[0]
        for more in ([], ["--kernel", "portable"])
    )
    assert portable["kernel"] == "portable"
    assert portable["digest"] == ours["digest"]


def test_chunk_of_an_empty_file_and_for_people(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    facts = chunk(tmp_path / "empty")
    assert (facts["chunks"], facts["mean"], facts["gb_per_s"]) == (0, 0, 0)
    code, out, _ = call("chunk", tmp_path / "empty")
    assert code == 0
    assert str(facts["digest"]) in out


def test_chunk_refuses_what_is_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "fifo"):
        code, out, err = call("chunk", path)
        assert (code, out) == (3, "")
        assert str(path) in one_error(err)


def test_doctor_tells_of_cpu_and_file_system_and_leaves_nothing(tmp_path: Path) -> None:
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


def test_doctor_for_people_and_where_nothing_can_be_tried(tmp_path: Path) -> None:
    code, out, err = call("doctor", tmp_path / "missing")
    assert code == 11
    assert "kernels: portable" in out
    assert "missing" in one_error(err)


def test_chunk_by_the_rule_of_the_paper(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(2_000_000))
    facts = [events(call("chunk", path, "--json", *rule)[1])[0] for rule in ((), ("--chunking", "paper"))]
    assert facts[0]["digest"] != facts[1]["digest"]
    assert facts[1]["max"] == 12_288
    assert facts[1]["forced"] > 5 * facts[0]["forced"]
