"""The benchmark suite's own parts: statistics, results, tables, charts, command lines. Nothing is timed here."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import index
from benchmarks.__main__ import MODULES, command
from benchmarks.chunking import ours, worst
from benchmarks.chunking.command import Plan, limits, parse_kernels, parse_threads, rate_all, serial_shares
from benchmarks.chunking.peers import PEERS, available
from benchmarks.chunking.projection import project, serial_share
from benchmarks.chunking.subject import Input
from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe as describe_machine
from benchmarks.measure import interleaved, median, ratio
from benchmarks.noise import random_bytes
from benchmarks.plot import WIDTH, Bar, chart, draw, lengths
from benchmarks.report import lines, table
from benchmarks.results import (
    FORMAT,
    Chunking,
    Delta,
    EndToEnd,
    Index,
    LookUps,
    Projection,
    Rate,
    Result,
    SerialShare,
    Transfer,
    WorstCase,
    read_result,
    write_result,
)
from benchmarks.show import join
from benchmarks.summary import summarise
from parasync.config import MIB
from parasync.kernels import active_kernel, usable_kernels

ROOT = Path(__file__).parents[2]
MACHINE = describe_machine((), ())
STARTED = "2026-02-16T00:00:00Z"
NOISE = random_bytes(1, MIB)


def transfer(tool: str, seconds: float, repetition: int = 0, *, dataset: str = "text", ok: bool = True) -> Transfer:
    return Transfer(
        tool=tool,
        dataset=dataset,
        net="lan",
        repetition=repetition,
        seconds=seconds,
        to_receiver=round(seconds * 1000),
        to_sender=500,
        cpu_sender=0.5,
        cpu_receiver=0.25,
        cpu_other=0.125,
        rss_sender=3 << 20,
        rss_receiver=5 << 20,
        ok=ok,
        error="" if ok else "wrong result",
    )


def endtoend(transfers: list[Transfer]) -> EndToEnd:
    return EndToEnd(
        format=FORMAT,
        started=STARTED,
        machine=MACHINE,
        store="/dev/shm/lab",
        sizes={"text": 42_000_000},
        delay={"lan": "netem"},
        transfers=transfers,
        summary=summarise(transfers),
        deltas=[Delta(tool="zstd", dataset="text", seconds=0.5, bytes=1234)],
    )


def chunking() -> Chunking:
    def rate(name: str, group: str, gb_per_s: float, inner: float | None = None) -> Rate:
        return Rate(
            name=name,
            group=group,
            includes="cuts <only> & nothing",
            data="random",
            threads=1,
            bytes=10**9,
            seconds=[1 / gb_per_s],
            cpu_seconds=[1 / gb_per_s],
            gb_per_s=gb_per_s,
            gb_per_cpu_s=gb_per_s,
            inner_gb_per_s=inner,
        )

    rates = [
        rate("parasync fast", "parasync", 4.0),
        rate("other <chunker>", "peer", 2.0),
        rate("parasync chunk", "command", 0.5, 1.5),
        rate("memory read", "limit", 11.0),
    ]
    share = SerialShare(
        kernel=MACHINE.kernels[-1],
        data="random",
        scan_seconds=0.9,
        merge_seconds=0.1,
        share=0.1,
        projections=[Projection(cores=8, amdahl_gb_per_s=9.25, gb_per_s=9.25, limit="cores")],
    )
    hard = WorstCase(kernel=MACHINE.kernels[-1], pattern="zeros", gb_per_s=6.125, relative=1.5, records=0.005)
    return Chunking(
        format=FORMAT,
        started=STARTED,
        machine=MACHINE,
        rates=rates,
        shares=[share],
        worst=[hard],
        skipped={"borgbackup": "not installed"},
    )


def look_ups() -> Index:
    found = [LookUps(kind="misses", count=1000, seconds=[0.5], per_second=2_000_000.0)]
    return Index(
        format=FORMAT,
        started=STARTED,
        machine=MACHINE,
        entries=5000,
        insert_seconds=0.5,
        bytes_per_entry=14.25,
        look_ups=found,
    )


RESULTS = [endtoend([transfer("parasync", 1.0), transfer("rsync", 2.5)]), chunking(), look_ups()]


# statistics


def test_medians_and_ratios_of_nothing() -> None:
    assert (median([3.0, 1.0, 2.0]), ratio(3.0, 2.0)) == (2.0, 1.5)
    with pytest.raises(ValueError, match="no values"):
        median([])
    assert ratio(3.0, 0.0) == 0.0


def test_runs_are_interleaved(tmp_path: Path) -> None:
    calls: list[str] = []

    def call(name: str) -> int:
        calls.append(name)
        return len(calls)

    results = interleaved({"a": lambda: call("a"), "b": lambda: call("b")}, 3, tmp_path / "lock")
    assert calls == ["a", "b"] * 3
    assert results == {"a": [1, 3, 5], "b": [2, 4, 6]}


def test_the_summary_takes_medians_of_good_runs_and_counts_the_others() -> None:
    runs = [transfer("parasync", seconds, number) for number, seconds in enumerate((1.0, 9.0, 2.0))]
    runs += [transfer("rsync", 4.0, 0), transfer("rsync", 70.0, 1, ok=False)]
    ours, rsync = summarise(runs)
    assert (ours.tool, ours.runs, ours.failed, ours.seconds, ours.fastest) == ("parasync", 3, 0, 2.0, 1.0)
    assert (rsync.runs, rsync.failed, rsync.seconds) == (1, 1, 4.0)
    assert rsync.versus_ours["parasync"].seconds == 2.0
    assert rsync.versus_ours["parasync"].bytes == (4000 + 500) / (2000 + 500)
    assert ours.versus_ours["parasync"].seconds == 1.0


def test_nothing_is_compared_across_datasets_or_with_failures() -> None:
    rows = summarise(
        [transfer("parasync", 1.0, dataset="db"), transfer("parasync", 1.0, ok=False), transfer("raw", 2.0)]
    )
    assert [row.versus_ours.keys() for row in rows] == [{"parasync"}, set(), set()]


def test_amdahl() -> None:
    share = serial_share(0.75, 0.25)
    assert share == 0.25
    few, many = project(4.0, share, 100.0, (1, 64))
    assert (few.gb_per_s, few.limit) == (4.0, "cores")
    assert many.gb_per_s == pytest.approx(4.0 / (0.25 + 0.75 / 64))
    assert many.limit == "merge"
    assert many.gb_per_s < 4.0 / share


def test_no_projection_is_faster_than_memory() -> None:
    (found,) = project(4.0, 0.0, 10.0, (8,))
    assert (found.amdahl_gb_per_s, found.gb_per_s, found.limit) == (32.0, 10.0, "memory")


def test_a_share_of_no_time_is_an_error() -> None:
    with pytest.raises(ValueError, match="no time"):
        serial_share(0.0, 0.0)


# results


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_a_result_is_read_as_it_was_written(result: Result, tmp_path: Path) -> None:
    path = tmp_path / "deep/result.json"
    write_result(path, result)
    assert read_result(path) == result


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"type": "endtoend", "format": FORMAT + 1}, "format"),
        ({"type": "unheard of"}, "no result"),
        ({"surprise": 1}, "surprise"),
        ({"entries": "many"}, "entries"),
    ],
)
def test_what_is_no_result_is_refused(change: dict[str, object], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_result(path, RESULTS[0] if "format" in change else look_ups())
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BenchmarkError, match=reason):
        read_result(path)


def test_results_of_one_machine_are_joined() -> None:
    joined = join([endtoend([transfer("parasync", seconds)]) for seconds in (1.0, 5.0, 2.0)])
    assert isinstance(joined, EndToEnd)
    assert [(row.runs, row.seconds) for row in joined.summary] == [(3, 2.0)]


def test_results_that_do_not_belong_together_are_not_joined() -> None:
    with pytest.raises(BenchmarkError, match="only results of endtoend"):
        join([RESULTS[0], RESULTS[1]])
    elsewhere = endtoend([])
    elsewhere.store = "/mnt/disk"
    with pytest.raises(BenchmarkError, match="different machines or stores"):
        join([RESULTS[0], elsewhere])


# tables and charts


def test_tables_align_numbers_to_the_right() -> None:
    assert list(table(["name", "value"], [("a", 1234), ("bcdefg", None)])) == [
        "name    value",
        "a       1,234",
        "bcdefg",
    ]


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (RESULTS[0], ["rsync", "2.50", "zstd", "time/parasync"]),
        (RESULTS[1], ["other <chunker>", "PROJECTED", "9.2 (bound by cores)", "zeros", "not run: borgbackup"]),
        (RESULTS[2], ["misses", "14.2 bytes", "2.00"]),
    ],
    ids=["endtoend", "chunking", "index"],
)
def test_the_text_tells_what_was_measured(result: Result, told: list[str]) -> None:
    text = "\n".join(lines(result))
    assert [one for one in [*told, MACHINE.cpu] if one not in text] == []


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_a_chart_is_svg_for_both_themes_without_anything_from_outside(result: Result) -> None:
    text = draw(result)
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in text
    assert "href" not in text
    assert text.count("http") == 1
    height = float(root.attrib["height"])
    for bar in root.iter("{http://www.w3.org/2000/svg}rect"):
        right = float(bar.get("x", 0)) + float(bar.attrib["width"])
        bottom = float(bar.get("y", 0)) + float(bar.attrib["height"])
        assert right <= WIDTH
        assert bottom <= height


def test_a_chart_names_every_bar_and_marks_projections() -> None:
    texts = {node.text for node in ElementTree.fromstring(draw(chunking())).iter()}
    assert {"parasync fast", "other <chunker>", "zeros", "8 cores"} <= texts
    assert any(text and "not measured" in text for text in texts)
    assert draw(chunking()).count('class="projected"') == 1


def test_bars_are_in_proportion() -> None:
    full, half, none = lengths([Bar("", value, "", "") for value in (2.0, 1.0, 0.0)])
    assert half == full / 2
    assert none == 0
    assert lengths([Bar("", 0.0, "", "")]) == [0.0]
    assert "<svg" in chart("nothing", [], "")


# command lines


def test_the_module_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert all(name in done.stdout for name in MODULES)


@pytest.mark.parametrize(
    "words",
    [[], *([name] for name in MODULES), ["lab", "up"], ["lab", "exec"], ["datasets", "build"], ["datasets", "list"]],
    ids=" ".join,
)
def test_there_is_help(words: list[str]) -> None:
    result = CliRunner().invoke(command, [*words, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_results_are_shown_and_drawn_again(tmp_path: Path) -> None:
    write_result(tmp_path / "a.json", RESULTS[0])
    chart_file = tmp_path / "a.svg"
    result = CliRunner().invoke(command, ["show", str(tmp_path / "a.json"), "--plot", str(chart_file)])
    assert result.exit_code == 0
    assert "rsync" in result.output
    assert chart_file.read_text() == draw(RESULTS[0])


def test_kernels_and_threads_are_checked() -> None:
    assert parse_kernels(None) == usable_kernels()
    assert parse_kernels("portable") == ["portable"]
    assert parse_threads("1,3") == [1, 3]
    assert parse_threads(None)[0] == 1
    with pytest.raises(BenchmarkError, match="abacus"):
        parse_kernels("portable,abacus")
    for wrong in ("0", "257", "two", ""):
        with pytest.raises(BenchmarkError, match="--threads"):
            parse_threads(wrong)


# what the measured code gives


def test_chunks_in_memory_do_not_depend_on_threads() -> None:
    segment = 100_001
    alone = ours.phases(NOISE, segment)
    assert alone.outcome.chunks
    assert alone.record_bytes > 0
    for threads in (1, 2, 5):
        assert ours.chunk_in_memory(NOISE, threads, segment) == alone.outcome


def test_hard_inputs_are_what_they_are_called() -> None:
    assert worst.repeated(b"abc", 7) == b"abcabca"
    mixed = worst.alternating(4, 17, NOISE)
    assert mixed == NOISE[:4] + bytes(4) + NOISE[8:12] + bytes(4)


def test_peers_are_run_or_told_why_not() -> None:
    subjects, skipped = available()
    assert len(skipped) < len(PEERS) or not subjects
    assert all(reason for reason in skipped.values())
    assert {subject.group for subject in subjects} <= {"peer", "command"}


def test_a_small_run_of_everything_in_memory(tmp_path: Path) -> None:
    kernel = active_kernel()
    plan = Plan((), len(NOISE), 2, [kernel], [1, 2], peers=False, worst=False, lock=tmp_path / "lock")
    source = Input("noise", NOISE, tmp_path / "noise")
    subjects = [ours.in_memory(kernel, 2), ours.fingerprint_alone(kernel), *limits(len(NOISE), plan.threads)]
    rates = rate_all(subjects, source, plan)
    assert [rate.name for rate in rates] == [subject.name for subject in subjects]
    assert all(len(rate.seconds) == len(rate.cpu_seconds) == 2 for rate in rates)
    assert rates[0].mean == pytest.approx(8192, rel=0.1)
    (share,) = serial_shares(source, plan, 1e9)
    assert 0 < share.share < 1
    assert [one.cores for one in share.projections] == [8, 16, 64]


def test_a_small_index(tmp_path: Path) -> None:
    result = index.measure(2000, 1000, 2, tmp_path / "lock")
    assert result.entries == 2000
    assert result.bytes_per_entry > 0
    alone = [index.INDEX_ALONE.format(kind) for kind in (index.SCATTERED, index.MISSES)]
    assert [(one.kind, one.count, len(one.seconds)) for one in result.look_ups] == [
        (kind, 1000, 2) for kind in (index.IN_ORDER, index.SCATTERED, index.MISSES, *alone)
    ]


@pytest.mark.parametrize("look_up", [index.match_all, index.find_all])
def test_look_ups_that_find_something_else_are_no_measurement(look_up: Callable[..., float]) -> None:
    table = index.make_table(random_bytes(1, 16 * 100))
    other = index.make_table(random_bytes(2, 16 * 100))
    basis = index.ChunkIndex(table)
    basis.insert(0, 100)
    with pytest.raises(BenchmarkError, match="a defect"):
        look_up(other, basis, index.IN_ORDER)
