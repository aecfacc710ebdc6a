"""The look at the words of `parasync sync` that comes before click: it must say what click will, or nothing."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parasync.cli import words
from parasync.cli.sync import command
from parasync.cli.words import FLAGS, RSH_VARIABLE, VALUED, understand

OPTIONS = [
    parameter
    for parameter in command.params
    if isinstance(parameter, click.Option) and parameter.name not in ("help", "version")
]


def test_it_knows_every_option() -> None:
    for takes_value, known in ((False, FLAGS), (True, VALUED)):
        theirs = [option for option in OPTIONS if option.is_flag != takes_value]
        assert {name for option in theirs for name in option.opts} == known


def by_click(given_words: list[str]) -> tuple[list[bytes], str, str] | None:
    """(locations, rsh, remote path) as click finds them, None where it refuses."""
    try:
        with command.make_context("sync", list(given_words)) as context:
            found = context.params
    except (click.ClickException, click.exceptions.Exit):
        return None
    return list(found["locations"]), found["rsh"], found["remote_path"]


WORD = st.one_of(
    st.sampled_from(sorted(FLAGS | VALUED)),
    st.sampled_from(["-av", "-ae", "-vessh", "-e=x", "-eq", "-zzz", "--", "-", "", "2048", "2", "file", "h:d", "-5"]),
    st.sampled_from(["--rsh=a b", "--remote-path=p", "--rsh=", "--json=1", "--trace=t", "--rs", "-x", "-xe", "--help"]),
    st.text("-=ehv a", max_size=6),
)


@given(st.lists(WORD, max_size=7))
def test_what_it_understands_click_understands_alike(given_words: list[str]) -> None:
    plain, theirs = understand(given_words), by_click(given_words)
    if plain is not None and theirs is not None:
        locations, rsh, remote_path = theirs
        assert [word.encode() for word in plain.locations] == locations
        assert (plain.rsh, plain.remote_path) == (rsh, remote_path)


@pytest.mark.parametrize(
    ("given_words", "rsh", "remote_path"),
    [
        ("a h:b", "ssh", "parasync"),
        ("-ave other a h:b", "other", "parasync"),
        ("-eother -I a h:b --remote-path there", "other", "there"),
        ("--rsh=other a --remote-path=there h:b", "other", "there"),
        ("--threads 2 -e one a h:b -e two", "two", "parasync"),
    ],
)
def test_ordinary_command_lines_are_understood(
    given_words: str, rsh: str, remote_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RSH_VARIABLE, raising=False)
    assert understand(given_words.split()) == words.Plain(["a", "h:b"], rsh, remote_path)


@pytest.mark.parametrize("given_words", ["-x a h:b", "--help a h:b", "--delete a h:b", "-avX a h:b", "a h:b -e"])
def test_what_it_does_not_know_it_leaves_alone(given_words: str) -> None:
    assert understand(given_words.split()) is None


@pytest.mark.parametrize(("variable", "rsh"), [("other -v", "other -v"), ("", "ssh")])
def test_the_environment_counts(variable: str, rsh: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RSH_VARIABLE, variable)
    for given_words in (["a", "h:b"], ["--rsh", "nearer", "a", "h:b"]):
        plain, theirs = understand(given_words), by_click(given_words)
        assert plain is not None
        assert theirs is not None
        assert plain.rsh == theirs[1] == (rsh if len(given_words) == 2 else "nearer")
