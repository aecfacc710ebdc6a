"""What an argument of the command line names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parasync.errors import UsageError
from parasync.location import DEFAULT_PORT, Location, parse


@pytest.mark.parametrize(
    "argument", [b"a", b"/", b"/a:b", b"./a:b", b"../a:b", b"a/b:c", b".a:b", b"~/a", b"caf\xe9", b"a/parasync://h/m"]
)
def test_local_paths(argument: bytes) -> None:
    location = parse(argument)
    assert location == Location("", 0, "", argument)
    assert not location.is_ssh


@pytest.mark.parametrize(
    ("argument", "login", "path"),
    [
        (b"host:path", "host", b"path"),
        (b"host:/path/", "host", b"/path/"),
        (b"host:", "host", b"."),
        (b"host:.", "host", b"."),
        (b"host:a:b//c", "host", b"a:b//c"),
        (b"host:./~", "host", b"./~"),
        (b"me@host:x", "me@host", b"x"),
        (b"me@corp.example@host:x", "me@corp.example@host", b"x"),
        (b"[::1]:x", "::1", b"x"),
        (b"me@[fe80::1%eth0]:/x", "me@fe80::1%eth0", b"/x"),
        (b"host:line\nbreak $(x) 'q' caf\xe9", "host", b"line\nbreak $(x) 'q' caf\xe9"),
        (b"h\xe9:x", "h\udce9", b"x"),
    ],
)
def test_paths_by_ssh(argument: bytes, login: str, path: bytes) -> None:
    location = parse(argument)
    assert location == Location(login, 0, "", path)
    assert location.is_ssh


@pytest.mark.parametrize(
    ("argument", "location"),
    [
        (b"parasync://host/m", Location("host", DEFAULT_PORT, "m", b"")),
        (b"parasync://host/m/", Location("host", DEFAULT_PORT, "m", b"")),
        (b"parasync://host:1/m/a/", Location("host", 1, "m", b"a/")),
        (b"parasync://[::1]:65535/m/a:b", Location("::1", 65535, "m", b"a:b")),
    ],
)
def test_paths_in_modules(argument: bytes, location: Location) -> None:
    assert parse(argument) == location
    assert not location.is_ssh


@pytest.mark.parametrize(
    ("argument", "advice"),
    [
        (b"", "HOST:PATH"),
        (b"a\0b", "NUL"),
        (b"parasync://host", "MODULE"),
        (b"parasync://host:0/m", "65535"),
        (b"rsync://host/m", "parasync://"),
        (b"ssh://host/x", "[USER@]HOST:PATH"),
        (b"host::module/x", "parasync://"),
        (b"host:~/x", "leave ~/ out"),
        (b":x", "./NAME"),
        (b"me@:x", "./NAME"),
        (b"::1:x", "./NAME"),
        (b"[::1:x", "./NAME"),
        (b"-oProxyCommand=reboot:x", "./NAME"),
        (b"-v@host:x", "./NAME"),
    ],
)
def test_what_is_neither_is_refused_with_advice(argument: bytes, advice: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(argument)
    assert advice in str(caught.value)
    assert str(caught.value).isprintable()


PIECES = [b"a", b"1", b":", b"::", b"/", b"@", b"[", b"]", b"~", b"-", b".", b"\0", b"\xff", b"parasync://", b"x://"]


@given(st.lists(st.sampled_from(PIECES)).map(b"".join))
def test_any_argument_is_a_location_or_a_usage_error(argument: bytes) -> None:
    try:
        location = parse(argument)
    except UsageError:
        return
    if not location.host:
        assert location.path == argument
    if location.is_ssh:
        assert location.path
        assert not location.host.startswith("-")


@given(st.binary(min_size=1).filter(lambda path: b"\0" not in path and path[:1] not in b":~"))
def test_every_path_can_be_named_on_a_host(path: bytes) -> None:
    assert parse(b"me@host:" + path).path == path
