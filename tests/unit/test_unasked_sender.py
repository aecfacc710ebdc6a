"""The sender of unasked chunks, when the answer to the entry is quicker than its own thread."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from parasync.kernels import ChunkTable
from parasync.model import Need
from parasync.options import Options
from parasync.pipeline import Scope
from parasync.session.ahead import TARGET, Ahead
from parasync.session.connection import Connection
from parasync.session.outgoing import Needed, Offered, OutgoingFile
from parasync.session.unasked import UnaskedSender
from parasync.transport.memory import memory_pair
from parasync.tree.scan import open_source, scan
from parasync.wire.messages import NeedItem
from parasync.wire.state import ProtocolState

DATA = random.Random(1).randbytes(3_000_000)
DELTA = NeedItem(0, Need.DELTA, 8192)


@pytest.fixture
def offered(tmp_path: Path) -> Iterator[Offered]:
    (tmp_path / "file").write_bytes(DATA)
    source = open_source(os.fsencode(tmp_path / "file"), None)
    (entry,) = scan(source)
    yield Offered(source, entry)  # type: ignore[arg-type]
    source.root.close()


@pytest.fixture
def ahead(offered: Offered) -> Iterator[Ahead]:
    with Ahead(bytes(16)) as begun:
        begun.begin(offered.source.root, offered.source.name, TARGET, Options())
        yield begun


@pytest.mark.parametrize("announced", [False, True])
def test_what_was_begun_is_gone_on_with_whoever_comes_first(offered: Offered, ahead: Ahead, announced: bool) -> None:
    near, _ = memory_pair()
    sent: list[tuple[int, int, bool]] = []
    with Scope("test", str) as scope:
        sender = UnaskedSender(scope, Connection(near, ProtocolState("sender", client=False)), ahead, Options())
        sender._room = 0  # the connection of this test has not greeted anybody
        if announced:
            sender.begin(offered)
        file = sender.accept(Needed(0, offered, DELTA))
        assert file is not None
        assert ahead.average == 0, "it was taken"
        sender.begin(offered)

        def send(file: OutgoingFile, table: ChunkTable, first: int, count: int, last: bool) -> None:
            sent.append((first, count, last))
            if last:
                sender.close()

        sender.go_on(file, send, lambda file, error: None)
    assert sum(count for _, count, _ in sent) == len(file.table or ())
    assert [last for _, _, last in sent][-1]
    assert file.table is not None
    assert file.table.end == len(DATA)
    file.close()


@pytest.mark.parametrize(
    "item", [NeedItem(0, Need.DELTA, 4096), NeedItem(0, Need.WHOLE, 0), NeedItem(1, Need.DELTA, 8192)]
)
@pytest.mark.parametrize("announced", [False, True])
def test_what_is_needed_otherwise_is_given_up(offered: Offered, ahead: Ahead, item: NeedItem, announced: bool) -> None:
    near, _ = memory_pair()
    with Scope("test", str) as scope:
        sender = UnaskedSender(scope, Connection(near, ProtocolState("sender", client=False)), ahead, Options())
        sender._room = 0
        if announced:
            sender.begin(offered)
        assert sender.accept(Needed(item.index, offered, item)) is None
        sender.begin(offered)
        assert sender.accept(Needed(0, offered, DELTA)) is None
        sender.close()
