"""Datasets made here from a seed: text, a database and its dump, and files for the edges of delta transfer."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.lab.builder import MIB, PYTHON_TREES, Builder
from benchmarks.lab.system import require
from benchmarks.noise import random_bytes

TEXT_SUFFIXES = (".md", ".rst", ".py", ".yml", ".yaml", ".txt", ".html", ".po")
SHORTEST, LONGEST = 60, 1500
SCHEMA = """
create table contact(id integer primary key, name text, phone text, seen int);
create table message(id integer primary key, chat int, sender int, ts int, status int, body text, media blob);
create index m_chat on message(chat, ts);
create index m_sender on message(sender);
"""
PRAGMAS = "pragma journal_mode=off; pragma synchronous=off; pragma cache_size=-400000;"
CONTACTS = 5000


def paragraphs(builder: Builder) -> list[str]:
    """Real paragraphs out of a release's documentation and code, in a fixed random order."""
    path = builder.cache / f"paras-{builder.size}.json"
    if path.exists():
        kept: list[str] = json.loads(path.read_text())
        return kept
    found: list[str] = []
    with zipfile.ZipFile(builder.wheel(PYTHON_TREES[builder.size][0])) as wheel:
        for name in sorted(wheel.namelist()):
            if name.endswith(TEXT_SUFFIXES):
                parts = re.split(r"\n\s*\n", wheel.read(name).decode("utf-8", "replace"))
                found += [part for part in parts if SHORTEST < len(part) < LONGEST]
    random.Random(3).shuffle(found)
    wanted = (120 if builder.medium else 20) * MIB
    kept, total = [], 0
    for one in found:
        kept.append(one)
        total += len(one)
        if total > wanted:
            break
    path.write_text(json.dumps(kept))
    return kept


def text(builder: Builder) -> dict[str, str]:
    """JSON lines; about 0.4 % of them edited, inserted or deleted, partly in clusters."""
    place, material = builder.fresh("text"), paragraphs(builder)
    wanted = (400 if builder.medium else 40) * MIB
    chance = random.Random(11)
    done = number = 0
    with (place / "old").open("w", encoding="utf-8") as old, (place / "new").open("w", encoding="utf-8") as new:
        while done < wanted:
            record = _line(material, number)
            line = _json_line(record)
            done += len(line.encode())
            old.write(line)
            new.writelines(_changed(line, record, number, material, chance))
            number += 1
    how = f"JSON lines of real text from {PYTHON_TREES[builder.size][0]}, {number} lines"
    return {"text": f"{how}; about 0.4 % of the lines edited, inserted or deleted, partly clustered (seed 11)"}


def _json_line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _line(material: list[str], number: int) -> dict[str, Any]:
    count = 1 + (number * 2654435761 >> 7) % 3
    body = [material[(number * 7919 + part * 104729) % len(material)] for part in range(count)]
    return {"id": number, "time": 1500000000 + number * 37, "title": body[0][:40], "text": "\n\n".join(body)}


def _changed(
    line: str, record: dict[str, Any], number: int, material: list[str], chance: random.Random
) -> Iterator[str]:
    """What the new version has for this line: itself, an edit of it, itself and one more, or nothing."""
    cluster = (number // 400) % 97 == 5
    likely = 0.08 if cluster else 0.003
    dice = chance.random()
    if dice < likely * 0.5:
        words = record["text"].split(" ")
        words[chance.randrange(len(words))] = f"edited{chance.randrange(10**6)}"
        yield _json_line({**record, "text": " ".join(words)})
    elif dice < likely * 0.75:
        yield line
        yield _json_line({**record, "id": 10**9 + number, "text": material[chance.randrange(len(material))]})
    elif dice >= likely:
        yield line


def database(builder: Builder) -> dict[str, str]:
    """A chat database in SQLite, before and after more messages, status changes, edits and deletions."""
    place, material = builder.fresh("db"), paragraphs(builder)
    messages = 900_000 if builder.medium else 90_000
    chance = random.Random(5)
    with closing(sqlite3.connect(place / "old")) as connection:
        connection.executescript(f"pragma page_size=4096; {PRAGMAS} {SCHEMA}")
        contacts = ((one, f"user {one}", f"+{chance.randrange(10**12):012d}", 0) for one in range(CONTACTS))
        connection.executemany("insert into contact values(?,?,?,?)", contacts)
        _insert(connection, range(messages), material, chance)
        connection.commit()
    shutil.copy(place / "old", place / "new")
    with closing(sqlite3.connect(place / "new")) as connection:
        connection.executescript(PRAGMAS)
        _change(connection, messages, material, random.Random(6))
        connection.commit()
    how = "new: 2 % more messages, 0.5 % status changes (recent), 0.05 % edited, some deleted (seeds 5, 6)"
    return {"db": f"SQLite chat database, {messages} messages; {how}"}


def _insert(connection: sqlite3.Connection, numbers: range, material: list[str], chance: random.Random) -> None:
    def message(number: int) -> tuple[object, ...]:
        return (
            number,
            min(int(chance.expovariate(0.01)), CONTACTS - 1),
            chance.randrange(CONTACTS),
            1600000000 + number * 13,
            chance.randrange(3),
            material[chance.randrange(len(material))][: chance.randrange(20, 500)],
            chance.randbytes(chance.randrange(200, 3000)) if chance.random() < 0.03 else None,
        )

    connection.executemany("insert into message values(?,?,?,?,?,?,?)", map(message, numbers))


def _change(connection: sqlite3.Connection, messages: int, material: list[str], chance: random.Random) -> None:
    _insert(connection, range(messages, messages + messages // 50), material, chance)
    recent = ((messages - 1 - int(chance.expovariate(1 / (messages / 40))),) for _ in range(messages // 200))
    connection.executemany("update message set status=3 where id=?", recent)
    edits = (
        (material[chance.randrange(len(material))][:300], chance.randrange(messages)) for _ in range(messages // 2000)
    )
    connection.executemany("update message set body=? where id=?", edits)
    low = chance.randrange(messages // 2)
    connection.execute("delete from message where id between ? and ? and chat=?", (low, low + messages // 20, 7))
    deleted = ((chance.randrange(messages),) for _ in range(messages // 2000))
    connection.executemany("delete from message where id=?", deleted)
    seen = ((1600000000 + chance.randrange(10**6), chance.randrange(CONTACTS)) for _ in range(1000))
    connection.executemany("update contact set seen=? where id=?", seen)


def database_dump(builder: Builder) -> dict[str, str]:
    """The same databases as SQL."""
    require("sqlite3")
    if not (builder.out / "db/new").exists():
        database(builder)
    place = builder.fresh("dbdump")
    for name in ("old", "new"):
        with (place / name).open("wb") as out:
            subprocess.run(["sqlite3", builder.out / "db" / name, ".dump"], stdout=out, check=True)
    return {"dbdump": "sqlite3 .dump of the two databases of db"}


def edges(builder: Builder) -> dict[str, str]:
    """Random bytes, changed in the ways that are easy or hard for a delta transfer."""
    size = (256 if builder.medium else 16) * MIB
    old, extra = random_bytes(1, size), random_bytes(2, size // 32 if builder.medium else MIB)
    chance = random.Random(4)
    cases: dict[str, tuple[str, Callable[[], bytes]]] = {
        "identical": ("the same bytes", lambda: old),
        "different": ("other random bytes", partial(random_bytes, 9, size)),
        "front1": ("one byte put in front", lambda: b"x" + old),
        "mid8m": (
            f"{len(extra)} random bytes put into the middle",
            lambda: old[: size // 2] + extra + old[size // 2 :],
        ),
        "moves": ("20 blocks cut and pasted elsewhere", partial(_move, old, chance)),
        "scatter1000": ("1000 single bytes changed", partial(_scatter, old, chance)),
        "truncated": ("the first 60 %", lambda: old[: size * 6 // 10]),
        "appended": (f"{len(extra)} random bytes at the end", lambda: old + extra),
    }
    made: dict[str, str] = {}
    first: Path | None = None
    for name, (how, make) in cases.items():
        place = builder.fresh(f"edge-{name}")
        if first is None:
            first = place / "old"
            first.write_bytes(old)
        else:
            os.link(first, place / "old")
        (place / "new").write_bytes(make())
        made[f"edge-{name}"] = f"{size // MIB} MiB random (seed 1); new: {how}"
    place = builder.fresh("edge-zeros")
    (place / "old").write_bytes(bytes(size))
    (place / "new").write_bytes(bytes(size + MIB))
    made["edge-zeros"] = f"{size // MIB} MiB of zeros; new: one MiB more of them"
    return made


def _move(data: bytes, chance: random.Random) -> bytes:
    moved = bytearray(data)
    for _ in range(20):
        length = chance.randrange(64 << 10, len(data) // 40)
        start = chance.randrange(len(data) - length)
        block = bytes(moved[start : start + length])
        del moved[start : start + length]
        place = chance.randrange(len(moved))
        moved[place:place] = block
    return bytes(moved)


def _scatter(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(1000):
        changed[chance.randrange(len(data))] ^= 1 + chance.randrange(255)
    return bytes(changed)
