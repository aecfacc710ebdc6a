"""Every message survives its trip, and what may not be sent or accepted is refused with one line."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parasync.config import ENTRY_BATCH, MAX_FRAME, MAX_PATH
from parasync.errors import ParaSyncError, ProtocolError, UsageError
from parasync.model import Entry, Kind, Need
from parasync.wire import codec, content
from parasync.wire.messages import (
    MAX_BATCH,
    MAX_FAILURES,
    MAX_HELLO,
    MAX_TEXT,
    NO_FILE,
    Error,
    Failed,
    Finish,
    FrameType,
    Hello,
    NeedItem,
    SmallFile,
    Welcome,
)

pack = msgspec.msgpack.encode

indices = st.integers(0, NO_FILE - 1)
paths = st.binary(max_size=60)
words = st.text(st.characters(exclude_categories=("C", "Z")), max_size=20)
fingerprints = st.binary(min_size=16, max_size=16)
counters = st.integers(0, (1 << 62) - 1)
mtimes = st.integers(-(1 << 62), 1 << 62)
modes = st.integers(0, 0o7777)
averages = st.sampled_from([1 << n for n in range(11, 21)])
entries = st.one_of(
    st.builds(Entry, paths, st.just(Kind.FILE), st.integers(0, (1 << 63) - 1), mtimes, modes, st.just(b"")),
    st.builds(Entry, paths, st.just(Kind.DIRECTORY), st.just(0), mtimes, modes, st.just(b"")),
    st.builds(Entry, paths, st.just(Kind.SYMLINK), st.just(0), mtimes, modes, st.binary(min_size=1, max_size=60)),
)
needs = st.one_of(
    st.builds(NeedItem, indices, st.just(Need.WHOLE), averages | st.just(0)),
    st.builds(NeedItem, indices, st.just(Need.DELTA), averages),
    st.builds(NeedItem, indices, st.just(Need.COMPARE), averages | st.just(0), fingerprints),
    st.builds(NeedItem, indices, st.just(Need.PATCH), st.sampled_from([2048, 32768]), fingerprints, st.just(b"c" * 20)),
)
small_files = st.one_of(
    st.builds(SmallFile, indices, st.just(True), fingerprints, st.just(b"")),
    st.builds(SmallFile, indices, st.just(False), fingerprints, st.binary(max_size=200)),
    st.builds(SmallFile, indices, st.just(False), fingerprints, st.binary(max_size=200), st.just(b"o" * 48)),
)
failures = st.builds(Failed, paths, words, words)


def hello(**changes: Any) -> Hello:
    return msgspec.structs.replace(Hello(push=True, module="data"), **changes)


def account(**changes: Any) -> Finish:
    plain = Finish(
        status="ok",
        files_total=7,
        files_sent=3,
        files_unchanged=2,
        files_failed=2,
        bytes_target=1 << 40,
        bytes_copied=1 << 39,
        bytes_literal=1 << 39,
        failures=[Failed(b"a", "vanished", "'a' vanished")],
    )
    return msgspec.structs.replace(plain, **changes)


# -- greetings ------------------------------------------------------------------------------


@given(st.booleans(), words, paths, st.lists(paths, max_size=5), st.lists(st.booleans(), min_size=6, max_size=6), words)
def test_hello_round_trip(
    push: bool, module: str, path: bytes, below: list[bytes], on: list[bool], software: str
) -> None:
    names = ("single_file", "many", "ignore_times", "dry_run", "whole_file", "fsync")
    message = Hello(
        push=push,
        module=module,
        path=path,
        paths=below,
        key=b"" if push else b"k" * 16,
        software=software,
        features=["one", "two"],
        **dict(zip(names, on, strict=True)),
    )
    assert codec.decode_hello(codec.encode_hello(message)) == message


@given(st.booleans(), fingerprints | st.just(b""), words)
def test_welcome_round_trip(single: bool, key: bytes, software: str) -> None:
    message = Welcome(key=key, single_file=single, software=software, max_frame=MAX_FRAME * 2, files_in_flight=3)
    assert codec.decode_welcome(codec.encode_welcome(message)) == message


def test_greetings_ignore_what_a_later_version_adds() -> None:
    fields = msgspec.msgpack.decode(codec.encode_hello(hello()))
    assert codec.decode_hello(pack({**fields, "colour": ["green", {"deep": 1}]})) == hello()


@pytest.mark.parametrize(
    "changes",
    [
        {"key": b"k" * 16},
        {"push": False},
        {"push": False, "key": b"k" * 15},
        {"push": False, "key": b"k" * 17},
        {"offered_key": b"k" * 15},
        {"push": False, "key": b"k" * 16, "offered_key": b"k" * 16},
        {"module": "x" * 256},
        {"module": "a\nb"},
        {"software": "\x1b[2J"},
        {"features": ["f"] * 65},
        {"path": b"x" * (MAX_PATH + 1)},
        {"paths": [b"x"] * 1025},
        {"paths": [b"x" * MAX_PATH] * 64},
        {"max_frame": MAX_FRAME - 1},
        {"files_in_flight": 0},
    ],
)
def test_impossible_greetings(changes: dict[str, Any]) -> None:
    payload = pack(hello(**changes))
    if len(payload) <= MAX_HELLO:
        with pytest.raises(ProtocolError) as caught:
            codec.decode_hello(payload)
        assert str(caught.value).isprintable()
    with pytest.raises(UsageError):
        codec.encode_hello(hello(**changes))


def test_a_module_that_is_not_text() -> None:
    with pytest.raises(UsageError) as caught:
        codec.encode_hello(hello(module="caf\udce9"))
    assert str(caught.value).isprintable()


# -- entries and needs ----------------------------------------------------------------------


@given(st.lists(entries, min_size=1, max_size=20))
def test_entries_round_trip(batch: list[Entry]) -> None:
    decoded = codec.decode_entries(codec.encode_entries(batch))
    assert decoded == batch
    assert all(isinstance(entry.kind, Kind) for entry in decoded)


@pytest.mark.parametrize(
    "entry",
    [
        (b"x" * (MAX_PATH + 1), 0, 0, 0, 0, b""),
        (b"x", 3, 0, 0, 0, b""),
        (b"x", 0, -1, 0, 0, b""),
        (b"x", 0, 1 << 63, 0, 0, b""),
        (b"x", 0, 0, (1 << 62) + 1, 0, b""),
        (b"x", 0, 0, -(1 << 62) - 1, 0, b""),
        (b"x", 0, 0, 0, 0o10000, b""),
        (b"x", 0, 0, 0, -1, b""),
        (b"x", 0, 0, 0, 0, b"target"),
        (b"x", 1, 0, 0, 0, b"target"),
        (b"x", 1, 5, 0, 0, b""),
        (b"x", 2, 0, 0, 0, b""),
        (b"x", 2, 5, 0, 0, b"target"),
        (b"x", 2, 0, 0, 0, b"t" * (MAX_PATH + 1)),
        ("x", 0, 0, 0, 0, b""),
        (b"x", 0, 0.5, 0, 0, b""),
        (b"x", True, 0, 0, 0, b""),
        (b"x", 0, 0, 0),
        5,
    ],
)
def test_impossible_entries(entry: object) -> None:
    with pytest.raises(ProtocolError, match=r"^malformed entries: "):
        codec.decode_entries(pack([entry]))


def test_the_number_of_entries_is_bounded() -> None:
    one = pack((b"", 1, 0, 0, 0, b""))
    assert len(codec.decode_entries(b"\xdd" + struct.pack(">I", MAX_BATCH) + one * MAX_BATCH)) == MAX_BATCH
    with pytest.raises(ProtocolError):
        codec.decode_entries(b"\xdd" + struct.pack(">I", MAX_BATCH + 1) + one * (MAX_BATCH + 1))


def test_entries_of_any_length_fit_in_frames() -> None:
    long = [Entry(b"%05d" % n + b"p" * 4000, Kind.SYMLINK, 0, n, 0o777, b"t" * MAX_PATH) for n in range(ENTRY_BATCH)]
    frames = list(codec.entry_frames(70, long))
    assert len(frames) > 1
    assert all(len(payload) <= MAX_FRAME for _, _, payload in frames)
    expected = 70
    decoded: list[Entry] = []
    for first, count, payload in frames:
        codec.encode_header(FrameType.ENTRIES, file=first, count=count, length=len(payload))
        assert first == expected
        expected += count
        decoded += codec.decode_entries(payload)
    assert decoded == long
    assert len(list(codec.entry_frames(0, [Entry(b"short", Kind.FILE, 1, 2, 3)] * ENTRY_BATCH))) == 1


@given(st.lists(needs, max_size=20))
def test_needs_round_trip(items: list[NeedItem]) -> None:
    assert content.decode_needs(content.encode_needs(items)) == items


@pytest.mark.parametrize(
    "item",
    [
        (NO_FILE, 0, 0, b""),
        (-1, 0, 0, b""),
        (0, 3, 8192, b""),
        (0, 1, 0, b""),
        (0, 1, 8191, b""),
        (0, 1, 1024, b""),
        (0, 1, 1 << 21, b""),
        (0, 1, -8192, b""),
        (0, 0, 5, b""),
        (0, 1, 8192, b"f" * 16),
        (0, 2, 8192, b""),
        (0, 2, 8192, b"f" * 17),
        (0, 4, 8192, b"f" * 16, b"c" * 10),
        (0, 3, 8192, b"f" * 16),
        (0, 3, 8192, b"f" * 16, b""),
        (0, 3, 8192, b"", b"c" * 10),
        (0, 3, 0, b"f" * 16, b"c" * 10),
        (0, 3, 65536, b"f" * 16, b"c" * 10),
        (0, 3, 8192, b"f" * 16, b"c" * 9),
        (0, 3, 2048, b"f" * 16, b"c" * 10 * 258),
        (0, 2, 8192, b"f" * 16, b"c" * 10),
        (0, 1, 8192, b"", b"c" * 10),
    ],
)
def test_impossible_needs(item: object) -> None:
    with pytest.raises(ProtocolError):
        content.decode_needs(pack([item]))


# -- files ----------------------------------------------------------------------------------


@given(st.lists(small_files, min_size=1, max_size=10))
def test_small_files_round_trip(files: list[SmallFile]) -> None:
    assert content.decode_small(content.encode_small(files)) == files


@pytest.mark.parametrize(
    "file",
    [
        (NO_FILE, False, b"f" * 16, b""),
        (0, True, b"f" * 16, b"data"),
        (0, False, b"f" * 15, b""),
        (0, 1, b"f" * 16, b""),
        (0, True, b"f" * 16, b"", b"o" * 24),
        (0, False, b"f" * 16, b"", b"o" * 23),
        (0, False, b"f" * 16, b"", b"o" * 24 * 258),
    ],
)
def test_impossible_small_files(file: object) -> None:
    with pytest.raises(ProtocolError, match=r"^malformed small files: "):
        content.decode_small(pack([file]))


@given(st.lists(indices, max_size=50))
def test_indices_round_trip(done: list[int]) -> None:
    payload = codec.encode_indices(done)
    assert len(payload) == 4 * len(done)
    assert codec.decode_indices(payload) == done


@pytest.mark.parametrize("payload", [b"123", b"\xff" * 4, bytes(4 * MAX_BATCH + 4)])
def test_impossible_indices(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"^malformed list of files"):
        codec.decode_indices(payload)


# -- reports --------------------------------------------------------------------------------


@given(failures)
def test_failed_round_trip(failed: Failed) -> None:
    assert codec.decode_failed(codec.encode_failed(failed)) == failed


@given(st.lists(failures, max_size=5), counters)
def test_finish_round_trip(failed: list[Failed], counter: int) -> None:
    finish = account(failures=failed, bytes_target=counter, status="partial")
    assert codec.decode_finish(codec.encode_finish(finish)) == finish


def test_the_account_is_cut_to_its_bounds() -> None:
    many = codec.decode_finish(codec.encode_finish(account(failures=[Failed(b"p", "c", "m")] * 5000)))
    assert len(many.failures) == MAX_FAILURES
    payload = codec.encode_finish(account(failures=[Failed(b"p" * MAX_PATH, "c", "\u4e2d" * MAX_TEXT)] * 500))
    codec.encode_header(FrameType.FINISH, length=len(payload))
    assert 0 < len(codec.decode_finish(payload).failures) < 500


@pytest.mark.parametrize("changes", [{"files_sent": -1}, {"bytes_copied": 1 << 62}, {"status": "x" * 256}])
def test_impossible_accounts(changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match=r"^malformed account"):
        codec.decode_finish(pack(account(**changes)))


@given(words, words, st.booleans())
def test_error_round_trip(code: str, text: str, retryable: bool) -> None:
    assert codec.decode_error(codec.encode_error(code, text, retryable)) == Error(code, text, retryable)


@given(st.text(st.characters(codec=None), max_size=50) | st.just("x" * 9000) | st.just("\U0001f600" * 9000))
def test_any_text_can_be_reported(text: str) -> None:
    for payload, kind in (
        (codec.encode_error(text, text, True), FrameType.ERROR),
        (codec.encode_failed(Failed(b"p" * MAX_PATH, text, text)), FrameType.FILE_FAILED),
    ):
        codec.encode_header(kind, length=len(payload))
    assert codec.decode_error(codec.encode_error(text, text, True)).text.isprintable()
    assert codec.decode_failed(payload).message.isprintable()


def test_words_of_the_peer_are_safe_to_print() -> None:
    nasty = "a\x1b[2Jb\nc\u202ed"
    assert codec.decode_error(pack(Error(nasty, nasty, False))).text.isprintable()
    assert codec.decode_failed(pack(Failed(b"\n", nasty, nasty))).message.isprintable()
    decoded = codec.decode_finish(pack(account(status=nasty, failures=[Failed(b"\n", nasty, nasty)])))
    assert decoded.status.isprintable()
    assert decoded.failures[0].message.isprintable()


def test_reports_that_are_too_long() -> None:
    with pytest.raises(ProtocolError):
        codec.decode_error(pack(Error("c", "t" * (MAX_TEXT + 1), False)))
    with pytest.raises(ProtocolError):
        codec.decode_failed(pack(Failed(b"p" * (MAX_PATH + 1), "c", "t")))


# -- in general -----------------------------------------------------------------------------


def test_payloads_may_be_any_buffer() -> None:
    payload = codec.encode_error("code", "text", True)
    assert (
        codec.decode_error(bytearray(payload)) == codec.decode_error(memoryview(payload)) == codec.decode_error(payload)
    )
    assert codec.decode_indices(bytearray(codec.encode_indices([1, 2]))) == [1, 2]
    entry = Entry(b"p", Kind.FILE, 1, 2, 3)
    assert codec.decode_entries(memoryview(bytearray(codec.encode_entries([entry])))) == [entry]


def test_bytes_behind_a_message_are_refused() -> None:
    with pytest.raises(ProtocolError, match=r"^malformed error report: "):
        codec.decode_error(codec.encode_error("code", "text", True) + b"\0")


def test_refusals_are_of_the_tree_and_of_one_line() -> None:
    for payload in (
        b"",
        b"\xc1",
        b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        pack("text"),
        b"\x82\xa4code\xa2\xff\xfe",
    ):
        for decode in (codec.decode_hello, codec.decode_entries, codec.decode_error, codec.decode_finish):
            with pytest.raises(ParaSyncError) as caught:
                decode(payload)
            assert type(caught.value) is ProtocolError
            assert str(caught.value).isprintable()
            assert len(str(caught.value)) < 300
