"""Compression follows the link and the data; what comes back is what went in, or is refused."""

from __future__ import annotations

import os
import random
import struct

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from parasync.config import COMPRESS_AUTOMATICALLY, COMPRESS_NOTHING
from parasync.errors import ProtocolError
from parasync.session.compression import LEVELS, MAX_SKIP, PLAIN_BEFORE_TRIAL, LinkRate, Packer, unpack

TEXT = b"".join(b"line %d of a text that compresses well\n" % number for number in range(20_000))
NOISE = random.Random(1).randbytes(len(TEXT))
NEAR, DISTANT = 0.0001, 0.05


def test_a_fast_link_gets_everything_as_it_is() -> None:
    packer = Packer(LinkRate(NEAR), COMPRESS_AUTOMATICALLY)
    assert packer.pack(TEXT) is None


def test_a_distant_link_gets_compressed_data_from_the_first_buffer_on() -> None:
    packer = Packer(LinkRate(DISTANT), COMPRESS_AUTOMATICALLY)
    packed = packer.pack(TEXT)
    assert packed is not None
    assert len(packed) < len(TEXT) / 5
    assert unpack(packed, len(TEXT)) == TEXT


def slow(rate: int) -> LinkRate:
    link = LinkRate(DISTANT)
    for number in range(40):
        link.observe(number * 0.1, rate // 10, 0.1, number * rate // 10, backlog=0)
    return link


def test_the_slower_the_link_the_higher_the_level() -> None:
    def level(rate: int) -> int:
        packed = Packer(slow(rate), COMPRESS_AUTOMATICALLY).pack(TEXT)
        return next(level for level in LEVELS if zstandard.ZstdCompressor(level=level).compress(TEXT) == packed)

    assert [level(rate) for rate in (100_000_000, 5_000_000)] == [1, 6]


def test_a_level_that_is_little_better_is_not_worth_its_time() -> None:
    """Here level 3 is expected to move 11 % more than level 1: less than other stages lose by it."""
    packer = Packer(slow(60_000_000), COMPRESS_AUTOMATICALLY)
    assert packer.pack(TEXT) == zstandard.ZstdCompressor(level=1).compress(TEXT)


def test_a_level_that_is_little_better_is_worth_it_if_the_threads_have_time_for_it() -> None:
    """Ever faster compression of the same data, over the same link: at level 3, too, it then waits for the link."""

    def level(speedup: float) -> int:
        packer = Packer(slow(60_000_000), COMPRESS_AUTOMATICALLY)
        packer._experience = {
            level: one._replace(speed=one.speed * speedup) for level, one in packer._experience.items()
        }
        packed = packer.pack(TEXT)
        return next(level for level in LEVELS if zstandard.ZstdCompressor(level=level).compress(TEXT) == packed)

    assert [level(speedup) for speedup in (1, 4, 16)] == [1, 3, 6]


def test_sends_that_wait_teach_the_rate_and_turn_compression_on() -> None:
    link = LinkRate(NEAR)
    packer = Packer(link, COMPRESS_AUTOMATICALLY)
    for number in range(20):
        link.observe(number * 0.1, 1_000_000, 0.1, number * 1_000_000, backlog=0)
    assert 9e6 < link.rate < 12e6
    assert packer.pack(TEXT) is not None


def test_a_backlog_shows_the_rate_although_no_send_waits() -> None:
    """A large buffer swallows sends at the speed of memory; what leaves it is what the link takes."""
    link = LinkRate(NEAR)
    for number in range(60):
        link.observe(number * 0.02, 1_000_000, 0.0001, number * 200_000, backlog=number * 800_000 + 1)
    assert 9e6 < link.rate < 12e6


def test_sends_that_never_wait_turn_compression_off() -> None:
    link = LinkRate(DISTANT)
    for number in range(200):
        link.observe(number * 0.001, 1_000_000, 0.0001, number * 1_000_000, backlog=0)
    assert Packer(link, COMPRESS_AUTOMATICALLY).pack(TEXT) is None


def test_noise_is_sent_as_it_is_and_seldom_tried() -> None:
    packer = Packer(LinkRate(DISTANT), 3)
    tries = 0
    for _ in range(200):
        before = packer.attempts
        assert packer.pack(NOISE) is None
        tries += packer.attempts - before
    assert tries <= 200 / MAX_SKIP + 6
    while packer.pack(TEXT) is None:
        assert packer.attempts <= tries + 1


def test_after_data_that_compressed_too_little_others_get_their_chance() -> None:
    packer = Packer(LinkRate(DISTANT), COMPRESS_AUTOMATICALLY)
    little = NOISE[: len(NOISE) * 3 // 4] + TEXT[: len(TEXT) // 4]
    for _ in range(100):
        packer.pack(little)
    before = packer.attempts
    for _ in range(90):
        packer.pack(little)
    assert packer.attempts - before == 10
    packed = [packer.pack(TEXT) is not None for _ in range(20)]
    assert True in packed[: PLAIN_BEFORE_TRIAL + 1]
    assert all(packed[packed.index(True) :])


def test_nothing_is_tried_on_a_fast_link() -> None:
    packer = Packer(LinkRate(NEAR), COMPRESS_AUTOMATICALLY)
    for _ in range(10 * PLAIN_BEFORE_TRIAL):
        assert packer.pack(TEXT) is None
    assert packer.attempts == 0


def test_a_level_of_the_users_is_kept_and_none_means_none() -> None:
    assert Packer(LinkRate(NEAR), 5).pack(TEXT) is not None
    assert Packer(LinkRate(DISTANT), COMPRESS_NOTHING).pack(TEXT) is None


@given(st.binary(min_size=1, max_size=5000), st.sampled_from([1, 3, 9, 19]))
def test_round_trip(data: bytes, level: int) -> None:
    packed = Packer(LinkRate(NEAR), level).pack(data)
    assert packed is None or unpack(packed, len(data)) == data


def test_a_bomb_is_refused_before_it_grows() -> None:
    with pytest.raises(ProtocolError, match="at most 1000"):
        unpack(zstandard.ZstdCompressor().compress(bytes(10_000_000)), 1000)
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(500))
    with pytest.raises(ProtocolError):
        unpack(unsized, 1000)
    lying = bytearray(zstandard.ZstdCompressor().compress(bytes(10_000_000)))
    struct.pack_into("<I", lying, 5, 900)
    with pytest.raises(ProtocolError):
        unpack(bytes(lying), 1000)


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack(data, 1 << 20)


def test_threads_that_compress_count_as_far_as_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    link = LinkRate(0.05)
    assert link.packers == 1
    with link.packing(), link.packing():
        assert link.packers == 2
        with link.packing():
            assert link.packers == 2
    assert link.packers == 1
