"""Whole runs over every route: what arrives, what is counted, what is sent."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from parasync.api import sync
from parasync.errors import FileError, PartialTransferError, SelectionError, StartError, UsageError
from parasync.model import Report
from parasync.options import Options
from parasync.server import Module
from support import leftovers, make_tree, serving, snapshot

Route = Callable[..., Report]
"""(source, destination, **options) -> report; both are paths as the user would write them, relative to `here`."""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "near").mkdir()
    (tmp_path / "far").mkdir()
    return tmp_path


@pytest.fixture(params=["local", "push", "pull"])
def route(request: pytest.FixtureRequest, here: Path) -> Iterator[Route]:
    """Sources lie in `near` and destinations in `far`; the route decides which of them is behind a server."""
    near, far = os.fsencode(here / "near"), os.fsencode(here / "far")
    module = Module("m", near if request.param == "pull" else far, read_only=request.param == "pull")
    with serving(module) as url:
        remote = os.fsencode(url) + b"/m"

        def run(source: bytes | list[bytes], destination: bytes, **options: object) -> Report:
            sources = [source] if isinstance(source, bytes) else source
            tops = {"local": (near, far), "push": (near, remote), "pull": (remote, far)}[request.param]
            return sync([tops[0] + b"/" + one for one in sources], tops[1] + b"/" + destination, Options(**options))  # type: ignore[arg-type]

        yield run


def test_a_tree_arrives_whole_and_a_second_run_moves_no_content(route: Route, here: Path) -> None:
    make_tree(here / "near" / "tree")
    first = route(b"tree/", b"copy")
    assert snapshot(here / "near/tree") == snapshot(here / "far/copy")
    assert first.status == "ok"
    assert first.totals.files_sent == first.totals.files_total > 150
    assert first.totals.bytes_literal == first.totals.bytes_target
    assert first.totals.bytes_copied == 0
    assert first.totals.bytes_sent > 0 < first.totals.bytes_received
    second = route(b"tree/", b"copy")
    assert second.totals.files_unchanged == second.totals.files_total == first.totals.files_total
    assert second.totals.files_sent == second.totals.bytes_literal == second.totals.bytes_target == 0
    assert second.totals.bytes_sent + second.totals.bytes_received < 30_000
    assert leftovers(here) == []


def test_ignoring_times_finds_equal_content_and_sends_none_of_it(route: Route, here: Path) -> None:
    make_tree(here / "near" / "tree")
    route(b"tree/", b"copy")
    again = route(b"tree/", b"copy", ignore_times=True)
    assert again.totals.files_sent == again.totals.files_total
    assert again.totals.bytes_literal == 0
    assert again.totals.bytes_copied == again.totals.bytes_target > 3_000_000


def test_changes_of_every_kind_arrive(route: Route, here: Path) -> None:
    tree = here / "near" / "tree"
    make_tree(tree)
    route(b"tree", b".")
    copy = here / "far" / "tree"
    (tree / "a" / "b").chmod(0o755)
    data = (tree / "large").read_bytes()
    (tree / "large").chmod(0o600)
    (tree / "large").write_bytes(data[:1_000_000] + b"inserted" + data[1_000_000:])
    (tree / "a/medium").write_bytes(b"")
    (tree / "empty-file").write_bytes(b"now with content")
    (tree / "a/one").chmod(0o700)
    (tree / "many/001").unlink()
    (tree / "many/001").mkdir()
    (tree / "many/001/inside").write_bytes(b"x")
    (tree / "many/002").unlink()
    (tree / "many/002").symlink_to("003")
    (tree / "a/link").unlink()
    (tree / "a/link").write_bytes(b"a file now")
    (tree / "new").mkdir()
    (tree / "new/file").write_bytes(random.Random(5).randbytes(100_000))
    os.rmdir(tree / "empty")
    (tree / "empty").symlink_to("a")
    report = route(b"tree", b".")
    assert report.status == "ok"
    expected = snapshot(tree)
    assert {path: what for path, what in snapshot(copy).items() if path in expected} == expected
    assert report.totals.bytes_copied > 2_950_000
    assert leftovers(here) == []


def test_an_insertion_costs_a_few_chunks(route: Route, here: Path) -> None:
    data = random.Random(7).randbytes(20_000_000)
    (here / "near/big").write_bytes(data)
    route(b"big", b"big")
    (here / "near/big").write_bytes(data[:9_999_999] + b"!" + data[9_999_999:])
    report = route(b"big", b"big")
    assert (here / "far/big").read_bytes() == (here / "near/big").read_bytes()
    assert 0 < report.totals.bytes_literal <= 4 * 12 * 1024
    assert report.totals.bytes_copied == report.totals.bytes_target - report.totals.bytes_literal
    # 10 bytes for each chunk of 8 KiB, the literals, and change.
    assert report.totals.bytes_sent + report.totals.bytes_received < 62_000 + report.totals.bytes_literal


def test_blocks_that_moved_are_copied(route: Route, here: Path) -> None:
    blocks = [random.Random(number).randbytes(500_000) for number in range(12)]
    (here / "near/big").write_bytes(b"".join(blocks))
    route(b"big", b"big")
    random.Random(1).shuffle(blocks)
    (here / "near/big").write_bytes(b"".join(blocks) * 2)
    report = route(b"big", b"big")
    assert (here / "far/big").read_bytes() == b"".join(blocks) * 2
    assert report.totals.bytes_literal < 400_000


@pytest.mark.parametrize("old,new", [(0, 5_000_000), (5_000_000, 0), (5_000_000, 1_000_000), (3_000_000, 5_000_000)])
def test_zeros_grow_and_shrink(route: Route, here: Path, old: int, new: int) -> None:
    (here / "near/zeros").write_bytes(bytes(old))
    route(b"zeros", b"zeros")
    (here / "near/zeros").write_bytes(bytes(new))
    report = route(b"zeros", b"zeros")
    assert (here / "far/zeros").read_bytes() == bytes(new)
    assert report.totals.bytes_literal <= (new if not old else 64 * 1024)


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 12288, 12289, 262143, 262144, 262145, 8 << 20, (8 << 20) + 1])
def test_sizes_around_every_threshold(route: Route, here: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    (here / "near/file").write_bytes(data)
    route(b"file", b"file")
    assert (here / "far/file").read_bytes() == data
    changed = data[: size // 2] + b"?" + data[size // 2 + 1 :]
    (here / "near/file").write_bytes(changed)
    route(b"file", b"file", ignore_times=True)
    assert (here / "far/file").read_bytes() == changed


def test_a_file_goes_where_rsync_would_put_it(route: Route, here: Path) -> None:
    (here / "near/file").write_bytes(b"content")
    (here / "far/folder").mkdir()
    for destination, result in [
        (b"renamed", "far/renamed"),
        (b"folder", "far/folder/file"),
        (b"folder/other", "far/folder/other"),
        (b"made/", "far/made/file"),
        (b"", "far/file"),
    ]:
        route(b"file", destination)
        assert (here / result).read_bytes() == b"content", destination


def test_a_trailing_slash_means_the_content(route: Route, here: Path) -> None:
    (here / "near/d/sub").mkdir(parents=True)
    (here / "near/d/sub/file").write_bytes(b"1")
    route(b"d", b"with")
    assert (here / "far/with/d/sub/file").exists()
    route(b"d/", b"without")
    assert (here / "far/without/sub/file").exists()


def test_several_sources_go_into_a_directory(route: Route, here: Path) -> None:
    (here / "near/d").mkdir()
    (here / "near/d/inside").write_bytes(b"1")
    (here / "near/file").write_bytes(b"2")
    route([b"d", b"file"], b"both")
    assert (here / "far/both/d/inside").read_bytes() == b"1"
    assert (here / "far/both/file").read_bytes() == b"2"


def test_a_missing_source_does_not_stop_the_others(route: Route, here: Path) -> None:
    (here / "near/file").write_bytes(b"2")
    report = route([b"file", b"missing"], b"both")
    assert report.status == "partial"
    assert [failure.path.rpartition(b"/")[2] for failure in report.failures] == [b"missing"]
    assert (here / "far/both/file").read_bytes() == b"2"
    with pytest.raises(PartialTransferError, match="missing"):
        route(b"missing", b"both")


def test_a_dry_run_changes_nothing_and_counts_what_it_would_do(route: Route, here: Path) -> None:
    make_tree(here / "near" / "tree")
    report = route(b"tree/", b"copy", dry_run=True)
    assert not (here / "far/copy").exists()
    assert report.totals.files_sent == report.totals.files_total > 150
    route(b"tree/", b"copy")
    before = snapshot(here / "far")
    (here / "near/tree/many/005").write_bytes(b"different")
    report = route(b"tree/", b"copy", dry_run=True)
    assert report.totals.files_sent == 1
    assert report.totals.bytes_target == len(b"different")
    assert snapshot(here / "far") == before


def test_an_unrelated_basis_is_noticed_and_the_file_comes_whole(route: Route, here: Path) -> None:
    (here / "far/big").write_bytes(random.Random(1).randbytes(80_000_000))
    (here / "near/big").write_bytes(random.Random(2).randbytes(80_000_000))
    report = route(b"big", b"big")
    assert (here / "far/big").read_bytes() == (here / "near/big").read_bytes()
    assert report.totals.bytes_literal == report.totals.bytes_target == 80_000_000
    assert report.totals.bytes_copied == 0


def test_whole_file_copies_nothing(route: Route, here: Path) -> None:
    data = random.Random(7).randbytes(1_000_000)
    (here / "near/big").write_bytes(data)
    route(b"big", b"big")
    (here / "near/big").write_bytes(data + b"x")
    report = route(b"big", b"big", whole_file=True)
    assert report.totals.bytes_literal == len(data) + 1
    assert (here / "far/big").read_bytes() == data + b"x"


def test_any_number_of_threads_gives_the_same(route: Route, here: Path) -> None:
    data = random.Random(8).randbytes(30_000_000)
    literals = set()
    for threads in (1, 2, 5):
        (here / "near/big").write_bytes(data)
        route(b"big", b"big", whole_file=True, ignore_times=True)
        (here / "near/big").write_bytes(data[:100] + data[7_000_000:] + data[:5_000_000] + b"tail")
        literals.add(route(b"big", b"big", threads=threads).totals.bytes_literal)
        assert (here / "far/big").read_bytes() == (here / "near/big").read_bytes()
    assert len(literals) == 1


def test_a_directory_in_the_way_of_a_file_fails_that_file_only(route: Route, here: Path) -> None:
    (here / "near/d").mkdir()
    (here / "near/d/a").write_bytes(b"1")
    (here / "near/d/b").write_bytes(b"2")
    (here / "far/d/a").mkdir(parents=True)
    (here / "far/d/a/precious").write_bytes(b"keep")
    report = route(b"d", b"")
    assert report.status == "partial"
    assert report.totals.files_failed == 1
    assert report.failures[0].path == b"d/a"
    assert "has content" in report.failures[0].message
    assert (here / "far/d/a/precious").read_bytes() == b"keep"
    assert (here / "far/d/b").read_bytes() == b"2"


def test_a_file_in_the_way_of_the_destination_directory(route: Route, here: Path) -> None:
    (here / "near/d").mkdir()
    (here / "far/file").write_bytes(b"1")
    with pytest.raises(SelectionError, match="file"):
        route(b"d/", b"file")
    assert (here / "far/file").read_bytes() == b"1"


def test_a_missing_parent_of_the_destination(route: Route, here: Path) -> None:
    (here / "near/d").mkdir()
    with pytest.raises(FileError, match="create"):
        route(b"d/", b"missing/parent")


def test_special_files_are_skipped(route: Route, here: Path) -> None:
    (here / "near/d").mkdir()
    os.mkfifo(here / "near/d/pipe")
    (here / "near/d/file").write_bytes(b"1")
    report = route(b"d/", b"d")
    assert report.status == "ok"
    assert sorted(os.listdir(here / "far/d")) == ["file"]


def test_a_read_only_module_refuses_a_push_and_stays_as_it_is(here: Path) -> None:
    (here / "near/file").write_bytes(b"1")
    module = Module("m", os.fsencode(here / "far"), read_only=True)
    with serving(module) as url, pytest.raises(UsageError, match="read-only"):
        sync(here / "near/file", f"{url}/m/file")
    assert os.listdir(here / "far") == []


def test_an_unknown_module(here: Path) -> None:
    (here / "near/file").write_bytes(b"1")
    with serving(Module("m", os.fsencode(here / "far"), read_only=False)) as url:
        with pytest.raises(StartError, match="nothing"):
            sync(here / "near/file", f"{url}/nothing/file")
        with pytest.raises(StartError, match="nothing"):
            sync(f"{url}/nothing/file", here / "far/")


def test_two_clients_at_once_do_not_disturb_each_other(here: Path) -> None:
    for number in range(4):
        make_tree(here / "near" / str(number), seed=number)
    errors: list[BaseException] = []
    with serving(Module("m", os.fsencode(here / "far"), read_only=False)) as url:

        def push(number: int) -> None:
            try:
                sync(here / "near" / str(number), f"{url}/m/")
            except BaseException as error:  # noqa: BLE001 - reported below
                errors.append(error)

        threads = [threading.Thread(target=push, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    assert snapshot(here / "near") == snapshot(here / "far")
