"""The transition table: what may follow what, on both sides, in both directions."""

from __future__ import annotations

import itertools

import pytest

from parasync.errors import ProtocolError
from parasync.wire.messages import FrameType
from parasync.wire.state import ProtocolState, Role

T = FrameType
CONTENT = (T.SMALL, T.CHUNKS, T.WEAK, T.COPIES, T.LITERAL, T.FILE_END, T.FILE_FAILED, T.LANE_LOST)
ANSWERS = (T.NEEDS, T.WANTS, T.TOKENS, T.FILES_DONE, T.FILE_FAILED, T.LANE_LOST)

# (does the client send it?, frame) with the client as the sender of files
PUSH = [
    (True, T.HELLO),
    (True, T.ENTRIES),
    (False, T.WELCOME),
    (True, T.FILE_FAILED),
    (False, T.NEEDS),
    (True, T.SMALL),
    (True, T.CHUNKS),
    (False, T.KEEPALIVE),
    (True, T.ENTRIES),
    (True, T.ENTRIES_END),
    (True, T.KEEPALIVE),
    (False, T.WANTS),
    (False, T.FILES_DONE),
    (True, T.FILE_END),
    (True, T.LITERAL),
    (False, T.FILE_FAILED),
    (False, T.NEEDS),
    (True, T.LITERAL),
    (True, T.FILE_END),
    (False, T.FILES_DONE),
    (False, T.FINISH),
    (True, T.KEEPALIVE),
    (False, T.KEEPALIVE),
    (True, T.BYE),
]
PULL = [
    (True, T.HELLO),
    (False, T.WELCOME),
    (False, T.ENTRIES),
    (True, T.NEEDS),
    *[(not client, kind) for client, kind in PUSH[3:] if kind is not T.WELCOME],
]


def sides(client_role: Role) -> tuple[ProtocolState, ProtocolState]:
    return (
        ProtocolState(client_role, client=True),
        ProtocolState("receiver" if client_role == "sender" else "sender", client=False),
    )


def deliver(client: ProtocolState, server: ProtocolState, from_client: bool, kind: FrameType) -> None:
    """One frame, checked by who sends it and by who receives it: they must agree."""
    source, target = (client, server) if from_client else (server, client)
    source.on_send(kind)
    target.on_receive(kind)


@pytest.mark.parametrize(("role", "session"), [("sender", PUSH), ("receiver", PULL)], ids=["push", "pull"])
def test_a_whole_session(role: Role, session: list[tuple[bool, FrameType]]) -> None:
    client, server = sides(role)
    for from_client, kind in session:
        deliver(client, server, from_client, kind)


@pytest.mark.parametrize(("role", "session"), [("sender", PUSH), ("receiver", PULL)], ids=["push", "pull"])
def test_an_error_may_come_at_any_time_and_is_the_last_word(role: Role, session: list[tuple[bool, FrameType]]) -> None:
    for cut, from_client in itertools.product(range(len(session) - 1), (True, False)):
        client, server = sides(role)
        for step in session[:cut]:
            deliver(client, server, *step)
        deliver(client, server, from_client, T.ERROR)
        for kind in FrameType:
            with pytest.raises(ProtocolError, match="after the end"):
                (client if from_client else server).on_send(kind)


@pytest.mark.parametrize("role", ["sender", "receiver"])
@pytest.mark.parametrize("client", [True, False])
def test_a_greeting_comes_first(role: Role, client: bool) -> None:
    greeting = T.HELLO if client else T.WELCOME
    for kind in FrameType:
        state = ProtocolState(role, client)
        if kind in (greeting, T.ERROR) or (client and kind is T.JOIN):
            continue
        with pytest.raises(ProtocolError, match="not allowed before the greeting"):
            state.on_send(kind)


def test_the_server_answers_and_does_not_begin() -> None:
    with pytest.raises(ProtocolError, match="not allowed before HELLO"):
        ProtocolState("sender", client=False).on_send(T.WELCOME)
    with pytest.raises(ProtocolError, match="the peer sent a WELCOME frame, which is not allowed before HELLO"):
        ProtocolState("sender", client=True).on_receive(T.WELCOME)


@pytest.mark.parametrize("role", ["sender", "receiver"])
def test_one_greeting_each(role: Role) -> None:
    client, server = sides(role)
    deliver(client, server, True, T.HELLO)
    deliver(client, server, False, T.WELCOME)
    for kind, (source, target) in itertools.product((T.HELLO, T.WELCOME), ((client, server), (server, client))):
        with pytest.raises(ProtocolError):
            source.on_send(kind)
        with pytest.raises(ProtocolError):
            target.on_receive(kind)


@pytest.mark.parametrize("role", ["sender", "receiver"])
def test_each_role_keeps_to_its_frames(role: Role) -> None:
    client, server = sides(role)
    deliver(client, server, True, T.HELLO)
    deliver(client, server, False, T.WELCOME)
    sender, receiver = (client, server) if role == "sender" else (server, client)
    deliver(sender, receiver, True, T.ENTRIES)
    deliver(sender, receiver, True, T.CHUNKS)
    for kind in set(FrameType) - {*CONTENT, T.ENTRIES, T.ENTRIES_END, T.KEEPALIVE, T.ERROR}:
        with pytest.raises(ProtocolError, match="this side would send"):
            sender.on_send(kind)
        with pytest.raises(ProtocolError, match="the peer sent"):
            receiver.on_receive(kind)
    for kind in set(FrameType) - {*ANSWERS, T.TRACE, T.KEEPALIVE, T.ERROR}:
        with pytest.raises(ProtocolError):
            receiver.on_send(kind)
        with pytest.raises(ProtocolError):
            sender.on_receive(kind)


def listed() -> tuple[ProtocolState, ProtocolState]:
    """Sender (the client) and receiver, after the last entry."""
    sender, receiver = sides("sender")
    for from_client, kind in ((True, T.HELLO), (False, T.WELCOME), (True, T.ENTRIES), (True, T.ENTRIES_END)):
        deliver(sender, receiver, from_client, kind)
    return sender, receiver


@pytest.mark.parametrize("kind", [T.ENTRIES, T.ENTRIES_END])
def test_no_entry_after_the_last(kind: FrameType) -> None:
    sender, receiver = listed()
    with pytest.raises(ProtocolError, match="not allowed after the last entry"):
        sender.on_send(kind)
    with pytest.raises(ProtocolError, match="not allowed after the last entry"):
        receiver.on_receive(kind)


@pytest.mark.parametrize(
    ("kind", "needed", "so_far"),
    [
        (T.NEEDS, T.ENTRIES, ()),
        (T.WANTS, T.CHUNKS, (T.ENTRIES,)),
        (T.TOKENS, T.WEAK, (T.ENTRIES,)),
        (T.FINISH, T.ENTRIES_END, (T.ENTRIES,)),
    ],
)
def test_answers_follow_their_questions(kind: FrameType, needed: FrameType, so_far: tuple[FrameType, ...]) -> None:
    sender, receiver = sides("sender")
    deliver(sender, receiver, True, T.HELLO)
    deliver(sender, receiver, False, T.WELCOME)
    for earlier in so_far:
        deliver(sender, receiver, True, earlier)
    with pytest.raises(ProtocolError, match=f"not allowed before {needed.name}"):
        receiver.on_send(kind)
    with pytest.raises(ProtocolError, match=f"not allowed before {needed.name}"):
        sender.on_receive(kind)
    deliver(sender, receiver, True, needed)
    deliver(sender, receiver, False, kind)


def test_bye_only_after_finish() -> None:
    sender, receiver = listed()
    with pytest.raises(ProtocolError, match="not allowed before FINISH"):
        sender.on_send(T.BYE)
    with pytest.raises(ProtocolError, match="not allowed before FINISH"):
        receiver.on_receive(T.BYE)
    deliver(sender, receiver, False, T.FINISH)
    deliver(sender, receiver, True, T.BYE)


def test_the_receiver_is_silent_after_finish() -> None:
    sender, receiver = listed()
    deliver(sender, receiver, False, T.FINISH)
    for kind in (*ANSWERS, T.FINISH):
        with pytest.raises(ProtocolError, match="not allowed after FINISH"):
            receiver.on_send(kind)
        with pytest.raises(ProtocolError, match="not allowed after FINISH"):
            sender.on_receive(kind)


def test_content_may_cross_finish() -> None:
    """The receiver gives a file up while its content is on the way: that content arrives after FINISH left."""
    sender, receiver = listed()
    deliver(sender, receiver, True, T.WEAK)
    deliver(sender, receiver, False, T.TOKENS)
    receiver.on_send(T.FINISH)
    for kind in CONTENT:
        deliver(sender, receiver, True, kind)
    sender.on_receive(T.FINISH)
    deliver(sender, receiver, True, T.BYE)


def test_nothing_after_bye() -> None:
    sender, receiver = listed()
    deliver(sender, receiver, False, T.FINISH)
    deliver(sender, receiver, True, T.BYE)
    for kind in FrameType:
        with pytest.raises(ProtocolError, match="after the end"):
            sender.on_send(kind)
        with pytest.raises(ProtocolError, match="after the end"):
            receiver.on_receive(kind)


def test_a_refused_frame_changes_nothing() -> None:
    sender, receiver = listed()
    for kind in (T.BYE, T.HELLO, T.NEEDS):
        with pytest.raises(ProtocolError):
            sender.on_send(kind)
    deliver(sender, receiver, True, T.LITERAL)
    deliver(sender, receiver, False, T.FINISH)


def test_entries_may_precede_the_welcome() -> None:
    client, server = sides("sender")
    for kind in (T.HELLO, T.ENTRIES, T.FILE_FAILED, T.ENTRIES_END):
        deliver(client, server, True, kind)
    deliver(client, server, False, T.WELCOME)
    deliver(client, server, False, T.NEEDS)


def test_an_empty_tree() -> None:
    client, server = sides("sender")
    deliver(client, server, True, T.HELLO)
    deliver(client, server, True, T.ENTRIES_END)
    deliver(client, server, False, T.WELCOME)
    deliver(client, server, False, T.FINISH)
    deliver(client, server, True, T.BYE)
