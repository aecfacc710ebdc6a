"""The benchmark suite's lab, as far as it needs no root: shapes, command lines of the tools, manifests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import command
from benchmarks.errors import BenchmarkError
from benchmarks.lab import host, manifest, tools
from benchmarks.lab.datasets import parse_sets
from benchmarks.lab.network import Role
from benchmarks.lab.shape import LAN, WAN, Shape, describe, parse_shape
from benchmarks.machine import command_version, package_version


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("lan", LAN),
        ("wan", WAN),
        ("raw", None),
        ("100mbit/20ms", Shape(100_000_000, 20_000.0)),
        ("1.5gbit/500us/0.1", Shape(1_500_000_000, 500.0, 0.1)),
        ("64kbit/1s", Shape(64_000, 1e6)),
    ],
)
def test_shapes(text: str, shape: Shape | None) -> None:
    assert parse_shape(text) == shape
    assert describe(shape)


@pytest.mark.parametrize(
    "text", ["", "LAN", "100mbit", "100/20ms", "1..5gbit/1ms", "1kbit/1ms", "1gbit/11s", "1gbit/1ms/100"]
)
def test_wrong_shapes(text: str) -> None:
    with pytest.raises(BenchmarkError, match="network"):
        parse_shape(text)


def test_both_hosts_have_each_other() -> None:
    assert {role.other.other for role in Role} == set(Role)
    assert Role.SENDER.address != Role.RECEIVER.address
    assert Role.SENDER.command("true")[-2:] == [Role.SENDER.namespace, "true"]


@pytest.mark.parametrize("name", [name for name in tools.TOOLS if "parasync" not in name])
def test_tools_bring_the_target_to_the_receiver(name: str, tmp_path: Path) -> None:
    place = tools.Place(tmp_path / "sender", tmp_path / "receiver")
    for directory, file in ((place.sender, place.target), (place.receiver, place.basis)):
        directory.mkdir()
        file.write_bytes(b"content")
    tool = tools.make_tool(name)
    tool.prepare(place)
    (server,) = tool.servers(place)
    steps = tool.steps(place)
    words = [word for step in [*steps, server] for word in step.argv]
    assert any(server.role.address in word for word in words), "the client reaches the server over the network"
    assert server.role is (Role.SENDER if "pull" in name or name in ("zsync", "casync") else Role.RECEIVER)
    assert steps[-1].role is server.role.other
    assert str(tool.result(place)).startswith(str(place.receiver))


def test_an_unknown_tool() -> None:
    with pytest.raises(BenchmarkError, match="'cp'"):
        tools.make_tool("cp")


@pytest.mark.skipif(not Path(sys.executable).with_name("parasync").exists(), reason="ParaSync is not installed here")
@pytest.mark.parametrize(("name", "server"), [("parasync", Role.RECEIVER), ("parasync-pull", Role.SENDER)])
def test_ours_pushes_and_pulls(name: str, server: Role) -> None:
    place = tools.Place(Path("/lab/sender"), Path("/lab/receiver"))
    tool = tools.make_tool(name)
    assert [one.role for one in tool.servers(place)] == [server]
    (step,) = tool.steps(place)
    url = f"parasync://{server.address}:8740/data"
    expected = [f"{url}/new", "/lab/receiver/file"] if server is Role.SENDER else ["/lab/sender/new", f"{url}/file"]
    assert step.role is server.other
    assert step.argv[-2:] == expected


def test_waiting_for_a_process() -> None:
    def start(script: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", script])

    assert host.wait(start("raise SystemExit(7)"), 60) == 7
    assert host.wait(start("import time; time.sleep(60)"), 0) is None


def test_manifests_describe_files_and_trees(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/file").write_bytes(b"123")
    (tree / "link").symlink_to("sub/file")
    before = manifest.describe(tree)
    assert (before.size, before.files) == (3, 1)
    (tree / "sub/file").rename(tree / "file")
    assert manifest.describe(tree).sha256 != before.sha256
    file = manifest.describe(tree / "file")
    assert file.sha256 == manifest.sha256(tree / "file")
    assert file.files is None
    saved = {"tree": manifest.Dataset(how="by hand", old=before, new=file)}
    manifest.save(tmp_path, saved)
    assert manifest.load(tmp_path) == saved
    assert not saved["tree"].is_tree


def test_a_damaged_manifest_is_an_error(tmp_path: Path) -> None:
    assert manifest.load(tmp_path) == {}
    (tmp_path / manifest.MANIFEST).write_text('{"text": {"how": 1}}')
    with pytest.raises(BenchmarkError, match=manifest.MANIFEST):
        manifest.load(tmp_path)


def test_versions_of_what_is_not_there() -> None:
    assert command_version("rsync") != ""
    assert package_version("a-package-that-nobody-has") is None
    assert package_version("click")


@pytest.mark.parametrize("words", [["lab", "up"], ["lab", "lan"], ["lab", "bytes"], ["lab", "exec", "sender", "true"]])
def test_the_lab_asks_for_root_in_one_line(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = CliRunner().invoke(command, words)
    assert result.exit_code == 1
    assert result.output.strip().startswith("Error: the lab needs root")
    assert len(result.output.splitlines()) == 1


def test_endtoend_says_what_is_wrong_before_it_asks_for_root(tmp_path: Path) -> None:
    runner = CliRunner()
    assert "has no datasets" in runner.invoke(command, ["endtoend", "--data", str(tmp_path)]).output
    version = manifest.Version(size=1, sha256="00")
    manifest.save(tmp_path, {"text": manifest.Dataset(how="by hand", old=version, new=version)})
    for options, reason in ((["--sets", "novel"], "novel"), (["--nets", "fast"], "fast"), (["--tools", "cp"], "cp")):
        result = runner.invoke(command, ["endtoend", "--data", str(tmp_path), *options])
        assert result.exit_code == 1
        assert f"{reason!r}" in result.output or reason in result.output


def test_sets_are_checked() -> None:
    assert parse_sets("db,text") == ["db", "text"]
    with pytest.raises(BenchmarkError, match="novel"):
        parse_sets("db,novel")
