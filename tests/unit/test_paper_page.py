"""The page that compares with the paper: it is what its generator makes of the committed results."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe
from benchmarks.paper import page
from benchmarks.paper.command import command
from benchmarks.paper.experiments import ALL
from benchmarks.paper.rows import RESULTS, Experiment, Medians, Row, merged, path_of, read, write
from benchmarks.paper.sections.phases import Found, matching_apart, seconds_in_order
from benchmarks.paper.sections.projection import project
from benchmarks.paper.sections.section import amdahl, change, ordering, paragraph, span

MACHINE = describe((), ())


def experiment(*rows: Row) -> Experiment:
    return Experiment(
        name="chunking", started="2026-02-16T00:00:00Z", machine=MACHINE, sizes={"text": 1000}, notes=[], rows=[*rows]
    )


def row(seconds: float, repetition: int = 0, *, subject: str = "dsync", dataset: str = "text", error: str = "") -> Row:
    return Row(
        dataset=dataset, subject=subject, threads=1, repetition=repetition, values={"seconds": seconds}, error=error
    )


def test_the_page_is_what_the_committed_results_say() -> None:
    text, images = page.generate(page.load_results(RESULTS))
    remedy = "run `python -m benchmarks.paper.page`"
    assert page.PAGE.read_text(encoding="utf-8") == text, remedy
    assert {path.name for path in page.IMAGES.iterdir()} == set(images), remedy
    for name, image in images.items():
        assert (page.IMAGES / name).read_text(encoding="utf-8") == image, remedy
        ElementTree.fromstring(image)
        assert f"images/evaluation/{name}" in text


def test_every_experiment_was_measured_and_verified() -> None:
    for name in ALL:
        found = read(path_of(RESULTS, name))
        assert found.name == name
        assert found.rows
        assert not [one for one in found.rows if one.error]


@pytest.mark.parametrize("name", ALL)
def test_a_part_of_the_experiments_makes_a_page_too(name: str) -> None:
    text, _ = page.generate({name: read(path_of(RESULTS, name))})
    assert text.startswith("# The paper's evaluation")


def test_no_results_are_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="has no results"):
        page.load_results(tmp_path)


def test_rows_come_back_from_json(tmp_path: Path) -> None:
    path = tmp_path / "chunking.json"
    original = experiment(row(1.0), row(2.0, 1), row(9.0, error="wrong result"))
    write(path, original)
    assert read(path) == original
    path.write_text("{}")
    with pytest.raises(BenchmarkError, match="no result of the paper's experiments"):
        read(path)


def test_medians_are_of_good_runs() -> None:
    medians = Medians([row(1.0), row(5.0, 1), row(2.0, 2), row(99.0, 3, error="timeout")])
    assert medians.get("text", "dsync", threads=1) == {"seconds": 2.0}
    assert medians.find("text", "dsync", "") == {"seconds": 2.0}
    assert medians.get("text", "pdsync") == {}


def test_a_later_part_replaces_only_what_it_measured() -> None:
    old = experiment(row(1.0), row(2.0, subject="pdsync"))
    found = merged(old, experiment(row(3.0)))
    assert [(one.subject, one.values["seconds"]) for one in found.rows] == [("pdsync", 2.0), ("dsync", 3.0)]


def values(chunking: float, matching: float, cpu: float) -> dict[str, float]:
    sides = ("sender", "receiver")
    return (
        {"matching": matching, "reconstruction": 1.0}
        | {f"chunking.stage2@{side}": 0.5 for side in sides}
        | {f"chunking.cpu@{side}": chunking for side in sides}
        | {f"matching.cpu@{side}": cpu for side in sides}
    )


def test_projections_divide_what_is_parallel_only() -> None:
    assert amdahl(8.0, 1.0, 8) == 2.0
    found = Found(
        "text", "lan", 2, {"dsync": values(4.5, 5, 2), "pdsync": values(4.5, 3, 2), "parasync": values(4.5, 3, 2)}
    )
    assert project(found, "dsync", 8) == (4.5, 5.0, 1.0)
    assert project(found, "pdsync", 8) == (0.5 + 4 / 8, 1.0 + 4 / 8, 1.0)
    assert project(found, "parasync", 8) == (0.5 + 4 / 8, 1.0 + 2 / 8, 1.0)
    assert matching_apart(found, "pdsync") == 3.0
    assert seconds_in_order(found, "matching") == [3, 3, 5]


def test_what_is_out_of_order_is_told_with_how_much() -> None:
    claim = ordering("Matching", {"text lan": [1.0, 2.0, 3.0], "db lan": [1.0, 2.0, 1.6]})
    assert not claim.holds
    assert claim.ours == "in 1 of 2 cases; not in db lan (+25.0 %)"


def test_figures_are_written_for_people() -> None:
    assert change(3.0, 2.0) == "+50.0 %"
    assert span([1.0, 2.5]) == "1.00× to 2.50×"
    assert span([2.0]) == "2.00×"
    assert max(map(len, paragraph("word " * 100).splitlines())) <= 118


def test_help_names_every_experiment() -> None:
    said = CliRunner().invoke(command, ["--help"])
    assert said.exit_code == 0
    assert all(name in said.output for name in ALL)


def test_without_root_the_network_is_left_out_with_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    said = CliRunner().invoke(command, ["endtoend", "--data", str(tmp_path)])
    assert "left out: endtoend, since the lab's network needs root" in said.output
    assert said.exit_code != 0
