"""Read a receipt strictly: one accepted spelling of every value, every field known, every type checked.

Nothing here decides whether a receipt is true, only that there is one way to read it.
"""

import base64
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 32
MAX_INTEGER = 2**53 - 1
Fields = dict[str, Any]


class Refused(Exception):
    """A check failed; the text says which, in words fit to show."""


class Head(NamedTuple):
    """A checkpoint: its signed text, what it states, its signature lines as (key name, id || signature)."""

    text: bytes
    origin: str
    size: int
    root: bytes
    signatures: list[tuple[str, bytes]]


class Receipt(NamedTuple):
    """A receipt of the right form: the exact bytes to hash, beside the fields read from them."""

    bundle: Fields
    envelope: Fields
    envelope_bytes: bytes
    events: list[tuple[Fields | None, bytes]]  # an event and its bytes, or None and its leaf hash
    key: Fields
    key_bytes: bytes
    head: Head


def read(data: bytes) -> Receipt:
    """Parse receipt.json and every document inside it."""
    if len(data) > MAX_BYTES:
        raise Refused("the receipt is larger than 64 MiB")
    bundle = parse(data, BUNDLE, "the receipt")
    events: list[tuple[Fields | None, bytes]] = []
    for place, item in enumerate(bundle["events"]):
        if "leaf" in item:
            events.append((None, bytes.fromhex(item["leaf"])))
        else:
            text = item["event"].encode()
            events.append((parse(text, EVENT, f"event {place}"), text))
    envelope, key = bundle["envelope"].encode(), bundle["key"]["leaf"].encode()
    return Receipt(
        bundle,
        parse(envelope, ENVELOPE, "the envelope"),
        envelope,
        events,
        parse(key, KEY, "the key leaf"),
        key,
        _head(bundle["checkpoint"]),
    )


def parse(data: bytes, shape: str, what: str, *, exact: bool = True) -> Fields:
    """Parse JSON of a known shape. With `exact`, only the one canonical encoding of the value is accepted.

    So no two readers of the same bytes see two things: not of a duplicate key, nor of a float or an integer
    beyond 2^53-1, which are read as null here and thereby differ from their encoding.
    """
    kind = "canonical" if exact else "strict"
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_members,
            parse_int=lambda digits: int(digits) if len(digits) < 18 and abs(int(digits)) <= MAX_INTEGER else None,
            parse_float=lambda digits: None,
            parse_constant=_members,  # NaN and Infinity: a name is no list of members, so this raises
        )
        canonical = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):  # not UTF-8, not JSON, a duplicate key, a lone surrogate
        raise Refused(f"{what} is not {kind} JSON") from None
    if (exact and canonical != data) or not _within(value, MAX_DEPTH):
        raise Refused(f"{what} is not {kind} JSON")
    if not fits(value, shape):
        raise Refused(f"{what} has a missing, unknown or malformed field")
    return value  # type: ignore[no-any-return]  # fits() has seen that it is an object


def fits(value: Any, shape: str) -> bool:
    """Whether a value is an object with just the fields of `shape`, each keeping its rule (`@`: its type)."""
    rules = dict(field.split(":") for field in shape.split())
    return (
        isinstance(value, dict)
        and value.keys() == rules.keys()
        and all(value[name] == rule if name == "@" else RULES[rule](value[name]) for name, rule in rules.items())
    )


def _members(pairs: Any) -> Fields:
    members = dict(pairs)
    if len(members) != len(pairs) or not all(name.isascii() for name in members):
        raise ValueError("a duplicate key, or one outside ASCII")
    return members


def _within(value: Any, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is None or (depth > 0 and all(_within(member, depth - 1) for member in inner))


def _head(text: str) -> Head:
    """A C2SP checkpoint (signed note) without extension lines and with exactly two signature lines."""
    line = r"\u2014 ([!-*,-~]{1,255}) ([0-9A-Za-z+/=]+)\n"
    match = re.fullmatch(
        rf"(([!-*,-~]{{1,255}})\n(0|[1-9][0-9]{{0,15}})\n([0-9A-Za-z+/=]{{44}})\n)\n{line}{line}", text
    )
    if not match:
        raise Refused("the checkpoint is not a note of origin, size, root and two signature lines")
    body, origin, size, root, first_name, first, second_name, second = match.groups()
    sizes = zip((root, first, second), (32, 4 + 64, 4 + 8 + 2420), strict=True)
    if int(size) > MAX_INTEGER or not all(_base64(length)(value) for value, length in sizes):
        raise Refused("the checkpoint has a number, hash or signature of the wrong length")
    lines = [(first_name, base64.b64decode(first)), (second_name, base64.b64decode(second))]
    return Head(body.encode(), origin, int(size), base64.b64decode(root), lines)


Rule = Callable[[Any], bool]


def _base64(length: int | None) -> Rule:
    """Padded standard base64 that re-encodes to itself."""

    def rule(value: Any) -> bool:
        try:
            data = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
        except ValueError:
            return False
        return base64.b64encode(data).decode() == value and length in (None, len(data))

    return rule


def _like(pattern: str) -> Rule:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _whole(low: int, high: int) -> Rule:
    return lambda value: type(value) is int and low <= value <= high  # a bool is no number


def _vkey(value: Any, size: int) -> bool:
    """A C2SP verifier key, name + key id + base64(type byte || public key), of `size` decoded bytes."""
    return _like(r"[!-*,-~]{1,255}\+[0-9a-f]{8}\+[0-9A-Za-z+/=]+")(value) and _base64(size)(value.split("+", 2)[2])


def _list(rule: Rule) -> Rule:
    return lambda value: isinstance(value, list) and all(rule(member) for member in value)


RULES: dict[str, Rule] = {
    "text": lambda value: isinstance(value, str),
    "object": lambda value: isinstance(value, dict),
    "hash": _like("[0-9a-f]{64}"),
    "hashes": _list(_like("[0-9a-f]{64}")),
    "uuid": _like("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    "kid": _like("[0-9a-f]{16}"),
    "origin": _like("[!-*,-~]{1,255}"),
    "outcome": _like("sealed|failed|abandoned|denied"),
    "alg": _like("ed25519"),
    "count": _whole(0, MAX_INTEGER),
    "positive": _whole(1, MAX_INTEGER),
    "span": _whole(1, 512),
    "base64": _base64(None),
    "bytes32": _base64(32),
    "bytes64": _base64(64),
    "artifacts": _list(lambda value: fits(value, "c:hash mt:text n:count")),
    "events": _list(lambda value: fits(value, "event:text") or fits(value, "leaf:hash")),
    "key": lambda value: fits(value, "inclusion:hashes leaf:text"),
    "openings": _list(lambda value: fits(value, "art:count data:base64 event:count mt:text salt:bytes32")),
    "vkeys": lambda value: (
        isinstance(value, list)
        and len(value) == 2
        and all(_vkey(vkey, size) for vkey, size in zip(value, (33, 1313), strict=True))
    ),
    "logs": _list(lambda value: fits(value, "origin:origin vkeys:vkeys")),
}
BUNDLE = (
    "@:aibox.receipt/1 chain:hashes checkpoint:text envelope:text events:events inclusion:hashes key:key "
    "openings:openings signature:bytes64 vkeys:vkeys"
)
ENVELOPE = (
    "@:aibox.turn/1 build:text events:positive idx:positive kid:kid log:origin outcome:outcome policy:text "
    "prev:hash principal:text root:hash sealed_us:count started_us:count tenant:uuid turn:uuid"
)
EVENT = (
    "@:aibox.event/1 arts:artifacts body:object ev:uuid mono_ns:count seq:count src:text tenant:uuid "
    "ts_us:count turn:uuid type:text"
)
KEY = "@:aibox.key/1 alg:alg idx:count kid:kid log:origin prev:hash pub:bytes32 span:span"
POLICY = "logs:logs"
