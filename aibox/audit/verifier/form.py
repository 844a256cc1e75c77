"""Read a receipt strictly: one accepted spelling of every value, every field known, every type checked.

Nothing here decides whether a receipt is true, only that there is one way to read it.
"""

import json
import re
from base64 import b64decode
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 32
MAX_INTEGER = 2**53 - 1
Fields = dict[str, Any]


class Refused(Exception):
    """A check failed; the text says which, in words fit to show."""


def require(holds: object, why: str) -> None:
    """Refuse, unless it holds."""
    if not holds:
        raise Refused(why)


class Head(NamedTuple):
    """A checkpoint: its signed text, what it states, and its signature lines: a key's name, and key id || signature."""

    text: bytes
    origin: str
    size: int
    root: bytes
    lines: list[tuple[str, bytes]]


class Proof(NamedTuple):
    """An entry of a log and its exact bytes, the item that proves it under a head, and the events it commits to.

    An event is its fields and its exact bytes; one that is withheld, None and its leaf hash.
    """

    item: Fields
    entry: Fields
    data: bytes
    head: Head
    events: list[tuple[Fields | None, bytes]]


class Receipt(NamedTuple):
    """All that a receipt proves: the turn, the key that signed it, what came after the seal, what was erased."""

    turn: Proof
    key: Proof
    addenda: list[Proof]
    tombstones: list[Proof]
    previous: list[Proof]  # none, or the first entry of this log that names the one before, and the last of that one


def read(data: bytes) -> Receipt:
    """Parse receipt.json and every document inside it."""
    require(len(data) <= MAX_BYTES, "the receipt is larger than 64 MiB")
    item = parse(data, "receipt", "the receipt")
    turn = _proof(item | {"leaf": item["envelope"]}, "envelope", "the envelope")
    key = _proof(item["key"], "key", "the key leaf", turn.head)
    addenda = [_proof(late, "addendum", "an addendum") for late in item.get("addenda", [])]
    tombstones = [_proof(stone, "tombstone", "a tombstone") for stone in item.get("erased", [])]
    previous = []
    if "previous" in item:
        before = item["previous"]
        previous.append(_proof(before, "opening", "the opening leaf", turn.head))
        previous.append(_proof(before | before["closing"], "closing", "the closing leaf"))
    return Receipt(turn, key, addenda, tombstones, previous)


def _proof(item: Fields, shape: str, what: str, head: Head | None = None) -> Proof:
    """What an item proves, under a head of its own unless one is given."""
    data = item["leaf"].encode()
    entry = parse(data, shape, what)
    events: list[tuple[Fields | None, bytes]] = []
    for place, event in enumerate(item.get("events", []), entry.get("first", 0)):
        require(len(event) == 1, f"event {place} must be either shown or withheld")
        if "leaf" in event:
            events.append((None, bytes.fromhex(event["leaf"])))
        else:
            text = event["event"].encode()
            events.append((parse(text, "event", f"event {place}"), text))
    return Proof(item, entry, data, head or read_head(item["checkpoint"]), events)


def parse(data: bytes, shape: str, what: str) -> Fields:
    """Parse JSON of a known shape, if its bytes are the one canonical encoding of its value.

    So no two readers of the same bytes see two things: not of a duplicate key, nor of a float or an integer
    beyond 2^53-1, which are read as null here and thereby differ from their encoding.
    """
    try:
        value = json.loads(
            data.decode(),
            parse_int=lambda digits: int(digits) if abs(int(digits)) <= MAX_INTEGER else None,
            parse_float=lambda digits: None,
            parse_constant=lambda name: None,
        )
        canonical = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):  # not UTF-8, not JSON, a lone surrogate, more than 4,300 digits
        raise Refused(f"{what} is not canonical JSON") from None
    require(canonical == data and _is_plain(value, MAX_DEPTH), f"{what} is not canonical JSON")
    require(fits(value, shape), f"{what} has a missing, unknown or malformed field")
    return value  # type: ignore[no-any-return]  # fits() has seen that it is an object


def _is_plain(value: Any, depth: int) -> bool:
    """Whether it is nested no deeper, and every key is ASCII: others are not sorted alike by everyone."""
    if isinstance(value, dict):
        return all(map(str.isascii, value)) and _is_plain([*value.values()], depth)
    return not isinstance(value, list) or (depth > 0 and all(_is_plain(member, depth - 1) for member in value))


def fits(value: Any, rule: str) -> bool:
    """Whether a value keeps a rule of RULES or SHAPES: `a*` a list of such, `a+` one of at least one, `a,b` a pair."""
    if rule.endswith(("*", "+")):
        is_list = isinstance(value, list) and len(value) >= rule.endswith("+")
        return is_list and all(fits(one, rule[:-1]) for one in value)
    if "," in rule:
        return isinstance(value, list) and len(value) == 2 and all(map(fits, value, rule.split(",")))
    if rule in RULES:
        return RULES[rule](value)
    needed, rules = _fields(rule)
    return (
        isinstance(value, dict)
        and needed <= value.keys() <= rules.keys()
        and all(value[name] == rules[name] if name == "@" else fits(value[name], rules[name]) for name in value)
    )


@cache
def _fields(shape: str) -> tuple[set[str], dict[str, str]]:
    """The names of the fields that must be there, and the rule of each that may be."""
    fields = dict(field.split(":") for field in SHAPES[shape].split())
    return {name for name in fields if name[-1] != "?"}, {name.rstrip("?"): rule for name, rule in fields.items()}


def read_head(text: str) -> Head:
    """A C2SP checkpoint (signed note) without extension lines: the log's two signature lines, then cosignatures."""
    found = re.fullmatch(NOTE, text)
    if not found or int(found[3]) > MAX_INTEGER:
        raise Refused("the checkpoint is not a note of origin, size, root, and signature lines of a known length")
    lines = [line.split(" ") for line in found[5].splitlines()]
    return Head(
        found[1].encode(),
        found[2],
        int(found[3]),
        b64decode(found[4]),
        [(name, b64decode(data)) for _, name, data in lines],
    )


def _base64(size: int) -> str:
    """A pattern of the one base64 encoding that so many bytes have."""
    tail = ("", "[0-9A-Za-z+/][AQgw]==", "[0-9A-Za-z+/]{2}[AEIMQUYcgkosw048]=")[size % 3]
    return f"[0-9A-Za-z+/]{{{size // 3 * 4}}}{tail}"


def _like(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high  # a bool is no number


NAME = "[!-*,-~]{1,255}"
LINE = f"\u2014 {NAME} "
LOG_LINES = f"{LINE}{_base64(4 + 64)}\n{LINE}{_base64(4 + 8 + 2420)}\n"
COSIGNATURES = f"(?:{LINE}(?:{_base64(4 + 8 + 64)}|{_base64(4 + 8 + 2420)})\n)*"
NOTE = f"(({NAME})\n(0|[1-9][0-9]{{0,15}})\n({_base64(32)})\n)\n({LOG_LINES}{COSIGNATURES})"
# C2SP verifier keys: the base64 after name and key id begins with the type, one byte: 1, 6 or 4.
ED25519 = rf"{NAME}\+[0-9a-f]{{8}}\+(?=A[Q-f]){_base64(1 + 32)}"
ML_DSA_44 = rf"{NAME}\+[0-9a-f]{{8}}\+(?=B[g-v]){_base64(1 + 1312)}"
COSIGNER = rf"{NAME}\+[0-9a-f]{{8}}\+(?=B[A-P]){_base64(1 + 32)}"
RULES: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "object": lambda value: isinstance(value, dict),
    "hash": _like("[0-9a-f]{64}"),
    "uuid": _like("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    "kid": _like("[0-9a-f]{16}"),
    "origin": _like(NAME),
    "outcome": _like("sealed|failed|abandoned|denied"),
    "reason": _like("request|retention"),
    "alg": _like("ed25519"),
    "count": _whole(0, MAX_INTEGER),
    "positive": _whole(1, MAX_INTEGER),
    "span": _whole(1, 512),
    "base64": _like(f"(?:[0-9A-Za-z+/]{{4}})*+(?:{_base64(1)}|{_base64(2)})?"),
    "bytes32": _like(_base64(32)),
    "bytes64": _like(_base64(64)),
    "ed25519": _like(ED25519),
    "ml-dsa-44": _like(ML_DSA_44),
    "witness": _like(f"{COSIGNER}|{ML_DSA_44}"),
}
SHAPES = {
    "receipt": "@:aibox.receipt/1 addenda?:late+ chain:hash* checkpoint:text consistency?:older envelope:text "
    "erased?:erased+ events:logged* inclusion:hash* key:leaf openings:opened* previous?:previous signature:bytes64 "
    "vkeys:ed25519,ml-dsa-44 witnesses?:witness+",
    "envelope": "@:aibox.turn/1 build:text events:positive idx:positive kid:kid log:origin outcome:outcome policy:text "
    "prev:hash principal:text root:hash sealed_us:count started_us:count tenant:uuid turn:uuid",
    "event": "@:aibox.event/1 arts:artifact* body:object ev:uuid mono_ns:count seq:count src:text tenant:uuid "
    "ts_us:count turn:uuid type:text",
    "key": "@:aibox.key/1 alg:alg idx:count kid:kid log:origin prev:hash pub:bytes32 span:span",
    "tombstone": "@:aibox.tombstone/1 count:positive erased_us:count idx:count log:origin prev:hash reason:reason "
    "root:hash tenant:uuid turn:uuid",
    "addendum": "@:aibox.addendum/1 entry:hash events:positive first:positive idx:count log:origin prev:hash root:hash "
    "tenant:uuid turn:uuid",
    "opening": "@:aibox.shard/1 idx:count last:origin log:origin prev:hash root:hash size:positive",
    "closing": "@:aibox.shard/1 idx:count log:origin next:origin prev:hash",
    "policy": "logs:log* quorum?:positive witnesses?:witness+",
    "artifact": "c:hash mt:text n:count",
    "logged": "event?:text leaf?:hash",
    "leaf": "inclusion:hash* leaf:text",
    "opened": "art:count data:base64 event:count mt:text salt:bytes32",
    "older": "from:positive path:hash* root:hash",
    "late": "checkpoint:text events:logged* inclusion:hash* leaf:text vkeys:ed25519,ml-dsa-44",
    "erased": "arts:erasure+ checkpoint:text inclusion:hash* leaf:text vkeys:ed25519,ml-dsa-44",
    "erasure": "art:count event:count path:hash* place:count",
    "previous": "checkpoint:text closing:leaf consistency?:older inclusion:hash* leaf:text vkeys:ed25519,ml-dsa-44",
    "log": "origin:origin vkeys:ed25519,ml-dsa-44",
}
