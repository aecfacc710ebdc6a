"""What the words of `parasync sync` say, as far as something is begun before click is loaded to understand them.

Starting a remote shell runs a program, so nothing may be guessed here: whoever
finds one word that is not in these tables gives up, and click goes first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from parasync.config import REMOTE_COMMAND, REMOTE_SHELL

RSH_VARIABLE = "PARASYNC_RSH"

FLAGS = frozenset(
    (
        *("-n", "--dry-run", "-I", "--ignore-times", "-W", "--whole-file", "--fsync"),
        *("-z", "--compress", "--no-compress", "-v", "--verbose", "-q", "--quiet", "--json"),
        *("-a", "--archive", "-r", "--recursive", "-l", "--links", "-p", "--perms", "-t", "--times"),
    )
)
VALUED = frozenset(
    (
        *("-e", "--rsh", "--remote-path", "--threads", "--timeout", "--streams", "--trace"),
        *("--average", "--chunking", "--matching", "--compress-level"),
    )
)
_SHORT_FLAGS = "".join(flag[1] for flag in FLAGS if len(flag) == len("-n"))


class Plain(NamedTuple):
    """The locations, and how a remote shell is to be started."""

    locations: list[str]
    rsh: str
    remote_path: str


def understand(words: Sequence[str]) -> Plain | None:
    """What click will make of `words`, or None if that takes more than looking at them."""
    locations: list[str] = []
    values = {"--rsh": os.environ.get(RSH_VARIABLE) or REMOTE_SHELL, "--remote-path": REMOTE_COMMAND}
    rest = iter(words)
    for word in rest:
        if word == "--":
            locations += rest
        elif word == "-" or not word.startswith("-"):
            locations.append(word)
        elif (found := _option(word, rest)) is None:
            return None
        else:
            name, value = found
            values["--rsh" if name == "-e" else name] = value
    return Plain(locations, values["--rsh"], values["--remote-path"])


def _option(word: str, rest: Iterator[str]) -> tuple[str, str] | None:
    """(name, value) of an option, or of the last in a bundle of short ones; its value may be the next of `rest`."""
    name, equals, value = word.partition("=")
    if not word.startswith("--"):
        bundle = word[1:]
        behind_flags = bundle.lstrip(_SHORT_FLAGS)
        if not behind_flags:
            return word, ""
        name, value = "-" + behind_flags[0], behind_flags[1:]
        equals = value
    elif name in FLAGS:
        return None if equals else (name, "")
    if name not in VALUED:
        return None
    if not equals:
        following = next(rest, None)
        return None if following is None else (name, following)
    return name, value
