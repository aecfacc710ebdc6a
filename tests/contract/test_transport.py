"""What `transport.stream.Stream` promises, checked for every transport."""

from __future__ import annotations

import array
import random
import signal
import time
from collections.abc import Iterator

import pytest
from streams import HANG, MIB, Pair, Task, child_pair, pipe_pair, receive, stalled, standard_socket_pair, tcp_pair

from parasync.errors import ConnectionLostError, DeadlineError
from parasync.transport import ssh
from parasync.transport.memory import CAPACITY, COPY_LIMIT, memory_pair

PAIRS = {
    "memory": memory_pair,
    "tcp": tcp_pair,
    "pipe": pipe_pair,
    "socket": standard_socket_pair,
    "child": child_pair,
}


@pytest.fixture(params=PAIRS.values(), ids=PAIRS.keys())
def pair(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setattr(ssh, "EXIT_SECONDS", 1.0)
    left, right = request.param()
    yield left, right
    for stream in (left, right):
        stream.abort()
    for stream in (left, right):
        stream.close()


# -- bytes ----------------------------------------------------------------------------------


def test_order_is_kept_whatever_the_sizes(pair: Pair) -> None:
    left, right = pair
    rng = random.Random(1)
    messages = [rng.randbytes(rng.choice((0, 1, 15, 1000, 16 * 1024, 70_000, 400_000))) for _ in range(200)]
    sending = Task(lambda: [left.send(*messages[i : i + 3]) for i in range(0, 200, 3)])
    whole = b"".join(messages)
    got = bytearray()
    while len(got) < len(whole):
        got += receive(right, min(rng.choice((1, 16, 5000, 100_000)), len(whole) - len(got)))
    sending.result()
    assert got == whole


def test_every_kind_of_buffer(pair: Pair) -> None:
    left, right = pair
    numbers = array.array("Q", [1, 2, 3])
    left.send(b"bytes", bytearray(b"array"), memoryview(b"..view..")[2:6], b"", numbers)
    left.send()
    left.send(b"", b"")
    assert receive(right, 14) == b"bytesarrayview"
    words = array.array("Q", [0, 0, 0])
    right.receive_into(memoryview(words))
    assert words == numbers


def test_an_empty_view_is_full(pair: Pair) -> None:
    left, right = pair
    right.receive_into(memoryview(bytearray()))
    left.close_sending()
    right.receive_into(memoryview(bytearray()))
    assert right.bytes_received == 0


def test_one_big_buffer(pair: Pair) -> None:
    left, right = pair
    data = random.Random(2).randbytes(24 * MIB)
    sending = Task(left.send, data)
    assert receive(right, len(data)) == data
    sending.result()


def test_more_buffers_than_one_call_takes(pair: Pair) -> None:
    left, right = pair
    rng = random.Random(3)
    buffers = [rng.randbytes(rng.choice((0, 1, 2, 3000))) for _ in range(6000)]
    sending = Task(left.send, *buffers)
    whole = b"".join(buffers)
    assert receive(right, len(whole)) == whole
    sending.result()


def test_a_sent_buffer_may_be_reused(pair: Pair) -> None:
    left, right = pair
    sizes = [1, 100, 20_000, 3 * MIB, 7, 500_000]

    def send() -> None:
        buffer = bytearray(max(sizes))
        for number, size in enumerate(sizes, 1):
            view = memoryview(buffer)[:size]
            view[:] = bytes([number]) * size
            left.send(view)

    sending = Task(send)
    for number, size in enumerate(sizes, 1):
        assert receive(right, size) == bytes([number]) * size
    sending.result()


def test_both_sides_may_talk_before_they_listen(pair: Pair) -> None:
    left, right = pair
    left.send(b"l" * 12, b"L" * 3000)
    right.send(b"r" * 12, b"R" * 3000)
    assert receive(left, 3012) == b"r" * 12 + b"R" * 3000
    assert receive(right, 3012) == b"l" * 12 + b"L" * 3000


def test_both_directions_at_once(pair: Pair) -> None:
    data = random.Random(4).randbytes(6 * MIB)
    sending = [Task(stream.send, data) for stream in pair]
    receiving = [Task(receive, stream, len(data)) for stream in pair]
    assert [task.result() for task in receiving] == [data, data]
    for task in sending:
        task.result()


def test_senders_do_not_interleave(pair: Pair) -> None:
    left, right = pair
    threads, messages = 6, 60

    def send(number: int) -> None:
        rng = random.Random(number)
        for _ in range(messages):
            size = rng.choice((0, 10, 5000, 90_000))
            left.send(bytes([number]), size.to_bytes(4, "little"), bytes([number]) * size)

    tasks = [Task(send, number) for number in range(threads)]
    seen = [0] * threads
    for _ in range(threads * messages):
        number, *size = receive(right, 5)
        length = int.from_bytes(bytes(size), "little")
        assert receive(right, length) == bytes([number]) * length
        seen[number] += 1
    assert seen == [messages] * threads
    for task in tasks:
        task.result()


def test_counters(pair: Pair) -> None:
    left, right = pair
    sending = Task(lambda: [left.send(b"x" * 10, b"y" * 300_000), left.send(b"z")])
    receive(right, 300_011)
    sending.result()
    assert (left.bytes_sent, left.bytes_received) == (300_011, 0)
    assert (right.bytes_sent, right.bytes_received) == (0, 300_011)


def test_the_peer_has_a_name(pair: Pair) -> None:
    left, right = pair
    assert left.name and left.name.isprintable()
    assert right.name and right.name.isprintable()


# -- ends -----------------------------------------------------------------------------------


def test_half_close(pair: Pair) -> None:
    left, right = pair
    left.send(b"last words")
    left.close_sending()
    left.close_sending()
    assert receive(right, 10) == b"last words"
    with pytest.raises(EOFError):
        receive(right, 1)
    with pytest.raises(EOFError):
        receive(right, 1)
    right.send(b"answer")
    assert receive(left, 6) == b"answer"
    with pytest.raises(ConnectionLostError):
        left.send(b"more")


def test_half_close_wakes_the_receiver(pair: Pair) -> None:
    left, right = pair
    waiting = Task(receive, right, 1)
    assert stalled(waiting)
    left.close_sending()
    with pytest.raises(EOFError):
        waiting.result()


def test_an_end_in_the_middle_is_a_loss(pair: Pair) -> None:
    left, right = pair
    left.send(b"12345")
    left.close_sending()
    with pytest.raises(ConnectionLostError):
        receive(right, 6)


def test_close_delivers_what_was_sent(pair: Pair) -> None:
    left, right = pair
    left.send(b"a" * 10_000)
    left.close()
    left.close()
    assert receive(right, 10_000) == b"a" * 10_000
    with pytest.raises(EOFError):
        receive(right, 1)


def test_a_closed_stream_is_of_no_use_here(pair: Pair) -> None:
    left, _ = pair
    left.close()
    with pytest.raises(ConnectionLostError):
        left.send(b"x")
    with pytest.raises(ConnectionLostError):
        receive(left, 1)
    left.close_sending()
    left.abort()


def test_sending_to_a_closed_peer_fails(pair: Pair) -> None:
    left, right = pair
    right.close()
    with pytest.raises(ConnectionLostError):
        for _ in range(1000):
            left.send(b"x" * 100_000)


def test_close_wakes_own_calls(pair: Pair) -> None:
    left, _ = pair
    waiting = [Task(receive, left, 1), Task(left.send, bytes(64 * MIB))]
    assert all(stalled(task) for task in waiting)
    left.close()
    for task in waiting:
        with pytest.raises(ConnectionLostError):
            task.result()


@pytest.mark.parametrize("who", [0, 1])
@pytest.mark.parametrize("call", ["receive", "send"])
def test_abort_wakes_both_ends(pair: Pair, call: str, who: int) -> None:
    waiting = [Task(receive, one, 1) if call == "receive" else Task(one.send, bytes(64 * MIB)) for one in pair]
    assert all(stalled(task) for task in waiting)
    pair[who].abort()
    for task in waiting:
        with pytest.raises((ConnectionLostError, EOFError)):
            task.result()


def test_after_an_abort_everything_fails(pair: Pair) -> None:
    left, right = pair
    tasks = [Task(stream.abort) for stream in (left, left, left, right)]
    for task in tasks:
        task.result()
    left.abort()
    for stream in pair:
        with pytest.raises((ConnectionLostError, EOFError)):
            receive(stream, 1)
        with pytest.raises(ConnectionLostError):
            stream.send(b"x")
        stream.close_sending()
        stream.close()


def test_a_signal_handler_may_abort(pair: Pair) -> None:
    left, _ = pair
    before = signal.signal(signal.SIGALRM, lambda *_: left.abort())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(ConnectionLostError):
            receive(left, 1)
        left.close()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_messages_name_the_peer(pair: Pair) -> None:
    left, _ = pair
    left.abort()
    with pytest.raises(ConnectionLostError, match=left.name.replace(".", r"\.")) as caught:
        left.send(b"x")
    assert "\n" not in str(caught.value)


# -- deadlines ------------------------------------------------------------------------------


def test_a_silent_peer_meets_the_deadline(pair: Pair) -> None:
    left, right = pair
    left.idle_timeout = 0.05
    with pytest.raises(DeadlineError, match=r"sent nothing for 0\.05 seconds"):
        receive(left, 10)
    right.send(b"abc")
    with pytest.raises(DeadlineError):
        receive(left, 10)


def test_a_peer_that_takes_nothing_meets_the_deadline(pair: Pair) -> None:
    left, right = pair
    left.idle_timeout = 0.05
    with pytest.raises(DeadlineError, match=r"took no data for 0\.05 seconds"):
        left.send(bytes(64 * MIB))
    with pytest.raises(ConnectionLostError):
        left.send(b"a frame in the middle of another")
    left.abort()
    with pytest.raises((ConnectionLostError, EOFError)):
        receive(right, 64 * MIB)


def test_a_slow_peer_does_not_meet_the_deadline(pair: Pair) -> None:
    left, right = pair
    left.idle_timeout = 1.0

    def trickle() -> None:
        for _ in range(6):
            time.sleep(0.25)
            right.send(b"x")

    trickling = Task(trickle)
    assert receive(left, 6) == b"x" * 6
    trickling.result()


def test_a_slow_receiver_does_not_meet_the_deadline(pair: Pair) -> None:
    left, right = pair
    left.idle_timeout = 1.0
    data = bytes(40 * MIB)

    def sip() -> int:
        for _ in range(5):
            time.sleep(0.25)
            receive(right, 8 * MIB)
        return right.bytes_received

    sipping = Task(sip)
    left.send(data)
    assert sipping.result() == len(data)


def test_the_deadline_can_change(pair: Pair) -> None:
    left, right = pair
    left.idle_timeout = 0.05
    with pytest.raises(DeadlineError):
        receive(left, 1)
    left.idle_timeout = HANG
    assert left.idle_timeout == HANG
    waiting = Task(receive, left, 1)
    assert stalled(waiting)
    right.send(b"x")
    assert waiting.result() == b"x"


# -- memory only ----------------------------------------------------------------------------


def test_memory_is_bounded() -> None:
    left, right = memory_pair()

    def send() -> None:
        for _ in range(10_000):
            left.send(bytes(1000))

    sending = Task(send)
    assert stalled(sending)
    assert left.bytes_sent <= CAPACITY + COPY_LIMIT
    right.abort()
    with pytest.raises(ConnectionLostError):
        sending.result()
