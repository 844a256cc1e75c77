"""Makes the frozen receipts of this folder from fixed seeds: `python -m tests.vectors.make`, the same bytes each time.

A valid case is a receipt every verifier must accept; an invalid one bends one thing and is otherwise built
as an attacker with the log's own keys would build it, so that only the named steps can refuse. `index.json`
says which, and why.

ML-DSA signing is randomised, so the signatures made once are kept in `ml-dsa.json` and used again.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from aibox.audit import merkle, notes, receipts
from aibox.audit.notes import Cosigner, Signer
from aibox.core.events import Artifact, canonical, leaf_hash

FOLDER = Path(__file__).parent
SIGNED = FOLDER / "ml-dsa.json"
ORIGIN = "aibox.example/audit/l/k7dq2x5m/2026"
LAST_YEAR = "aibox.example/audit/l/h3vw9c6e/2025"
TENANT = "0190a3c0-0000-7000-8000-00000000a1b0"
NOON = 1_780_000_000
"""Seconds since 1970 at which everything here happens."""

Fields = dict[str, Any]
Edit = Callable[[Fields], None]


def seed(name: str) -> bytes:
    """32 fixed bytes."""
    return hashlib.sha256(b"aibox test vector\n" + name.encode()).digest()


def uuid7(name: str) -> str:
    """A fixed UUIDv7."""
    digits = f"0190a3c1{seed(name).hex()}"
    return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-8{digits[17:20]}-{digits[20:32]}"


class Remembered:
    """An ML-DSA key that signs each message once and for all."""

    memory: ClassVar[dict[str, str]] = json.loads(SIGNED.read_bytes()) if SIGNED.exists() else {}
    used: ClassVar[set[str]] = set()

    def __init__(self, key: MLDSA44PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key

    def sign(self, message: bytes) -> bytes:
        name = hashlib.sha256(self._key.private_bytes_raw() + message).hexdigest()
        if name not in self.memory:
            self.memory[name] = base64.b64encode(self._key.sign(message)).decode()
        self.used.add(name)
        return base64.b64decode(self.memory[name])


def signer(origin: str, name: str = "log") -> Signer:
    """The checkpoint signer of a log, from fixed seeds."""
    ml_dsa = Remembered(MLDSA44PrivateKey.from_seed_bytes(seed(f"{name} ml-dsa-44")))
    ed25519 = Ed25519PrivateKey.from_private_bytes(seed(f"{name} ed25519"))
    return Signer(origin, ed25519, cast(MLDSA44PrivateKey, ml_dsa))


def cosigner(name: str) -> Cosigner:
    """A witness, from fixed seeds."""
    ml_dsa = Remembered(MLDSA44PrivateKey.from_seed_bytes(seed(f"{name} ml-dsa-44")))
    return Cosigner(
        name, Ed25519PrivateKey.from_private_bytes(seed(f"{name} ed25519")), cast(MLDSA44PrivateKey, ml_dsa)
    )


def envelope_key(name: str = "day 1") -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed(f"envelope key {name}"))


def event(turn: str, seq: int, kind: str, body: Fields, arts: Iterable[Artifact] = ()) -> Fields:
    """An event as its module would have logged it."""
    return {
        "@": "aibox.event/1",
        "arts": [{"c": art.commitment, "mt": art.media_type, "n": len(art.data)} for art in arts],
        "body": body,
        "ev": uuid7(f"{turn} {seq}"),
        "mono_ns": 5_000_000_000 + seq * 1_000_000,
        "seq": seq,
        "src": "runtime",
        "tenant": TENANT,
        "ts_us": (NOON - 10) * 1_000_000 + seq * 1000,
        "turn": turn,
        "type": kind,
    }


def art(name: str, text: str, media_type: str = "text/plain; charset=utf-8") -> Artifact:
    return Artifact(media_type, text.encode(), seed(f"salt {name}"))


PROMPT = art("prompt", "Which of our suppliers can deliver by Friday? 🚚")
ANSWER = art("answer", "Two of them: Nordwind GmbH and 鈴木商店.")
EMPTY = art("empty", "", "application/octet-stream")
ENDINGS = [art(f"{size} bytes", "abc"[:size]) for size in (1, 2, 3)]


def late_art(seq: int) -> Artifact:
    """What an event that came late holds."""
    return art(f"late {seq}", f"Delivered at gate {seq}.")


def small(turn: str = uuid7("turn"), outcome: str = "sealed") -> list[Fields]:
    """The shortest turn: three events."""
    started = {"kind": "user", "principal": "p-4f1c"}
    return [
        event(turn, 0, "turn_started", started),
        event(turn, 1, "prompt_generated", {"model": "default"}, [PROMPT, EMPTY]),
        event(turn, 2, "turn_sealed", {"outcome": outcome}),
    ]


def chat(turn: str = uuid7("chat")) -> list[Fields]:
    """A chat turn of eight events."""
    steps: list[tuple[str, Fields, list[Artifact]]] = [
        ("turn_started", {"kind": "user", "principal": "p-4f1c"}, []),
        ("guardrail_verdict", {"direction": "in", "masked": 0, "verdict": "pass"}, []),
        ("memory_op", {"op": "recall", "hits": 2}, []),
        ("prompt_generated", {"model": "default"}, [PROMPT]),
        ("model_invoked", {"model": "smollm2-135m", "provider": "local"}, []),
        ("model_response", {"input_tokens": 41, "output_tokens": 17, "usd": "0.000000"}, [ANSWER]),
        ("guardrail_verdict", {"direction": "out", "masked": 0, "verdict": "pass"}, []),
        ("turn_sealed", {"outcome": "sealed"}, []),
    ]
    return [event(turn, seq, kind, body, arts) for seq, (kind, body, arts) in enumerate(steps)]


class Log:
    """A tenant's log under construction, which does what it is told, also what is wrong."""

    def __init__(self, origin: str = ORIGIN) -> None:
        self.origin = origin
        self.entries: list[bytes] = []
        self.link = receipts.chain_genesis(origin)
        self.tree = merkle.Tree()

    def append(self, entry: bytes) -> None:
        leaf = leaf_hash(entry)
        self.link = receipts.chain_next(self.origin, len(self.entries), self.link, leaf)
        self.tree.append(leaf)
        self.entries.append(entry)

    def others(self, count: int) -> None:
        """Entries of turns nobody asks about."""
        for _ in range(count):
            self.append(canonical({"@": "aibox.turn/1", "idx": len(self.entries), "other": True}))


def nothing(fields: Fields) -> None:
    """Bend nothing."""


@dataclass
class Stone:
    """A tombstone over artifacts (event, number) of the case's turn and some of others, and where it can be bent."""

    arts: Sequence[tuple[int, int]] = ((1, 0),)
    others: int = 5
    log: str = ""
    """The origin of the log it is in, when it is not the receipt's."""
    entry: Edit = nothing
    item: Edit = nothing
    checkpoint: Callable[[str], str] = lambda note: note
    at: int = NOON + 2


@dataclass
class Late:
    """Events that came after the case's turn was sealed, and every place where their addendum can be bent."""

    count: int = 1
    skipped: int = 0
    """Numbers that an addendum before it took, which the receipt leaves out; negative to take some again."""
    log: str = ""
    """The origin of the log it is in, when it is not the receipt's."""
    event: Edit = nothing
    lay: Callable[[bytes], bytes] = lambda text: text
    entry: Edit = nothing
    item: Edit = nothing
    checkpoint: Callable[[str], str] = lambda note: note
    at: int = NOON + 3

    def events(self, turn: str, free: int) -> list[Fields]:
        """Each with an artifact of its own."""
        made = []
        for seq in range(free + self.skipped, free + self.skipped + self.count):
            one = event(turn, seq, "external.delivery.confirmed", {"result": "ok"}, [late_art(seq)])
            self.event(one)
            made.append(one)
        return made


@dataclass
class Before:
    """The log of the year before, and every place where the proof that this log goes on from it can be bent."""

    entries: int = 6
    older: int | None = None
    behind: int = 0
    """Entries between the key leaf and the opening leaf, where none belongs."""
    opening: Edit = nothing
    closing: Edit = nothing
    item: Edit = nothing
    checkpoint: Callable[[str], str] = lambda note: note
    at: int = NOON - 3600
    by: Callable[[str], Signer] = signer

    def build(self, successor: str) -> "Closed":
        """The closed log."""
        log = Log(LAST_YEAR)
        log.others(self.entries - 1)
        index = len(log.entries)
        fields = json.loads(receipts.closing_leaf(origin=log.origin, index=index, prev=log.link, successor=successor))
        self.closing(fields)
        log.append(encode(fields))
        return Closed(self, log)


@dataclass
class Closed:
    """The log of the year before as it was closed."""

    before: Before
    log: Log

    def opening(self, successor: Log) -> bytes:
        """The entry by which the next log goes on from it."""
        fields = json.loads(
            receipts.opening_leaf(
                origin=successor.origin,
                index=len(successor.entries),
                prev=successor.link,
                last=self.log.origin,
                size=len(self.log.entries),
                root=self.log.tree.root(),
            )
        )
        self.before.opening(fields)
        return encode(fields)

    def proof(self, opening: bytes, inclusion: list[bytes]) -> receipts.Previous:
        tree, size, by = self.log.tree, len(self.log.entries), self.before.by(self.log.origin)
        older = self.before.older
        return receipts.Previous(
            opening=opening,
            inclusion=inclusion,
            closing=self.log.entries[-1],
            closing_inclusion=tree.inclusion(size - 1),
            checkpoint=self.before.checkpoint(by.sign(size, tree.root(), at_seconds=self.before.at)),
            vkeys=[str(key) for key in by.keys],
            older=None
            if older is None
            else receipts.OlderHead(size=older, root=tree.root(older), path=tree.consistency(older)),
        )


@dataclass
class Case:
    """A receipt, and every place where it can be bent before the next thing is hashed or signed over it."""

    events: list[Fields] = field(default_factory=small)
    lay: Callable[[int, bytes], bytes] = lambda place, text: text
    key: Edit = nothing
    key_text: Callable[[bytes], bytes] = lambda text: text
    envelope: Edit = nothing
    envelope_text: Callable[[bytes], bytes] = lambda text: text
    sign: Callable[[Ed25519PrivateKey, bytes], bytes] = receipts.sign_envelope
    signer: Signer = field(default_factory=lambda: signer(ORIGIN))
    checkpoint: Callable[[str], str] = lambda note: note
    bundle: Edit = nothing
    text: Callable[[bytes], bytes] = lambda data: data
    root: Callable[[Sequence[bytes]], bytes] = merkle.root
    withheld: Sequence[int] = ()
    openings: Sequence[receipts.Opening] = ()
    witnesses: Sequence[Cosigner] = ()
    cosigned_at: int = NOON + 5
    older: int | None = None
    stones: Sequence[Stone] = ()
    late: Sequence[Late] = ()
    before: Before | None = None
    outcome: receipts.Outcome = "sealed"
    origin: str = ORIGIN
    span: int = receipts.SPAN
    before_key: int = 0
    between: int = 2
    after: int = 1
    at: int = NOON

    def build(self) -> bytes:
        """The bytes of receipt.json."""
        log, private = Log(self.origin), envelope_key()
        log.others(self.before_key)
        public = private.public_key().public_bytes_raw()
        index = len(log.entries)
        fields = json.loads(
            receipts.key_leaf(origin=self.origin, index=index, prev=log.link, public=public, span=self.span)
        )
        self.key(fields)
        key_leaf = self.key_text(canonical(fields))
        log.append(key_leaf)
        closed = self.before and self.before.build(self.origin)
        opening, opened_at = b"", 0
        if closed:
            log.others(closed.before.behind)
            opening, opened_at = closed.opening(log), len(log.entries)
            log.append(opening)
        log.others(self.between)
        texts = [self.lay(place, encode(one)) for place, one in enumerate(self.events)]
        place = len(log.entries)
        envelope = self._envelope(log, texts, receipts.key_id(public))
        signature = self.sign(private, envelope)
        log.append(envelope)
        added = self._add(log, envelope)
        raised = [self._raise(stone, Log(stone.log) if stone.log else log) for stone in self.stones]
        log.others(self.after)
        size = len(log.entries)
        note, witnesses = self._cosigned(self.signer.sign(size, log.tree.root(), at_seconds=self.at))
        data = receipts.bundle(
            envelope=envelope,
            signature=signature,
            events=texts,
            key_leaf=key_leaf,
            key_inclusion=log.tree.inclusion(index),
            chain=[leaf_hash(entry) for entry in log.entries[index + 1 : place]],
            inclusion=log.tree.inclusion(place),
            checkpoint=self.checkpoint(note),
            vkeys=[str(key) for key in self.signer.keys],
            openings=self.openings,
            withheld=self.withheld,
            witnesses=witnesses,
            older=self._older(log.tree),
            erasures=[erasure() for erasure in raised],
            addenda=[addendum() for addendum in added],
            previous=closed.proof(opening, log.tree.inclusion(opened_at)) if closed else None,
        )
        bundle = json.loads(data)
        for late, item in zip(self.late, bundle.get("addenda", []), strict=True):
            late.item(item)
        if self.before:
            self.before.item(bundle["previous"])
        for stone, item in zip(self.stones, bundle.get("erased", []), strict=True):
            stone.item(item)
        self.bundle(bundle)
        return self.text(encode(bundle))

    def _cosigned(self, note: str) -> tuple[str, list[str]]:
        """The note with the witnesses' lines, and their keys in the same order."""
        head = notes.parse_checkpoint(note)
        signed = {
            str(key): line + "\n"
            for witness in self.witnesses
            for key, line in zip(
                witness.keys, witness.cosign(head, at_seconds=self.cosigned_at).splitlines(), strict=True
            )
        }
        return note + "".join(signed[vkey] for vkey in sorted(signed)), sorted(signed)

    def _older(self, tree: merkle.Tree) -> receipts.OlderHead | None:
        if self.older is None:
            return None
        return receipts.OlderHead(size=self.older, root=tree.root(self.older), path=tree.consistency(self.older))

    def all_events(self) -> dict[int, Fields]:
        """The turn's events and the late ones by their number."""
        found = dict(enumerate(self.events))
        free = len(self.events)
        for late in self.late:
            own = late.events(self.events[0]["turn"], free)
            free += late.skipped + late.count
            found |= dict(enumerate(own, free - late.count))
        return found

    def _add(self, own: Log, envelope: bytes) -> list[Callable[[], receipts.Addendum]]:
        """Append the addenda; their proofs can be made when their logs have all their entries."""
        added: list[Callable[[], receipts.Addendum]] = []
        free = len(self.events)
        for late in self.late:
            log = Log(late.log) if late.log else own
            if late.log:
                log.others(4)
            events = [late.lay(encode(one)) for one in late.events(self.events[0]["turn"], free)]
            index, first = len(log.entries), free + late.skipped
            fields = json.loads(
                receipts.addendum(
                    envelope,
                    events,
                    first=first,
                    origin=log.origin,
                    index=index,
                    prev=log.link,
                    tenant=cast(Any, TENANT),
                    turn=self.events[0]["turn"],
                )
            )
            late.entry(fields)
            entry = encode(fields)
            log.append(entry)
            free = first + late.count
            added.append(partial(self._addendum, late, log, index, entry, events))
        return added

    def _addendum(self, late: Late, log: Log, index: int, entry: bytes, events: list[bytes]) -> receipts.Addendum:
        by = signer(log.origin) if late.log else self.signer
        return receipts.Addendum(
            entry=entry,
            inclusion=log.tree.inclusion(index),
            checkpoint=late.checkpoint(by.sign(len(log.entries), log.tree.root(), at_seconds=late.at)),
            vkeys=[str(key) for key in by.keys],
            events=events,
        )

    def _raise(self, stone: Stone, log: Log) -> Callable[[], receipts.Erasure]:
        """Append the tombstone; its proof can be made when the log has all its entries."""
        if stone.log:
            log.others(4)
        index = len(log.entries)
        events = self.all_events()
        erased = [bytes.fromhex(events[event]["arts"][number]["c"]) for event, number in stone.arts]
        commitments = sorted([*erased, *(seed(f"erased {number}") for number in range(stone.others))])
        fields = json.loads(
            receipts.tombstone(
                commitments,
                origin=log.origin,
                index=index,
                prev=log.link,
                tenant=cast(Any, TENANT),
                turn=cast(Any, uuid7("erasure")),
                reason="request",
                erased_us=(NOON + 1) * 1_000_000,
            )
        )
        stone.entry(fields)
        entry = encode(fields)
        log.append(entry)
        tree = merkle.Tree(receipts.erased_leaves(commitments))

        def erasure() -> receipts.Erasure:
            by = signer(log.origin) if stone.log else self.signer
            return receipts.Erasure(
                entry=entry,
                inclusion=log.tree.inclusion(index),
                checkpoint=stone.checkpoint(by.sign(len(log.entries), log.tree.root(), at_seconds=stone.at)),
                vkeys=[str(key) for key in by.keys],
                arts=[
                    receipts.ErasedArtifact(event=event, art=number, place=place, path=tree.inclusion(place))
                    for (event, number), place in zip(stone.arts, map(commitments.index, erased), strict=True)
                ],
            )

        return erasure

    def _envelope(self, log: Log, texts: list[bytes], kid: str) -> bytes:
        sealed = receipts.Sealed(
            tenant=cast(Any, TENANT),
            turn=self.events[0]["turn"],
            principal="p-4f1c",
            outcome=self.outcome,
            events=len(texts),
            root=self.root([leaf_hash(text) for text in texts]),
            build="0.1.0+vectors",
            policy="default@7",
            started_us=(NOON - 10) * 1_000_000,
            sealed_us=(NOON - 1) * 1_000_000,
        )
        entry = receipts.envelope(sealed, origin=log.origin, index=len(log.entries), prev=log.link, kid=kid)
        fields = json.loads(entry)
        self.envelope(fields)
        return self.envelope_text(encode(fields))


def encode(value: Fields) -> bytes:
    """Canonical bytes without the checks of `canonical`, for what must be wrong."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def put(**changes: Any) -> Edit:
    """An edit that sets fields; `None` removes one."""

    def edit(fields: Fields) -> None:
        for name, value in changes.items():
            if value is None:
                del fields[name]
            else:
                fields[name] = value

    return edit


def only(place: int, old: bytes, new: bytes) -> Callable[[int, bytes], bytes]:
    """Replace bytes in the event at `place` before it is hashed."""

    def lay(at: int, text: bytes) -> bytes:
        if at != place:
            return text
        assert old in text, (old, text)
        return text.replace(old, new)

    return lay


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Replace bytes that must be there."""

    def replace(text: bytes) -> bytes:
        assert old in text, (old, text)
        return text.replace(old, new, 1)

    return replace


def opening(event: int, number: int, artifact: Artifact, **changes: Any) -> receipts.Opening:
    values: Fields = {"media_type": artifact.media_type, "salt": artifact.salt, "data": artifact.data, **changes}
    return receipts.Opening(event=event, art=number, **values)


def with_body(place: int, body: Fields) -> list[Fields]:
    events = small()
    events[place]["body"] = body
    return events


def nested(depth: int) -> Fields:
    """A body that makes its event `depth` containers deep."""
    value: Fields = {}
    for _ in range(depth - 2):
        value = {"in": value}
    return value


def asked_at_once() -> list[Fields]:
    """A turn whose first event has the artifacts."""
    events = small()
    events[0]["arts"], events[1]["arts"] = events[1]["arts"], []
    return events


def bent(events: list[Fields], place: int, edit: Edit) -> list[Fields]:
    edit(events[place])
    return events


def doubled(leaves: Sequence[bytes]) -> bytes:
    """The root of a tree that pairs a last leaf with itself, as Bitcoin's does."""
    level = list(leaves)
    while len(level) > 1:
        level += level[-1:] * (len(level) % 2)
        level = [merkle.node_hash(*level[at : at + 2]) for at in range(0, len(level), 2)]
    return level[0]


def lines(note: str) -> list[str]:
    return note.split("\n")


def line_of(note: str, number: int) -> str:
    return lines(note)[4 + number]


def by(other: Signer, number: int) -> Callable[[str], str]:
    """Put another signer's signature of the same head into line `number`, under the right name and key id."""

    def forge(note: str) -> str:
        head = lines(note)
        size, root = int(head[1]), base64.b64decode(head[2])
        forged = base64.b64decode(line_of(other.sign(size, root, at_seconds=NOON), number).split(" ")[2])
        own = base64.b64decode(head[4 + number].split(" ")[2])
        dash, name, _ = head[4 + number].split(" ")
        head[4 + number] = f"{dash} {name} {base64.b64encode(own[:4] + forged[4:]).decode()}"
        return "\n".join(head)

    return forge


def restate(number: int, edit: Callable[[bytes], bytes]) -> Callable[[str], str]:
    """Change the bytes of signature line `number`."""

    def change(note: str) -> str:
        head = lines(note)
        dash, name, encoded = head[4 + number].split(" ")
        head[4 + number] = f"{dash} {name} {base64.b64encode(edit(base64.b64decode(encoded))).decode()}"
        return "\n".join(head)

    return change


def unpadded(bundle: Fields) -> None:
    bundle["signature"] = bundle["signature"].rstrip("=")


def loose_bits(bundle: Fields) -> None:
    """Other base64 of the same 64 bytes: the last character carries unused bits."""
    text = bundle["signature"]
    bundle["signature"] = text[:-3] + chr(ord(text[-3]) + 1) + "=="
    assert base64.b64decode(bundle["signature"]) == base64.b64decode(text)


def in_key(edit: Edit) -> Edit:
    return lambda bundle: edit(bundle["key"])


def first_two_swapped(bundle: Fields) -> None:
    bundle["events"][:2] = bundle["events"][1::-1]


def event_edited(bundle: Fields) -> None:
    text = bundle["events"][1]["event"]
    bundle["events"][1] = {"event": text.replace("default", "another")}
    assert bundle["events"][1]["event"] != text


def event_withheld(bundle: Fields) -> None:
    bundle["events"][1] = {"leaf": leaf_hash(bundle["events"][1]["event"].encode()).hex()}


def drop(name: str, place: int) -> Edit:
    return lambda bundle: bundle[name].pop(place)


def add(name: str, value: Any) -> Edit:
    return lambda bundle: bundle[name].append(value)


def twice(name: str) -> Edit:
    return lambda bundle: bundle[name].extend(bundle[name][-1:])


def set_in(name: str, place: int, value: Any) -> Edit:
    def edit(bundle: Fields) -> None:
        bundle[name][place] = value

    return edit


def swapped_keys(bundle: Fields) -> None:
    bundle["vkeys"].reverse()


def wrong_key_id(bundle: Fields) -> None:
    name, _, key = bundle["vkeys"][0].split("+", 2)
    bundle["vkeys"][0] = f"{name}+00000000+{key}"


def in_vkey(number: int, text: str, *, at: int) -> Edit:
    """Put text into a verifier key."""

    def edit(bundle: Fields) -> None:
        vkey = bundle["vkeys"][number]
        bundle["vkeys"][number] = vkey[:at] + text + vkey[at:]

    return edit


def upper_key_id(bundle: Fields) -> None:
    name, key_id, key = bundle["vkeys"][1].split("+", 2)
    bundle["vkeys"][1] = f"{name}+{key_id.upper()}+{key}"
    assert key_id != key_id.upper()


def short_key(bundle: Fields) -> None:
    name, key_id, key = bundle["vkeys"][0].split("+", 2)
    bundle["vkeys"][0] = f"{name}+{key_id}+{base64.b64encode(base64.b64decode(key)[:-1]).decode()}"


def nested_lists(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def wrong_witness_id(bundle: Fields) -> None:
    name, _, key = bundle["witnesses"][0].split("+", 2)
    bundle["witnesses"][0] = f"{name}+00000000+{key}"


def cosigned_elsewhere(number: int) -> bytes:
    """The witness's signature of another head, made at the same time."""
    other = notes.parse_checkpoint(signer(ORIGIN).sign(7, seed("another root"), at_seconds=NOON))
    line = cosigner("witness.example/a").cosign(other, at_seconds=NOON + 5).splitlines()[number]
    return base64.b64decode(line.split(" ")[2])


def with_a_cosignature(note: str) -> str:
    return note + cosigner("witness.example/a").cosign(notes.parse_checkpoint(note), at_seconds=NOON + 5)


def continued(size: int, root: bytes, path: list[str]) -> Edit:
    return lambda bundle: bundle.update(consistency={"from": size, "path": path, "root": (root or bytes(32)).hex()})


def at_own_size(bundle: Fields) -> None:
    """Name the head itself as the older one."""
    head = notes.parse_checkpoint(bundle["checkpoint"])
    continued(head.size, head.root, [])(bundle)


def ended_at_own_size(item: Fields) -> None:
    """Name the last head of the log before as its older one."""
    head = notes.parse_checkpoint(item["checkpoint"])
    item["consistency"] = {"from": head.size, "path": [], "root": head.root.hex()}


def late_withheld(bundle: Fields) -> None:
    (item,) = bundle["addenda"]
    item["events"] = [{"leaf": leaf_hash(one["event"].encode()).hex()} for one in item["events"]]


def swapped_paths(item: Fields) -> None:
    first, second = item["arts"]
    first["path"], second["path"] = second["path"], first["path"]


def policy(*logs: tuple[str, str], **more: Any) -> bytes:
    """A policy that pins, for each (origin, seed name), the keys of that log."""
    pinned = [{"origin": origin, "vkeys": [str(key) for key in signer(origin, name).keys]} for origin, name in logs]
    return encode({"logs": pinned, **more})


def witnesses(*named: Cosigner) -> list[str]:
    return sorted(str(key) for one in named for key in one.keys)


def pin(size: int, *, name: str = "log", origin: str = ORIGIN, root: bytes | None = None) -> bytes:
    """A head of the log that a default case makes, as someone kept it."""
    return signer(origin, name).sign(size, root or of_case(size), at_seconds=NOON - 1).encode()


def last_pin(size: int, *, root: bytes | None = None) -> bytes:
    """A head of the log of the year before."""
    return pin(size, origin=LAST_YEAR, root=root or Before().build(ORIGIN).log.tree.root(size))


def everything_of(size: int) -> bytes:
    """The root of the older head that `next-year-everything` names, which has this size."""
    old = json.loads(VALID["next-year-everything"][1].build())["consistency"]
    assert old["from"] == size
    return bytes.fromhex(old["root"])


def of_case(size: int) -> bytes:
    """The root that the log of `continued` had at `size`."""
    bundle = json.loads(Case(older=size, after=6).build())
    return bytes.fromhex(bundle["consistency"]["root"])


# Of WITNESS, the Ed25519 key is the first in order.
WITNESS, SECOND, THIRD = (cosigner(f"witness.example/{name}") for name in ("a", "b", "c"))
NEXT_YEAR = "aibox.example/audit/l/p4nx8rtz/2027"

ROMAN = 'ä€𝄞\u2028\u007f\b\t\n\f\r\u0001\\"/<>&'
ESCAPES = {"text": ROMAN, "least": -(2**53 - 1), "most": 2**53 - 1, "no": None, "yes": True, "none": [], "": {}}

VALID: dict[str, tuple[str, Case]] = {
    "small": ("three events under a head of five entries", Case()),
    "two-events": (
        "the fewest events a turn can have",
        Case(events=[small()[0], event(uuid7("turn"), 1, "turn_sealed", {})]),
    ),
    "first-head": ("entry 1 of a log of two entries, proved by one hash", Case(between=0, after=0)),
    "chat": (
        "a chat turn of eight events, everything withheld but the events themselves",
        Case(events=chat(), between=6, after=9),
    ),
    "opened": (
        "prompt, an empty artifact and their salts are opened",
        Case(openings=[opening(1, 0, PROMPT), opening(1, 1, EMPTY)]),
    ),
    "opened-endings": (
        "artifacts of 1, 2 and 3 bytes, so base64 with each of its endings",
        Case(
            events=[small()[0], event(uuid7("turn"), 1, "prompt_generated", {}, ENDINGS), small()[2]],
            openings=[opening(1, number, ending) for number, ending in enumerate(ENDINGS)],
        ),
    ),
    "redacted": (
        "four of eight events are withheld",
        Case(events=chat(), withheld=[0, 3, 4, 7], openings=[opening(5, 0, ANSWER)]),
    ),
    "all-withheld": ("every event is withheld; the envelope still stands", Case(withheld=[0, 1, 2])),
    "escapes": ("non-ASCII text, control characters, and integers of both ends", Case(events=with_body(1, ESCAPES))),
    "depth-32": ("as deep as a document may be", Case(events=with_body(1, nested(32)))),
    "later-key": ("a key leaf in the middle of the log", Case(before_key=5, between=4, after=3)),
    "last-of-span": ("the last entry the key may sign", Case(before_key=1, between=3, span=4)),
    "last-entry": ("the last entry of a tree of seven, whose path is short", Case(between=5, after=0)),
    "long-chain": ("120 entries between key leaf and envelope", Case(between=120, after=60)),
    "witnessed": ("two witnesses cosigned the head, each with both its keys", Case(witnesses=[WITNESS, SECOND])),
    "continued": ("the head continues one of 3 entries, which is named", Case(older=3, after=6)),
    "continued-from-4": ("from a whole subtree: its root is no part of the path", Case(older=4, after=3)),
    "continued-from-1": ("from the first entry of a log of two", Case(older=1, between=0, after=0)),
    "erased": ("an artifact is erased by a tombstone in the same log", Case(stones=[Stone()], after=3)),
    "erased-alone": ("the only artifact that a tombstone erases", Case(stones=[Stone(others=0)])),
    "erased-next-year": (
        "two artifacts are erased by a tombstone in the next year's log",
        Case(stones=[Stone(arts=[(1, 0), (1, 1)], log=NEXT_YEAR)]),
    ),
    "erased-twice": (
        "one artifact erased, another opened, and one more erased later",
        Case(
            events=chat(),
            stones=[Stone(arts=[(3, 0)], others=2), Stone(arts=[(5, 0)], others=7)],
            openings=[opening(5, 0, ANSWER)],
        ),
    ),
    "everything": (
        "witnesses, an older head, an opening, an erasure and a withheld event in one receipt",
        Case(
            events=chat(),
            witnesses=[THIRD],
            older=2,
            stones=[Stone(arts=[(3, 0)])],
            openings=[opening(5, 0, ANSWER)],
            withheld=[2],
        ),
    ),
    "continued-from-5": (
        "from the right half, in which 1 of 3 entries is old",
        Case(older=5, between=3, after=2),
    ),
    "continued-from-13": ("13 of 14 entries are old", Case(older=13, between=8, after=4)),
    "span-1": ("a key that may sign one entry", Case(between=0, span=1)),
    "first-event-opened": (
        "the artifacts of turn_started are opened and erased",
        Case(events=asked_at_once(), openings=[opening(0, 0, PROMPT)], stones=[Stone(arts=[(0, 1)])]),
    ),
    "erased-left-out": (
        "the holder left out one of two artifacts that a tombstone erased",
        Case(stones=[Stone(arts=[(1, 0), (1, 1)], item=drop("arts", 0))]),
    ),
    "added": ("an event that came after the seal, in an addendum", Case(late=[Late()], after=2)),
    "added-at-the-end": ("two events in the last entry under the head", Case(late=[Late(count=2)], after=0)),
    "added-twice": ("three events in two addenda", Case(events=chat(), late=[Late(count=2), Late()], after=4)),
    "added-next-year": ("an addendum in the next year's log", Case(late=[Late(count=3, log=NEXT_YEAR)])),
    "added-left-out": ("the holder left out an addendum of two events", Case(late=[Late(skipped=2), Late()])),
    "added-withheld": ("one of three late events is withheld", Case(late=[Late(count=3)], withheld=[1, 4])),
    "added-opened": (
        "what late events hold is opened and erased",
        Case(
            late=[Late(), Late(count=2)],
            openings=[opening(1, 0, PROMPT), opening(3, 0, late_art(3)), opening(5, 0, late_art(5))],
            stones=[Stone(arts=[(1, 1), (4, 0)])],
        ),
    ),
    "next-year": ("a log that goes on from the closed log of the year before", Case(before=Before())),
    "next-year-first-turn": ("the first turn of the new log", Case(before=Before(), between=0, after=0)),
    "next-year-from-3": ("a head of 3 entries of the log before is named", Case(before=Before(older=3))),
    "next-year-after-1": ("the log before has its closing entry alone", Case(before=Before(entries=1))),
    "next-year-everything": (
        "a log before, witnesses, an older head, a late event and an erasure",
        Case(before=Before(older=4), witnesses=[WITNESS], older=3, late=[Late()], stones=[Stone()]),
    ),
    "erased-by-retention": ("erased because its time was over", Case(stones=[Stone(entry=put(reason="retention"))])),
    "witnessed-by-one-key": (
        "a witness with an Ed25519 key alone",
        Case(witnesses=[WITNESS], checkpoint=lambda n: "\n".join([*lines(n)[:-2], ""]), bundle=drop("witnesses", 1)),
    ),
    "first-second": ("a head that was signed in the first second of 1970", Case(at=1)),
    "last-second": ("a head that was signed in the last second of 9999", Case(at=253_402_300_799)),
    "no-artifacts": (
        "a turn whose events have no artifacts, in a log of 20 entries",
        Case(events=[*chat()[:1], event(uuid7("chat"), 1, "turn_sealed", {})], after=16),
    ),
    "failed": ("outcome failed", Case(events=small(outcome="failed"), outcome="failed")),
    "denied": ("outcome denied", Case(events=small(outcome="denied"), outcome="denied")),
    "abandoned": ("outcome abandoned", Case(events=small(outcome="abandoned"), outcome="abandoned")),
}

OTHER = signer(ORIGIN, "other log")
ELSEWHERE = "aibox.example/audit/l/zzzzzzzz/2026"

INVALID: dict[str, tuple[str, str, Case]] = {
    # form: there must be one way only to read the file
    "pretty-printed": (
        "form",
        "the file was re-formatted",
        Case(text=lambda data: json.dumps(json.loads(data), indent=1).encode()),
    ),
    "trailing-newline": ("form", "a byte after the end", Case(text=lambda data: data + b"\n")),
    "byte-order-mark": (
        "form",
        "a byte order mark before the beginning",
        Case(text=lambda data: b"\xef\xbb\xbf" + data),
    ),
    "cut-short": ("form", "the last byte is missing", Case(text=lambda data: data[:-1])),
    "not-utf-8": ("form", "a byte that is not UTF-8 inside a text", Case(text=swap(b"policy", b"polic\xff"))),
    "empty-object": ("form", "an object without fields", Case(text=lambda data: b"{}")),
    "a-list": ("form", "not an object", Case(text=lambda data: b"[" + data + b"]")),
    "duplicate-key": (
        "form",
        "two vkeys members; readers disagree which counts",
        Case(text=lambda data: data[:-1] + b',"vkeys":[]}'),
    ),
    "unknown-field": ("form", "a member that the format does not have", Case(bundle=put(verified=True))),
    "missing-field": ("form", "no openings member", Case(bundle=put(openings=None))),
    "other-type": ("form", "another version of the format", Case(text=swap(b"aibox.receipt/1", b"aibox.receipt/2"))),
    "escaped-ascii": (
        "form",
        "the same text, spelled with an escape",
        Case(text=swap(b'"@":"aibox.r', b'"@":"\\u0061ibox.r')),
    ),
    "upper-case-hash": (
        "form",
        "a hash in capitals",
        Case(bundle=lambda b: b["chain"].append(b["chain"].pop().upper())),
    ),
    "unpadded-base64": ("form", "base64 without its padding", Case(bundle=unpadded)),
    "loose-base64": ("form", "base64 with unused bits set: other text, same bytes", Case(bundle=loose_bits)),
    "one-verifier-key": ("form", "no ML-DSA-44 key", Case(bundle=drop("vkeys", 1))),
    "swapped-verifier-keys": ("form", "the keys in the other order", Case(bundle=swapped_keys)),
    "event-and-leaf": (
        "form",
        "an event that is both shown and withheld",
        Case(bundle=lambda b: b["events"][0].update(leaf="00" * 32)),
    ),
    "event-duplicate-key": (
        "form",
        "the log itself signed an event with two bodies",
        Case(lay=only(1, b'"body":{', b'"body":{},"body":{')),
    ),
    "event-unknown-field": (
        "form",
        "the log itself signed an event with a field too many",
        Case(events=bent(small(), 1, put(note="x"))),
    ),
    "event-float": ("form", "a number with a fraction", Case(events=with_body(1, {"usd": 0.5}))),
    "event-float-whole": (
        "form",
        "1.0 is a float, though its value is whole",
        Case(lay=only(2, b'"seq":2', b'"seq":2.0')),
    ),
    "event-exponent": ("form", "a number with an exponent", Case(lay=only(2, b'"seq":2', b'"seq":2e0'))),
    "event-minus-zero": ("form", "-0 is another spelling of 0", Case(lay=only(0, b'"seq":0', b'"seq":-0'))),
    "event-large-integer": (
        "form",
        "2^53: readers with doubles see another number",
        Case(events=with_body(1, {"n": 2**53})),
    ),
    "event-huge-integer": (
        "form",
        "an integer of 5,000 digits",
        Case(lay=only(1, b'"mono_ns":', b'"mono_ns":' + b"9" * 5000)),
    ),
    "event-true-for-1": ("form", "true where a number belongs", Case(events=bent(small(), 1, put(seq=True)))),
    "event-lone-surrogate": ("form", "half a character", Case(lay=only(1, b'"runtime"', b'"\\ud800"'))),
    "event-non-ascii-key": ("form", "a member named outside ASCII", Case(events=with_body(1, {"größe": 1}))),
    "event-unsorted": (
        "form",
        "members out of order",
        Case(lay=only(1, b'"seq":1,"src":"runtime"', b'"src":"runtime","seq":1')),
    ),
    "event-depth-33": ("form", "one level too deep", Case(events=with_body(1, nested(33)))),
    "event-depth-5000": (
        "form",
        "deep enough to exhaust a stack",
        Case(lay=only(1, b'"body":{', b'"body":{"in":' + b"[" * 5000 + b"]" * 5000 + b",")),
    ),
    "event-nan": ("form", "NaN is not JSON", Case(lay=only(2, b'"seq":2', b'"seq":NaN'))),
    "event-upper-case-uuid": (
        "form",
        "a UUID in capitals",
        Case(events=bent(small(), 1, lambda e: e.update(ev=e["ev"].upper()))),
    ),
    "envelope-unknown-outcome": ("form", "an outcome that does not exist", Case(envelope=put(outcome="approved"))),
    "envelope-extra-field": ("form", "a signed field that nobody knows", Case(envelope=put(approved=True))),
    "envelope-index-0": ("form", "entry 0 of a log is always a key", Case(envelope=put(idx=0))),
    "envelope-spaced": (
        "form",
        "the log signed an envelope with a space in it",
        Case(envelope_text=swap(b'"idx":3', b'"idx": 3')),
    ),
    "key-other-algorithm": ("form", "a key of an algorithm that is not known", Case(key=put(alg="rsa"))),
    "key-span-513": ("form", "a key that may sign too much", Case(key=put(span=513))),
    "checkpoint-extension": (
        "form",
        "an extension line, which ML-DSA-44 does not sign",
        Case(checkpoint=lambda n: n.replace("\n\n", "\nhello\n\n", 1)),
    ),
    "checkpoint-one-signature": (
        "form",
        "the ML-DSA-44 line is missing",
        Case(checkpoint=lambda n: "\n".join([*lines(n)[:5], ""])),
    ),
    "checkpoint-third-signature": (
        "form",
        "a line by someone unknown",
        Case(checkpoint=lambda n: n + "— example.org/w " + "AAAA" * 25 + "\n"),
    ),
    "checkpoint-leading-zero": (
        "form",
        "size 05 is another spelling of 5",
        Case(checkpoint=lambda n: n.replace("\n5\n", "\n05\n")),
    ),
    "checkpoint-crlf": ("form", "other line ends", Case(checkpoint=lambda n: n.replace("\n", "\r\n"))),
    "checkpoint-hyphen": ("form", "a hyphen for the dash", Case(checkpoint=lambda n: n.replace("—", "-"))),
    # events
    "event-missing": ("events", "one event was left out", Case(bundle=drop("events", 1))),
    "event-added": ("events", "one event was added", Case(bundle=twice("events"))),
    "one-event": ("events", "a turn of one event", Case(events=small()[:1])),
    "events-swapped": ("events", "two withheld events changed places", Case(withheld=[0, 1], bundle=first_two_swapped)),
    "event-replaced": (
        "events",
        "a withheld event is another one",
        Case(withheld=[1], bundle=set_in("events", 1, {"leaf": "ab" * 32})),
    ),
    "event-edited": ("events", "an event was changed after it was sealed", Case(bundle=event_edited)),
    "event-other-turn": (
        "events",
        "an event of another turn",
        Case(events=bent(small(), 1, put(turn=uuid7("elsewhere")))),
    ),
    "event-other-tenant": (
        "events",
        "an event of another tenant",
        Case(events=bent(small(), 1, put(tenant=uuid7("tenant")))),
    ),
    "event-wrong-number": ("events", "number 2 stands in place 1", Case(events=bent(small(), 1, put(seq=2)))),
    "no-turn-started": (
        "events",
        "the first event is not turn_started",
        Case(events=bent(small(), 0, put(type="auth.login"))),
    ),
    "no-turn-sealed": (
        "events",
        "the last event is not turn_sealed",
        Case(events=bent(small(), 2, put(type="turn_failed"))),
    ),
    "sealed-in-the-middle": (
        "events",
        "something happened after turn_sealed",
        Case(events=bent(small(), 1, put(type="turn_sealed"))),
    ),
    "doubled-last-event": ("events", "a tree that pairs the last event with itself", Case(root=doubled)),
    "wrong-root": ("events", "the envelope states another root", Case(envelope=put(root="00" * 32))),
    # signature
    "signature-other-key": (
        "signature",
        "signed by a key that is not the key leaf's",
        Case(sign=lambda _, data: receipts.sign_envelope(envelope_key("day 2"), data)),
    ),
    "signature-without-pae": (
        "signature",
        "signed without saying what kind of thing it is",
        Case(sign=lambda key, data: key.sign(data)),
    ),
    "signature-zero": ("signature", "64 zero bytes", Case(sign=lambda _, data: bytes(64))),
    # key
    "key-beyond-span": ("key", "the entry after the last one that the key may sign", Case(between=3, span=3)),
    "key-other-id": ("key", "the key leaf names another key", Case(key=put(kid="0" * 16))),
    "key-of-other-log": ("key", "the key was authorised by another log", Case(key=put(log=ELSEWHERE))),
    "key-not-in-tree": (
        "key",
        "the key leaf is not where it says it is",
        Case(bundle=in_key(lambda k: k["inclusion"].reverse())),
    ),
    "key-path-long": (
        "key",
        "a proof with a hash too many",
        Case(bundle=in_key(lambda k: k["inclusion"].append("00" * 32))),
    ),
    "key-path-short": ("key", "a proof with a hash too few", Case(bundle=in_key(lambda k: k["inclusion"].pop()))),
    # chain
    "chain-hash-replaced": ("chain", "an entry between was replaced", Case(bundle=set_in("chain", 0, "cd" * 32))),
    "chain-hash-missing": ("chain", "an entry between was left out", Case(bundle=drop("chain", 0))),
    "chain-hashes-swapped": (
        "chain",
        "two entries between changed places",
        Case(bundle=lambda b: b["chain"].reverse()),
    ),
    "chain-other-genesis": ("chain", "entry 0 does not begin this log's chain", Case(key=put(prev="00" * 32))),
    "chain-other-prev": ("chain", "the envelope continues another chain", Case(envelope=put(prev="00" * 32))),
    # inclusion
    "inclusion-path-long": ("inclusion", "a proof with a hash too many", Case(bundle=add("inclusion", "00" * 32))),
    "inclusion-path-short": ("inclusion", "a proof with a hash too few", Case(bundle=drop("inclusion", 0))),
    "inclusion-other-hash": ("inclusion", "a proof of something else", Case(bundle=set_in("inclusion", 1, "ef" * 32))),
    # checkpoint
    "checkpoint-other-log": ("checkpoint", "the head of another log, rightly signed", Case(signer=signer(ELSEWHERE))),
    "checkpoint-other-ed25519": ("checkpoint", "the Ed25519 signature is another key's", Case(checkpoint=by(OTHER, 0))),
    "checkpoint-other-ml-dsa": (
        "checkpoint",
        "the ML-DSA-44 signature is another key's",
        Case(checkpoint=by(OTHER, 1)),
    ),
    "checkpoint-other-time": (
        "checkpoint",
        "the time of signing was moved by a second",
        Case(checkpoint=restate(1, lambda s: s[:11] + bytes([s[11] ^ 1]) + s[12:])),
    ),
    "checkpoint-no-time": ("checkpoint", "the head says no time", Case(at=0)),
    "checkpoint-far-future": ("checkpoint", "a time after the year 9999", Case(at=2**63 - 1)),
    "checkpoint-key-id": (
        "checkpoint",
        "a signature line with another key id",
        Case(checkpoint=restate(0, lambda s: bytes(4) + s[4:])),
    ),
    "verifier-key-id": ("checkpoint", "a verifier key whose id is not its own", Case(bundle=wrong_key_id)),
    "vkey-name-with-space": ("form", "a verifier key named with a space", Case(bundle=in_vkey(0, " ", at=0))),
    "vkey-without-id": ("form", "a verifier key without its parts", Case(bundle=set_in("vkeys", 0, "key"))),
    "vkey-upper-case-id": ("form", "a key id in capitals", Case(bundle=upper_key_id)),
    "vkey-short": ("form", "an Ed25519 key of 31 bytes", Case(bundle=short_key)),
    "two-ed25519-keys": ("form", "no ML-DSA-44 key", Case(bundle=lambda b: set_in("vkeys", 1, b["vkeys"][0])(b))),
    "hash-is-a-number": ("form", "a number where a hash belongs", Case(bundle=set_in("chain", 0, 1))),
    "signature-is-a-number": ("form", "a number where base64 belongs", Case(bundle=put(signature=1))),
    "event-negative": ("form", "a time before 1970", Case(events=bent(small(), 1, put(ts_us=-1)))),
    "event-large-negative": ("form", "-2^53", Case(events=with_body(1, {"n": -(2**53)}))),
    "event-depth-33-of-lists": (
        "form",
        "one level too deep, in lists",
        Case(events=with_body(1, {"in": nested_lists(31)})),
    ),
    "key-span-0": ("form", "a key that may sign nothing", Case(key=put(span=0))),
    "checkpoint-size-large": (
        "form",
        "a size of 2^53",
        Case(checkpoint=lambda n: n.replace("\n5\n", "\n9007199254740992\n")),
    ),
    "checkpoint-root-long": (
        "form",
        "a root of 33 bytes",
        Case(checkpoint=lambda n: n.replace(lines(n)[2], base64.b64encode(bytes(33)).decode())),
    ),
    "checkpoint-size-largest": (
        "key inclusion checkpoint",
        "a head that claims as many entries as there can be",
        Case(checkpoint=lambda n: n.replace("\n5\n", "\n9007199254740991\n")),
    ),
    "checkpoint-year-10000": ("checkpoint", "a time after the year 9999, by a second", Case(at=253_402_300_800)),
    "checkpoint-time-of-8-bytes": ("checkpoint", "a time whose first byte counts", Case(at=(1 << 56) + 5)),
    "envelope-at-its-key": (
        "key chain inclusion",
        "an envelope in the place of its own key leaf",
        Case(before_key=1, envelope=put(idx=1)),
    ),
    "inclusion-path-long-below": (
        "inclusion",
        "a hash too many below the entry",
        Case(bundle=lambda b: b["inclusion"].insert(0, "00" * 32)),
    ),
    # witnesses
    "witnesses-empty": ("form", "a list of no witnesses is left out", Case(bundle=put(witnesses=[]))),
    "witness-of-log-type": (
        "form",
        "a log's Ed25519 key as a witness's",
        Case(witnesses=[WITNESS], bundle=lambda b: b["witnesses"].__setitem__(0, b["vkeys"][0])),
    ),
    "cosignature-cut": (
        "form",
        "a cosignature that is a byte short",
        Case(witnesses=[WITNESS], checkpoint=restate(2, lambda s: s[:-1])),
    ),
    "cosignature-of-log-length": (
        "form",
        "a cosignature without a time",
        Case(witnesses=[WITNESS], checkpoint=restate(2, lambda s: s[:4] + s[12:])),
    ),
    "cosignature-missing": (
        "checkpoint",
        "a witness is named whose cosignature is not there",
        Case(witnesses=[WITNESS], checkpoint=lambda note: "\n".join([*lines(note)[:-2], ""])),
    ),
    "witness-missing": (
        "checkpoint",
        "a cosignature by a witness that is not named",
        Case(witnesses=[WITNESS], bundle=drop("witnesses", 1)),
    ),
    "witness-unnamed": (
        "checkpoint",
        "cosignatures, and no witnesses at all",
        Case(witnesses=[WITNESS], bundle=put(witnesses=None)),
    ),
    "witness-twice": (
        "checkpoint",
        "one cosignature, counted twice",
        Case(
            witnesses=[WITNESS],
            checkpoint=lambda note: note + line_of(note, 3) + "\n",
            bundle=twice("witnesses"),
        ),
    ),
    "witnesses-unsorted": (
        "checkpoint",
        "the witnesses in another order",
        Case(
            witnesses=[WITNESS],
            checkpoint=lambda note: "\n".join([*lines(note)[:-3], *lines(note)[-3:-1][::-1], ""]),
            bundle=lambda b: b["witnesses"].reverse(),
        ),
    ),
    "cosignature-of-other-head": (
        "checkpoint",
        "an Ed25519 cosignature of another head",
        Case(witnesses=[WITNESS], checkpoint=restate(2, lambda s: s[:12] + cosigned_elsewhere(0)[12:])),
    ),
    "cosignature-of-other-head-ml-dsa": (
        "checkpoint",
        "an ML-DSA-44 cosignature of another head",
        Case(witnesses=[WITNESS], checkpoint=restate(3, lambda s: s[:12] + cosigned_elsewhere(1)[12:])),
    ),
    "cosignature-other-time": (
        "checkpoint",
        "the time of a cosignature was moved by a second",
        Case(witnesses=[WITNESS], checkpoint=restate(2, lambda s: s[:11] + bytes([s[11] ^ 1]) + s[12:])),
    ),
    "cosignature-no-time": ("checkpoint", "cosigned in 1970", Case(witnesses=[WITNESS], cosigned_at=0)),
    "cosignature-far-future": (
        "checkpoint",
        "cosigned in the year 10000",
        Case(witnesses=[WITNESS], cosigned_at=253_402_300_800),
    ),
    "cosignature-key-id": (
        "checkpoint",
        "a cosignature line with another key id",
        Case(witnesses=[WITNESS], checkpoint=restate(2, lambda s: bytes(4) + s[4:])),
    ),
    "cosignature-other-name": (
        "checkpoint",
        "a cosignature line with another name",
        Case(
            witnesses=[WITNESS], checkpoint=lambda n: n.replace("\n— witness.example/a ", "\n— witness.example/z ", 1)
        ),
    ),
    "cosignature-lengths-swapped": (
        "checkpoint",
        "the cosignatures of a witness's two keys in each other's place",
        Case(
            witnesses=[WITNESS],
            checkpoint=lambda note: "\n".join([*lines(note)[:-3], *lines(note)[-3:-1][::-1], ""]),
        ),
    ),
    "witness-key-id": (
        "checkpoint",
        "a witness's key whose id is not its own",
        Case(witnesses=[WITNESS], bundle=wrong_witness_id),
    ),
    # the older head
    "older-0": (
        "form",
        "every log continues the empty one: there is nothing to say",
        Case(bundle=continued(0, b"", [])),
    ),
    "older-same": ("checkpoint", "a head does not continue itself", Case(older=3, after=6, bundle=at_own_size)),
    "older-larger": (
        "checkpoint",
        "a head does not continue a larger one",
        Case(older=3, after=6, bundle=lambda b: b["consistency"].update({"from": 99})),
    ),
    "older-other-root": (
        "checkpoint",
        "the older head had another root: the log was rewritten",
        Case(older=3, after=6, bundle=lambda b: b["consistency"].update(root="00" * 32)),
    ),
    "older-other-root-of-4": (
        "checkpoint",
        "another root of a whole subtree, which the path then starts from",
        Case(older=4, after=3, bundle=lambda b: b["consistency"].update(root="00" * 32)),
    ),
    "older-other-size": (
        "checkpoint",
        "the path is of another size",
        Case(older=3, after=6, bundle=lambda b: b["consistency"].update({"from": 5})),
    ),
    "older-path-short": (
        "checkpoint",
        "a path with a hash too few",
        Case(older=3, after=6, bundle=lambda b: b["consistency"]["path"].pop(0)),
    ),
    "older-path-long": (
        "checkpoint",
        "a path with a hash too many",
        Case(older=3, after=6, bundle=lambda b: b["consistency"]["path"].insert(0, "00" * 32)),
    ),
    "older-path-long-of-4": (
        "checkpoint",
        "a path from a whole subtree with a hash too many",
        Case(older=4, after=3, bundle=lambda b: b["consistency"]["path"].insert(0, "00" * 32)),
    ),
    "older-path-empty": (
        "checkpoint",
        "no path at all",
        Case(older=3, after=6, bundle=lambda b: b["consistency"]["path"].clear()),
    ),
    "older-path-replaced": (
        "checkpoint",
        "a path of something else",
        Case(older=3, after=6, bundle=lambda b: b["consistency"]["path"].__setitem__(-1, "ab" * 32)),
    ),
    # tombstones
    "erased-empty": ("form", "a list of no erasures is left out", Case(bundle=put(erased=[]))),
    "erased-nothing": ("form", "a tombstone that is there for no artifact", Case(stones=[Stone(item=put(arts=[]))])),
    "tombstone-unknown-reason": (
        "form",
        "a reason that does not exist",
        Case(stones=[Stone(entry=put(reason="accident"))]),
    ),
    "tombstone-of-none": ("form", "a tombstone over nothing", Case(stones=[Stone(entry=put(count=0))])),
    "tombstone-spaced": (
        "form",
        "a tombstone spelled in another way",
        Case(stones=[Stone(item=lambda i: i.update(leaf=i["leaf"].replace(",", ", ", 1)))]),
    ),
    "tombstone-other-tenant": (
        "openings",
        "a tombstone of another tenant",
        Case(stones=[Stone(entry=put(tenant=uuid7("tenant")))]),
    ),
    "tombstone-other-log": (
        "openings",
        "a tombstone that says it is in another log than its head",
        Case(stones=[Stone(entry=put(log=NEXT_YEAR))]),
    ),
    "tombstone-forged-head": (
        "openings",
        "the head over the tombstone is signed by someone else",
        Case(stones=[Stone(item=lambda i: i.update(vkeys=[str(key) for key in OTHER.keys]))]),
    ),
    "tombstone-cosigned": (
        "openings",
        "a head with a cosignature that nobody checks",
        Case(witnesses=[WITNESS], stones=[Stone(checkpoint=with_a_cosignature)]),
    ),
    "tombstone-not-in-tree": (
        "openings",
        "the tombstone is not where it says it is",
        Case(stones=[Stone(item=lambda i: i["inclusion"].reverse())]),
    ),
    "tombstone-beyond-head": (
        "openings",
        "the last entry claims a place beyond the head",
        Case(stones=[Stone(entry=put(idx=99))], after=0),
    ),
    "tombstone-after-head": (
        "openings",
        "the last entry claims the place after it",
        Case(stones=[Stone(entry=put(idx=5))], after=0),
    ),
    "tombstone-no-time": ("openings", "the head over the tombstone says no time", Case(stones=[Stone(at=0)])),
    "tombstone-other-artifact": (
        "openings",
        "the path of another artifact",
        Case(stones=[Stone(arts=[(1, 0), (1, 1)], item=swapped_paths)]),
    ),
    "tombstone-place-beyond": (
        "openings",
        "a place beyond the tombstone's count",
        Case(stones=[Stone(others=0, item=lambda i: i["arts"][0].update(place=1))]),
    ),
    "tombstone-path-long": (
        "openings",
        "a path with a hash too many",
        Case(stones=[Stone(item=lambda i: i["arts"][0]["path"].append("00" * 32))]),
    ),
    "tombstone-other-root": ("openings", "another root", Case(stones=[Stone(entry=put(root="00" * 32))])),
    "erased-no-such-artifact": (
        "openings",
        "an artifact the event does not have",
        Case(stones=[Stone(item=lambda i: i["arts"][0].update(art=2))]),
    ),
    "erased-no-such-event": (
        "openings",
        "an event the turn does not have",
        Case(stones=[Stone(item=lambda i: i["arts"][0].update(event=3))]),
    ),
    "erased-of-withheld": (
        "openings",
        "an artifact of an event that is not shown",
        Case(stones=[Stone()], withheld=[1]),
    ),
    "erased-twice-over": (
        "openings",
        "one artifact, counted twice",
        Case(stones=[Stone(item=lambda i: i["arts"].append(i["arts"][0]))]),
    ),
    "erased-unsorted": (
        "openings",
        "the erased artifacts are not in order",
        Case(stones=[Stone(arts=[(1, 0), (1, 1)], item=lambda i: i["arts"].reverse())]),
    ),
    # openings
    "opening-other-data": (
        "openings",
        "an opened prompt that was edited",
        Case(openings=[opening(1, 0, PROMPT, data=b"What is for lunch?")]),
    ),
    "opening-other-salt": ("openings", "another salt", Case(openings=[opening(1, 0, PROMPT, salt=bytes(32))])),
    "opening-other-media-type": (
        "openings",
        "another media type",
        Case(openings=[opening(1, 0, PROMPT, media_type="text/html")]),
    ),
    "opening-of-late-other-data": (
        "openings",
        "other data than a late event committed to",
        Case(late=[Late()], openings=[opening(3, 0, late_art(4))]),
    ),
    "opening-of-late-withheld": (
        "openings",
        "an artifact of a late event that is not shown",
        Case(late=[Late()], openings=[opening(3, 0, late_art(3))], bundle=late_withheld),
    ),
    "addenda-empty": ("form", "addenda, but none", Case(bundle=put(addenda=[]))),
    "addendum-of-none": ("form", "an addendum of no events", Case(late=[Late(entry=put(events=0))])),
    "addendum-from-0": ("form", "an addendum that begins the turn", Case(late=[Late(entry=put(first=0))])),
    "addendum-spaced": (
        "form",
        "spaces in the addendum",
        Case(late=[Late(item=lambda i: i.update(leaf=i["leaf"].replace(",", ", ", 1)))]),
    ),
    "addendum-unknown-field": ("form", "a field nobody knows", Case(late=[Late(entry=put(reason="late"))])),
    "addendum-event-float": (
        "form",
        "a float in a late event",
        Case(late=[Late(lay=swap(b'"result":"ok"', b'"result":0.5'))]),
    ),
    "addendum-other-envelope": ("addenda", "another envelope", Case(late=[Late(entry=put(entry="00" * 32))])),
    "addendum-other-tenant": ("addenda", "another tenant", Case(late=[Late(entry=put(tenant=uuid7("tenant")))])),
    "addendum-other-turn": ("addenda", "another turn", Case(late=[Late(entry=put(turn=uuid7("other")))])),
    "addendum-over-the-turn": (
        "addenda",
        "a late event with the number of the turn's last one",
        Case(late=[Late(skipped=-1)]),
    ),
    "addenda-overlap": ("addenda", "two late events with one number", Case(late=[Late(count=2), Late(skipped=-1)])),
    "addenda-swapped": (
        "addenda",
        "the later addendum first",
        Case(late=[Late(), Late()], bundle=lambda b: b["addenda"].reverse()),
    ),
    "addendum-event-missing": (
        "addenda",
        "the last late event is not there",
        Case(late=[Late(count=2, item=lambda i: i["events"].pop())]),
    ),
    "addendum-event-added": (
        "addenda",
        "one late event more than the entry states",
        Case(late=[Late(item=lambda i: i["events"].append({"leaf": "00" * 32}))]),
    ),
    "addendum-event-number": ("addenda", "another number than its place", Case(late=[Late(event=put(seq=4))])),
    "addendum-event-other-turn": (
        "addenda",
        "a late event of another turn",
        Case(late=[Late(event=put(turn=uuid7("other")))]),
    ),
    "addendum-event-other-tenant": (
        "addenda",
        "a late event of another tenant",
        Case(late=[Late(event=put(tenant=uuid7("tenant")))]),
    ),
    "addendum-event-replaced": (
        "addenda",
        "a late event that the entry does not commit to",
        Case(late=[Late(item=lambda i: i.update(events=[{"leaf": "00" * 32}]))]),
    ),
    "addendum-starts-again": ("addenda", "a second beginning", Case(late=[Late(event=put(type="turn_started"))])),
    "addendum-ends-in-its-middle": (
        "addenda",
        "a second end, and another event after it",
        Case(late=[Late(count=2, event=lambda e: e.update(type="turn_sealed" if e["seq"] == 3 else e["type"]))]),
    ),
    "addendum-ends-again": ("addenda", "a second end", Case(late=[Late(event=put(type="turn_sealed"))])),
    "addendum-other-root": ("addenda", "another root", Case(late=[Late(entry=put(root="00" * 32))])),
    "addendum-other-log": ("addenda", "an entry of another log", Case(late=[Late(entry=put(log=NEXT_YEAR))])),
    "addendum-forged-head": (
        "addenda",
        "the head over the addendum is by other keys",
        Case(late=[Late(item=lambda i: i.update(vkeys=[str(key) for key in OTHER.keys]))]),
    ),
    "addendum-cosigned": (
        "addenda",
        "a cosignature that no key is named for",
        Case(witnesses=[WITNESS], late=[Late(checkpoint=with_a_cosignature)]),
    ),
    "addendum-no-time": ("addenda", "the head over the addendum says no time", Case(late=[Late(at=0)])),
    "addendum-not-in-tree": (
        "addenda",
        "a path to another root",
        Case(late=[Late(item=lambda i: i["inclusion"].reverse())], after=4),
    ),
    "addendum-elsewhere": ("addenda", "not at the place that it states", Case(late=[Late(entry=put(idx=2))])),
    "addendum-beyond-head": ("addenda", "after the head", Case(late=[Late(entry=put(idx=99))], after=0)),
    "previous-opened-later": (
        "checkpoint",
        "the opening leaf is entry 2",
        Case(before=Before(behind=1)),
    ),
    "previous-of-other-log": (
        "checkpoint",
        "the opening leaf is of another log",
        Case(before=Before(opening=put(log=ELSEWHERE))),
    ),
    "previous-not-in-tree": (
        "checkpoint",
        "the opening leaf is not in the tree",
        Case(before=Before(item=lambda i: i["inclusion"].reverse())),
    ),
    "previous-other-origin": (
        "checkpoint",
        "the opening leaf names another log than the head is of",
        Case(before=Before(opening=put(last=ELSEWHERE))),
    ),
    "previous-forged-head": (
        "checkpoint",
        "the last head of the log before is by other keys",
        Case(before=Before(item=lambda i: i.update(vkeys=[str(key) for key in signer(LAST_YEAR, "other log").keys]))),
    ),
    "previous-no-time": ("checkpoint", "the last head of the log before says no time", Case(before=Before(at=0))),
    "previous-cosigned": (
        "checkpoint",
        "a cosignature that no key is named for",
        Case(before=Before(checkpoint=with_a_cosignature)),
    ),
    "previous-other-size": ("checkpoint", "another size", Case(before=Before(opening=put(size=5)))),
    "previous-other-root": ("checkpoint", "another root", Case(before=Before(opening=put(root="00" * 32)))),
    "previous-goes-elsewhere": (
        "checkpoint",
        "the log before names another that follows it",
        Case(before=Before(closing=put(next=NEXT_YEAR))),
    ),
    "previous-closed-elsewhere": (
        "checkpoint",
        "the closing leaf is of another log",
        Case(before=Before(closing=put(log=ELSEWHERE))),
    ),
    "previous-not-closed": (
        "checkpoint",
        "the closing leaf is not the last entry",
        Case(before=Before(closing=put(idx=4))),
    ),
    "previous-closing-not-in-tree": (
        "checkpoint",
        "the closing leaf is not in the tree of the log before",
        Case(before=Before(item=lambda i: i["closing"]["inclusion"].reverse())),
    ),
    "previous-never-closed": (
        "form",
        "an opening leaf in the place of the closing one",
        Case(before=Before(item=lambda i: i["closing"].update(leaf=i["leaf"]))),
    ),
    "previous-never-opened": (
        "form",
        "a closing leaf in the place of the opening one",
        Case(before=Before(item=lambda i: i.update(leaf=i["closing"]["leaf"]))),
    ),
    "previous-unknown-field": ("form", "a field nobody knows", Case(before=Before(item=put(year=2025)))),
    "previous-older-other-root": (
        "checkpoint",
        "another root of the older head of the log before",
        Case(before=Before(older=3, item=lambda i: i["consistency"].update(root="00" * 32))),
    ),
    "previous-older-same": (
        "checkpoint",
        "the last head of the log before named as its older one",
        Case(before=Before(item=ended_at_own_size)),
    ),
    "opening-no-such-artifact": (
        "openings",
        "an artifact the event does not have",
        Case(openings=[opening(1, 2, PROMPT)]),
    ),
    "opening-no-such-event": ("openings", "an event the turn does not have", Case(openings=[opening(9, 0, PROMPT)])),
    "opening-of-withheld": (
        "openings",
        "an artifact of an event that is not shown",
        Case(openings=[opening(1, 0, PROMPT)], bundle=event_withheld),
    ),
    "opening-twice": (
        "openings",
        "the same artifact twice",
        Case(openings=[opening(1, 0, PROMPT)], bundle=twice("openings")),
    ),
    "openings-no-list": ("form", "no openings, as an object", Case(bundle=put(openings={}))),
    "openings-unsorted": (
        "openings",
        "the openings are not in order",
        Case(openings=[opening(1, 0, PROMPT), opening(1, 1, EMPTY)], bundle=lambda b: b["openings"].reverse()),
    ),
}


@dataclass
class Trust:
    """What a receipt is judged by: a policy, a head seen before; the step that refuses, if one does; and why."""

    why: str
    refused: list[str] = field(default_factory=list)
    receipt: str = "valid/small"
    policy: bytes | None = None
    pin: bytes | None = None


OWN = (ORIGIN, "log")
QUORUM = witnesses(WITNESS, SECOND, THIRD)

TRUST: dict[str, Trust] = {
    "policy": Trust("the log's own keys", policy=policy(OWN)),
    "policy-spaced": Trust(
        "a policy may be formatted by hand", policy=json.dumps(json.loads(policy(OWN)), indent=2).encode()
    ),
    "policy-many": Trust(
        "a rotated key of the same log, and another log", policy=policy((ELSEWHERE, "log"), (ORIGIN, "other log"), OWN)
    ),
    "policy-other-keys": Trust(
        "other keys are pinned for this log", refused=["trust"], policy=policy((ORIGIN, "other log"))
    ),
    "policy-other-log": Trust("the log is not in the policy", refused=["trust"], policy=policy((ELSEWHERE, "log"))),
    "policy-empty": Trust("nothing is pinned", refused=["trust"], policy=encode({"logs": []})),
    "policy-no-json": Trust("not JSON", refused=["trust"], policy=b"pinned"),
    "policy-unknown-field": Trust("a field nobody knows", refused=["trust"], policy=policy(OWN, note="x")),
    "policy-duplicate-key": Trust("two logs members", refused=["trust"], policy=b'{"logs":[],' + policy(OWN)[1:]),
    "policy-quorum-alone": Trust("a quorum of nobody", refused=["trust"], policy=policy(OWN, quorum=1)),
    "policy-witnesses-alone": Trust(
        "witnesses without a quorum", refused=["trust"], receipt="valid/witnessed", policy=policy(OWN, witnesses=QUORUM)
    ),
    "policy-quorum-0": Trust(
        "a quorum of none", refused=["trust"], receipt="valid/witnessed", policy=policy(OWN, quorum=0, witnesses=QUORUM)
    ),
    "policy-witness-of-log-type": Trust(
        "a log's key among the witnesses",
        refused=["trust"],
        receipt="valid/witnessed",
        policy=policy(OWN, quorum=1, witnesses=[*QUORUM, str(signer(ORIGIN).keys[0])]),
    ),
    "quorum": Trust(
        "two of three witnesses", receipt="valid/witnessed", policy=policy(OWN, quorum=2, witnesses=QUORUM)
    ),
    "quorum-of-keys": Trust(
        "a witness with two keys counts once",
        refused=["trust"],
        receipt="valid/witnessed",
        policy=policy(OWN, quorum=2, witnesses=witnesses(WITNESS, THIRD)),
    ),
    "quorum-missed": Trust(
        "two of three, and the policy asks for three",
        refused=["trust"],
        receipt="valid/witnessed",
        policy=policy(OWN, quorum=3, witnesses=QUORUM),
    ),
    "quorum-of-others": Trust(
        "only witnesses whom the policy does not name",
        refused=["trust"],
        receipt="valid/witnessed",
        policy=policy(OWN, quorum=1, witnesses=witnesses(THIRD)),
    ),
    "quorum-unwitnessed": Trust(
        "nobody cosigned the head", refused=["trust"], policy=policy(OWN, quorum=1, witnesses=QUORUM)
    ),
    "policy-next-year": Trust(
        "both logs are pinned, the turn's and the tombstone's",
        receipt="valid/erased-next-year",
        policy=policy(OWN, (NEXT_YEAR, "log")),
    ),
    "policy-this-year": Trust(
        "the tombstone's log is not in the policy",
        refused=["trust"],
        receipt="valid/erased-next-year",
        policy=policy(OWN),
    ),
    "policy-next-year-other-keys": Trust(
        "other keys are pinned for the tombstone's log",
        refused=["trust"],
        receipt="valid/erased-next-year",
        policy=policy(OWN, (NEXT_YEAR, "other log")),
    ),
    "policy-added": Trust(
        "both logs are pinned, the turn's and the addendum's",
        receipt="valid/added-next-year",
        policy=policy(OWN, (NEXT_YEAR, "log")),
    ),
    "policy-added-this-year": Trust(
        "the addendum's log is not in the policy",
        refused=["trust"],
        receipt="valid/added-next-year",
        policy=policy(OWN),
    ),
    "policy-added-other-keys": Trust(
        "other keys are pinned for the addendum's log",
        refused=["trust"],
        receipt="valid/added-next-year",
        policy=policy(OWN, (NEXT_YEAR, "other log")),
    ),
    "policy-both-years": Trust(
        "both logs are pinned, the turn's and the one before",
        receipt="valid/next-year",
        policy=policy(OWN, (LAST_YEAR, "log")),
    ),
    "policy-new-year": Trust(
        "the log before is not in the policy", refused=["trust"], receipt="valid/next-year", policy=policy(OWN)
    ),
    "policy-last-year-other-keys": Trust(
        "other keys are pinned for the log before",
        refused=["trust"],
        receipt="valid/next-year",
        policy=policy(OWN, (LAST_YEAR, "other log")),
    ),
    "pin-last-year": Trust(
        "the pinned head is the last one of the log before", receipt="valid/next-year-from-3", pin=last_pin(6)
    ),
    "pin-last-year-older": Trust(
        "the pinned head of the log before is the one that is continued",
        receipt="valid/next-year-from-3",
        pin=last_pin(3),
    ),
    "pin-last-year-rewritten": Trust(
        "the log before had another last head",
        refused=["trust"],
        receipt="valid/next-year-from-3",
        pin=last_pin(6, root=seed("rewritten")),
    ),
    "pin-last-year-older-rewritten": Trust(
        "the log before had another head of this size",
        refused=["trust"],
        receipt="valid/next-year-from-3",
        pin=last_pin(3, root=seed("rewritten")),
    ),
    "pin-last-year-unrelated": Trust(
        "the receipt says nothing of the pinned size",
        refused=["trust"],
        receipt="valid/next-year-from-3",
        pin=last_pin(4),
    ),
    "pin-last-year-unnamed": Trust(
        "the receipt names no head of the log before", refused=["trust"], receipt="valid/next-year", pin=last_pin(3)
    ),
    "pin-this-year": Trust(
        "a pinned head of the log itself, where the log before is named too",
        receipt="valid/next-year-everything",
        pin=pin(3, root=everything_of(3)),
    ),
    "pin-before-last-year": Trust(
        "the pinned head is of neither log", refused=["trust"], receipt="valid/next-year", pin=pin(6, origin=ELSEWHERE)
    ),
    "pin": Trust("the pinned head is the receipt's", receipt="valid/continued", pin=pin(10)),
    "pin-older": Trust("the pinned head is the one that is continued", receipt="valid/continued", pin=pin(3)),
    "pin-and-policy": Trust("pinned keys and a pinned head", receipt="valid/continued", policy=policy(OWN), pin=pin(3)),
    "pin-cosigned": Trust(
        "a pinned head may carry cosignatures",
        receipt="valid/continued",
        pin=with_a_cosignature(pin(3).decode()).encode(),
    ),
    "pin-rewritten": Trust(
        "the pinned head of this size had another root",
        refused=["trust"],
        receipt="valid/continued",
        pin=pin(10, root=seed("rewritten")),
    ),
    "pin-older-rewritten": Trust(
        "the pinned head had another root than the one that is continued",
        refused=["trust"],
        receipt="valid/continued",
        pin=pin(3, root=seed("rewritten")),
    ),
    "pin-unrelated": Trust(
        "the receipt says nothing of the pinned size", refused=["trust"], receipt="valid/continued", pin=pin(4)
    ),
    "pin-without-path": Trust("the receipt names no older head", refused=["trust"], pin=pin(3)),
    "pin-empty-log": Trust("a head of no entries binds nothing", refused=["trust"], pin=pin(0, root=merkle.EMPTY)),
    "pin-other-log": Trust(
        "the pinned head is of another log", refused=["trust"], receipt="valid/continued", pin=pin(10, origin=ELSEWHERE)
    ),
    "pin-no-checkpoint": Trust("not a checkpoint", refused=["trust"], receipt="valid/continued", pin=b"pinned\n"),
    "pin-not-utf-8": Trust("not even text", refused=["trust"], receipt="valid/continued", pin=b"\xff" + pin(10)),
    "pin-and-other-policy": Trust(
        "a pinned head does not make up for keys that are not pinned",
        refused=["trust"],
        receipt="valid/continued",
        policy=policy((ORIGIN, "other log")),
        pin=pin(10),
    ),
}


def make() -> dict[str, bytes]:
    """Every file of this folder that is made, by its relative path."""
    files: dict[str, bytes] = {}
    index: list[Fields] = []
    for name, (what, case) in VALID.items():
        files[f"valid/{name}.json"] = case.build()
        index.append({"receipt": f"valid/{name}.json", "refused": [], "why": what})
    for name, (step, why, case) in INVALID.items():
        files[f"invalid/{name}.json"] = case.build()
        index.append({"receipt": f"invalid/{name}.json", "refused": step.split(), "why": why})
    for name, trust in TRUST.items():
        given = {"policy": (f"policies/{name}.json", trust.policy), "pin": (f"pins/{name}.txt", trust.pin)}
        paths = {kind: path for kind, (path, data) in given.items() if data is not None}
        files |= {path: data for path, data in given.values() if data is not None}
        index.append({"receipt": f"{trust.receipt}.json", **paths, "refused": trust.refused, "why": trust.why})
    files["index.json"] = json.dumps(index, indent=1).encode() + b"\n"
    kept = {name: Remembered.memory[name] for name in sorted(Remembered.used)}
    files["ml-dsa.json"] = json.dumps(kept, indent=1).encode() + b"\n"
    return files


def main() -> None:
    """Write them all."""
    for path, data in make().items():
        (FOLDER / path).parent.mkdir(exist_ok=True)
        (FOLDER / path).write_bytes(data)


if __name__ == "__main__":
    main()
