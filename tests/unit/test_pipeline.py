"""Structured concurrency: the first error wins, everything wakes, nothing outlives its scope."""

from __future__ import annotations

import ctypes
import mmap
import signal
import threading
import time

import pytest

from parasync.pipeline import Cancelled, Channel, Scope, Window, page_buffer


def test_items_come_out_in_order_and_the_end_is_explicit() -> None:
    with Scope("test") as scope:
        channel: Channel[int] = Channel(scope, 3)
        got: list[int] = []
        scope.spawn(lambda: got.extend(channel))
        for number in range(100):
            channel.put(number)
        channel.close()
    assert got == list(range(100))


def test_what_is_offered_to_a_closed_channel_is_dropped() -> None:
    with Scope("test") as scope:
        channel: Channel[int] = Channel(scope, 1)
        channel.put(1)
        channel.offer(2)  # a full one takes it
        channel.close()
        channel.offer(3)
        assert list(channel) == [1, 2]


def test_a_full_channel_waits_by_weight_but_lets_one_heavy_item_pass() -> None:
    with Scope("test") as scope:
        channel: Channel[str] = Channel(scope, 10)
        channel.put("heavy", 50)
        put = threading.Event()

        def second() -> None:
            channel.put("light", 1)
            put.set()

        scope.spawn(second)
        assert not put.wait(0.05)
        assert channel.get() == "heavy"
        assert put.wait(5)


def test_a_closed_channel_refuses_items_and_ends_for_every_reader() -> None:
    with Scope("test") as scope:
        channel: Channel[int] = Channel(scope, 3)
        channel.close()
        channel.close()
        with pytest.raises(ValueError, match="closed"):
            channel.put(1)
        for _ in range(2):
            with pytest.raises(EOFError):
                channel.get()


def test_the_first_error_cancels_all_and_is_the_one_raised() -> None:
    ended: list[str] = []
    heard: list[BaseException] = []

    def wait_for(name: str, action: object) -> None:
        try:
            action()  # type: ignore[operator]
        except Cancelled:
            ended.append(name)
            raise

    with pytest.raises(ZeroDivisionError), Scope("test", heard.append) as scope:
        empty: Channel[int] = Channel(scope, 1)
        full: Channel[int] = Channel(scope, 1)
        full.put(1)
        window = Window(scope, 0)
        scope.spawn(wait_for, "get", empty.get)
        scope.spawn(wait_for, "put", lambda: full.put(2))
        scope.spawn(wait_for, "acquire", window.acquire)
        scope.spawn(lambda: 1 // 0)
    assert sorted(ended) == ["acquire", "get", "put"]
    assert [type(error) for error in heard] == [ZeroDivisionError]


def test_an_error_in_the_block_cancels_the_threads() -> None:
    with pytest.raises(KeyError), Scope("test") as scope:
        channel: Channel[int] = Channel(scope, 1)
        scope.spawn(channel.get)
        raise KeyError


def test_the_error_is_heard_before_anything_is_cancelled() -> None:
    states: list[bool] = []
    scope = Scope("test", lambda error: states.append(scope.cancelled))
    with pytest.raises(ValueError), scope:
        raise ValueError
    assert states == [False]
    assert scope.cancelled


def test_callbacks_run_once_and_at_once_when_it_is_too_late() -> None:
    calls: list[int] = []
    with Scope("test") as scope:
        scope.on_cancel(lambda: calls.append(1))
        scope.cancel()
        scope.cancel()
        scope.on_cancel(lambda: calls.append(2))
        with pytest.raises(Cancelled):
            scope.check()
    assert calls == [1, 2]


def test_threads_that_start_threads_are_waited_for() -> None:
    done: list[int] = []
    with Scope("test") as scope:
        scope.spawn(lambda: scope.spawn(lambda: done.append(1)))
    assert done == [1]


def test_a_signal_that_does_not_end_the_wait_is_heard_all_the_same() -> None:
    """The kernel may hand a signal to any thread: then nothing wakes the main thread, which has to run the handler."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), Scope("test") as scope:
            empty: Channel[int] = Channel(scope, 1)
            scope.spawn(empty.get)

            def signalled() -> None:
                time.sleep(0.2)  # until the main thread waits
                signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

            scope.spawn(signalled)
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("comes_up", [False, True])
def test_an_interrupt_while_a_thread_is_started_ends_the_scope(comes_up: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if comes_up:
            start(thread)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Scope("test") as scope:
        empty: Channel[int] = Channel(scope, 1)
        monkeypatch.setattr(threading.Thread, "start", interrupted)
        scope.spawn(empty.get)


def test_a_window_bounds_what_is_out() -> None:
    out, most = 0, 0
    lock = threading.Lock()
    with Scope("test") as scope:
        window = Window(scope, 3)

        def work() -> None:
            nonlocal out, most
            for _ in range(200):
                window.acquire()
                with lock:
                    out += 1
                    most = max(most, out)
                with lock:
                    out -= 1
                window.release()

        for _ in range(8):
            scope.spawn(work)
    assert most <= 3


def test_a_page_buffer_begins_with_a_page() -> None:
    buffer = page_buffer(3 * mmap.PAGESIZE + 5)
    assert len(buffer) == 3 * mmap.PAGESIZE + 5
    assert ctypes.addressof(ctypes.c_char.from_buffer(buffer)) % mmap.PAGESIZE == 0
