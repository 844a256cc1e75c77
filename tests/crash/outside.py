"""The invariants I1 to I6 of a log that was killed again and again, checked from outside.

It reads the tables and the object folder by itself, and computes trees and chains with its own few lines.
"""

import hashlib
import json
from base64 import b64decode
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from msgspec import Struct, field

Leaves = dict[tuple[int, int], bytes]


class Told(Struct):
    """What the killed processes said to the outside world before they died."""

    events: dict[tuple[UUID, int], bytes] = field(default_factory=dict)
    """Leaf hashes of events that were acknowledged, by turn and number."""
    acts: dict[tuple[UUID, int], bytes] = field(default_factory=dict)
    """The same of events whose act was seen outside."""
    ended: set[UUID] = field(default_factory=set)
    """Turns whose end was acknowledged."""
    answered: set[UUID] = field(default_factory=set)
    """Turns of the whole server that were answered: their `model_response` must be there."""
    heads: dict[tuple[str, int], bytes] = field(default_factory=dict)
    """Root by log and size, of every head that was ever seen in the database or in the copy."""
    heard: set[UUID] = field(default_factory=set)
    """Turns whose `turn_sealed` reached a subscriber."""
    calls: int = 0
    """Calls that the stub provider saw."""


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def peaks_root(peaks: list[tuple[int, bytes]]) -> bytes:
    """The root of a tree whose perfect subtrees, left to right, are `peaks`."""
    if not peaks:
        return hashlib.sha256(b"").digest()
    result = peaks[-1][1]
    for _, peak in reversed(peaks[:-1]):
        result = node_hash(peak, result)
    return result


def root_of(leaves: Iterable[bytes]) -> bytes:
    peaks: list[tuple[int, bytes]] = []
    for leaf in leaves:
        grow(peaks, leaf)
    return peaks_root(peaks)


def grow(peaks: list[tuple[int, bytes]], leaf: bytes) -> list[tuple[int, bytes]]:
    """Append a leaf; the subtrees that are complete by it, as (level, hash), the leaf first."""
    made = [(0, leaf)]
    while peaks and peaks[-1][0] == made[-1][0]:
        level, left = peaks.pop()
        made.append((level + 1, node_hash(left, made[-1][1])))
    peaks.append(made[-1])
    return made


def head_of(note: str) -> tuple[str, int, bytes]:
    """Origin, size and root of a checkpoint."""
    origin, size, root = note.split("\n")[:3]
    return origin, int(size), b64decode(root)


async def see_heads(connection: asyncpg.Connection, objects: Path, told: Told) -> list[str]:
    """Remember every head there is now; what contradicts one that was seen before."""
    wrong = []
    notes = [row["note"] for row in await connection.fetch("SELECT note FROM audit.checkpoint")]
    notes += [path.read_text() for path in objects.glob("audit/*/*/*/heads/*=")]
    for note in notes:
        origin, size, root = head_of(note)
        if told.heads.setdefault((origin, size), root) != root:
            wrong.append(f"I4: two heads of {size} entries of {origin}")
    return wrong


async def check(connection: asyncpg.Connection, objects: Path, told: Told) -> list[str]:
    """Every violation of I1 to I6, as sentences. The log must be at rest: nothing runs, all leases have run out."""
    wrong = await see_heads(connection, objects, told)
    wrong += await _events(connection, told)
    wrong += await _turns(connection, told)
    for row in await connection.fetch("SELECT * FROM audit.log"):
        wrong += await _log(connection, row, told)
    return wrong


async def _events(connection: asyncpg.Connection, told: Told) -> list[str]:
    """I1 and I5: what was acknowledged, and what acts had to stand before, is in the log byte for byte."""
    wrong = []
    left, acts = dict(told.events), dict(told.acts)
    answered, calls = set(told.answered), 0
    async with connection.transaction():
        async for row in connection.cursor("SELECT turn, seq, type, data FROM core.event", prefetch=5000):
            place = row["turn"], row["seq"]
            for name, due in (("I1", left), ("I5", acts)):
                if place in due and due.pop(place) != leaf_hash(row["data"]):
                    wrong.append(f"{name}: event {place} is not the one that was acknowledged")
            calls += row["type"] == "model_invoked"
            if row["type"] == "model_response":
                answered.discard(row["turn"])
    wrong += [f"I1: event {place} was acknowledged and is not there" for place in left]
    wrong += [f"I5: the act of {place} happened without its event" for place in acts]
    wrong += [f"I1: turn {turn} was answered and its model_response is not there" for turn in answered]
    if told.calls > calls:
        wrong.append(f"I5: the provider saw {told.calls} calls, the log announces {calls}")
    return wrong


async def _turns(connection: asyncpg.Connection, told: Told) -> list[str]:
    """I2: every turn that began has exactly one envelope."""
    rows = await connection.fetch("""
        SELECT t.turn, t.state, count(e.idx) AS entries FROM core.turn t
        LEFT JOIN audit.entry e ON e.tenant = t.tenant AND e.turn = t.turn
        GROUP BY t.tenant, t.turn, t.state HAVING count(e.idx) <> 1 OR t.state <> 'sealed'""")
    wrong = [f"I2: turn {row['turn']} is {row['state']} with {row['entries']} envelopes" for row in rows]
    started = await connection.fetch("SELECT DISTINCT turn FROM core.event EXCEPT SELECT turn FROM core.turn")
    wrong += [f"I2: turn {row['turn']} has events and no row" for row in started]
    known = {row["turn"] for row in await connection.fetch("SELECT turn FROM audit.entry WHERE turn IS NOT NULL")}
    wrong += [f"I1: turn {turn} was ended and has no entry" for turn in told.ended - known]
    gaps = await connection.fetch("""
        SELECT turn FROM core.event GROUP BY tenant, turn
        HAVING min(seq) <> 0 OR max(seq) <> count(*) - 1
            OR count(*) FILTER (WHERE type = 'turn_sealed') <> 1 OR min(type) FILTER (WHERE seq = 0) <> 'turn_started'
    """)
    return [*wrong, *(f"I2: the events of {row['turn']} are not 0..n from start to seal" for row in gaps)]


async def _log(connection: asyncpg.Connection, log: asyncpg.Record, told: Told) -> list[str]:
    """I3, I4 and I6 of one log: indices, every head that was ever signed, tree, chain and head row."""
    origin, wrong = log["origin"], []
    stored: Leaves = {
        (row["level"], row["idx"]): row["hash"]
        for row in await connection.fetch("SELECT level, idx, hash FROM audit.node WHERE origin = $1", origin)
    }
    heads = {size: root for (name, size), root in told.heads.items() if name == origin}
    roots = await _roots(connection, log["tenant"])
    peaks: list[tuple[int, bytes]] = []
    link = hashlib.sha256(b"aibox.chain-genesis/1\n" + origin.encode()).digest()
    place = hashlib.sha256(origin.encode()).digest()
    size = 0
    rows = await connection.fetch("SELECT idx, data, turn FROM audit.entry WHERE origin = $1 ORDER BY idx", origin)
    for size, row in enumerate(rows, 1):
        index, entry = size - 1, json.loads(row["data"])
        if (row["idx"], entry["idx"], entry["prev"]) != (index, index, link.hex()):
            wrong.append(f"I3: entry {row['idx']} of {origin} is not number {index} of the chain")
        if row["turn"] is not None and roots.get(row["turn"]) != (entry["events"], entry["root"]):
            wrong.append(f"I6: entry {index} of {origin} does not seal its turn's events")
        leaf = leaf_hash(row["data"])
        link = hashlib.sha256(b"aibox.chain/1\n" + place + index.to_bytes(8) + link + leaf).digest()
        for level, hashed in grow(peaks, leaf):
            if stored.pop((level, index >> level), None) != hashed:
                wrong.append(f"I6: node {level}/{index >> level} of {origin} is not the hash of what is below it")
        if size in heads and heads.pop(size) != peaks_root(peaks):
            wrong.append(f"I4: the head of {size} entries of {origin} is not of this tree")
    wrong += [f"I4: a head of {lost} entries of {origin} was signed, the log has {size}" for lost in heads]
    if stored:
        wrong.append(f"I6: {len(stored)} nodes of {origin} stand for no entries")
    signed = head_of(log["checkpoint"])[1:] if log["checkpoint"] else (0, peaks_root([]))
    if (log["size"], log["link"], *signed) != (size, link, size, peaks_root(peaks)):
        wrong.append(f"I6: the head row of {origin} is not its tree's and chain's end")
    return wrong


async def _roots(connection: asyncpg.Connection, tenant: UUID) -> dict[UUID, tuple[int, str]]:
    """Number and root of every turn's events."""
    leaves: dict[UUID, list[bytes]] = {}
    query = "SELECT turn, data FROM core.event WHERE tenant = $1 ORDER BY turn, seq"
    async with connection.transaction():
        async for row in connection.cursor(query, tenant, prefetch=5000):
            leaves.setdefault(row["turn"], []).append(leaf_hash(row["data"]))
    return {turn: (len(own), root_of(own).hex()) for turn, own in leaves.items()}


async def counts(connection: asyncpg.Connection) -> dict[str, Any]:
    """How large the log has become."""
    row = await connection.fetchrow("""
        SELECT (SELECT count(*) FROM core.event) AS events, (SELECT count(*) FROM audit.entry) AS entries,
               (SELECT count(*) FROM audit.checkpoint) AS heads,
               (SELECT count(*) FROM core.turn WHERE outcome = 'abandoned') AS abandoned""")
    return dict(row)
