"""`docs/protocol.md` and `wire/` name the same fields, and the numbers in the text are the code's."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import msgspec
import pytest

from parasync.errors import BY_CODE
from parasync.wire import codec, messages
from parasync.wire.messages import (
    RULES,
    Error,
    Failed,
    Finish,
    Flags,
    FrameType,
    Header,
    Hello,
    NeedItem,
    SmallFile,
    Welcome,
    WireEntry,
)

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
TAG = re.compile(r"\[([a-z]+\.[a-z_]+)\]")
RECORDS = {
    "header": Header,
    "hello": Hello,
    "welcome": Welcome,
    "need": NeedItem,
    "small": SmallFile,
    "failed": Failed,
    "finish": Finish,
    "error": Error,
}


def tags_of_code() -> set[str]:
    """Tags in comments and docstrings of the wire package; subscripts in code do not count."""
    found: set[str] = set()
    for path in Path(codec.__file__).parent.glob("*.py"):
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING):
                found.update(TAG.findall(token.string))
    return found


def tags_of_text() -> set[str]:
    return set(re.findall(r"`\[([a-z]+\.[a-z_]+)\]`", TEXT))


def rows(prefix: str) -> dict[str, list[str]]:
    """The table rows that define `[prefix.name]`: name -> the other cells."""
    found = {}
    for match in re.finditer(rf"^\| `\[{prefix}\.([a-z_]+)\]` \|(.*)\|$", TEXT, re.MULTILINE):
        assert match[1] not in found, f"defined twice: {match[0]}"
        found[match[1]] = [cell.strip() for cell in match[2].split("|")]
    return found


def test_both_have_the_same_tags() -> None:
    assert tags_of_text() == tags_of_code()


def test_every_tag_in_the_text_is_marked_as_code() -> None:
    assert set(TAG.findall(TEXT)) == tags_of_text()


@pytest.mark.parametrize("name", RECORDS)
def test_every_field_is_defined(name: str) -> None:
    fields = {field.name for field in msgspec.structs.fields(RECORDS[name])}
    assert set(rows(name)) - {"reserved"} == fields


def test_every_field_of_an_entry_is_defined() -> None:
    assert tuple(rows("entry")) == WireEntry._fields


def test_every_frame_type_is_defined() -> None:
    assert {name: int(cells[0]) for name, cells in rows("frame").items()} == {
        kind.name.lower(): kind.value for kind in FrameType
    }


def test_every_flag_is_defined() -> None:
    defined = rows("flag")
    assert {name: 1 << int(cells[0]) for name, cells in defined.items()} == {
        flag.name.lower(): flag.value for flag in Flags if flag.name
    }
    retried = {kind.name for kind, rule in RULES.items() if rule.flags & Flags.RETRY for kind in [FrameType(kind)]}
    assert set(defined["retry"][1].split(", ")) == retried


def test_the_codes_of_errors_are_those_of_the_tree() -> None:
    codes = set(re.findall(r"`([a-z-]+)`", rows("error")["code"][1]))
    assert codes == set(BY_CODE) - {"connect-deadline"}


def test_the_bounds_are_those_of_the_code() -> None:
    bounds = rows("limit")
    assert bounds
    for name, (constant, value) in bounds.items():
        attribute = constant.strip("`")
        module = messages if hasattr(messages, attribute) else codec
        assert getattr(module, attribute) == int(value), name
