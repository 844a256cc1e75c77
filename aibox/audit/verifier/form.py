"""Read a receipt strictly: one accepted spelling of every value, every field known, every type checked.

Nothing here decides whether a receipt is true, only that there is one way to read it.
"""

import base64
import json
import re
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 32
MAX_INTEGER = 2**53 - 1
Fields = dict[str, Any]


class Type(IntEnum):
    """C2SP's signature types: the first is a log's, the second a witness's, the third serves both."""

    ED25519 = 0x01
    ED25519_COSIGNATURE = 0x04
    ML_DSA_44 = 0x06


SIGNATURE_SIZES: dict[int, int] = {Type.ED25519: 64, Type.ED25519_COSIGNATURE: 8 + 64, Type.ML_DSA_44: 8 + 2420}
KEY_SIZES: dict[int, int] = {Type.ED25519: 32, Type.ED25519_COSIGNATURE: 32, Type.ML_DSA_44: 1312}


class Refused(Exception):
    """A check failed; the text says which, in words fit to show."""


class Line(NamedTuple):
    """A signature line: the key's name, and key id || signature."""

    name: str
    data: bytes


class Head(NamedTuple):
    """A checkpoint: its signed text, what it states, its signature lines: the log's two, then those of witnesses."""

    text: bytes
    origin: str
    size: int
    root: bytes
    lines: list[Line]


class Logged(NamedTuple):
    """An event and its exact bytes; of one that is withheld, None and its leaf hash."""

    event: Fields | None
    held: bytes


class Tombstone(NamedTuple):
    """An entry that erased artifacts of this turn, as the receipt proves it."""

    item: Fields
    entry: Fields
    data: bytes
    head: Head


class Addendum(NamedTuple):
    """An entry that commits to events which came after the seal, and those events."""

    item: Fields
    entry: Fields
    data: bytes
    head: Head
    events: list[Logged]


class Previous(NamedTuple):
    """The log of the year before: the entry that names its last head, its own last entry, and that head."""

    item: Fields
    opening: Fields
    opening_bytes: bytes
    closing: Fields
    closing_bytes: bytes
    head: Head


class Receipt(NamedTuple):
    """A receipt of the right form: the exact bytes to hash, beside the fields read from them."""

    bundle: Fields
    envelope: Fields
    envelope_bytes: bytes
    events: list[Logged]
    key: Fields
    key_bytes: bytes
    head: Head
    tombstones: list[Tombstone]
    addenda: list[Addendum]
    previous: Previous | None
    numbered: dict[int, Fields | None]  # all events, the late ones too, by their number


def read(data: bytes) -> Receipt:
    """Parse receipt.json and every document inside it."""
    if len(data) > MAX_BYTES:
        raise Refused("the receipt is larger than 64 MiB")
    bundle = parse(data, BUNDLE, "the receipt")
    events = _events(bundle["events"], 0)
    envelope, key = bundle["envelope"].encode(), bundle["key"]["leaf"].encode()
    addenda = [_addendum(item) for item in bundle.get("addenda", [])]
    numbered = {place: event for place, (event, _) in enumerate(events)}
    for late in addenda:
        numbered |= {place: event for place, (event, _) in enumerate(late.events, late.entry["first"])}
    tombstones = []
    for item in bundle.get("erased", []):
        text = item["leaf"].encode()
        tombstones.append(Tombstone(item, parse(text, TOMBSTONE, "a tombstone"), text, read_head(item["checkpoint"])))
    return Receipt(
        bundle,
        parse(envelope, ENVELOPE, "the envelope"),
        envelope,
        events,
        parse(key, KEY, "the key leaf"),
        key,
        read_head(bundle["checkpoint"]),
        tombstones,
        addenda,
        _previous(bundle["previous"]) if "previous" in bundle else None,
        numbered,
    )


def _events(items: list[Fields], first: int) -> list[Logged]:
    events = []
    for place, item in enumerate(items, first):
        if "leaf" in item:
            events.append(Logged(None, bytes.fromhex(item["leaf"])))
        else:
            text = item["event"].encode()
            events.append(Logged(parse(text, EVENT, f"event {place}"), text))
    return events


def _addendum(item: Fields) -> Addendum:
    data = item["leaf"].encode()
    entry = parse(data, ADDENDUM, "an addendum")
    return Addendum(item, entry, data, read_head(item["checkpoint"]), _events(item["events"], entry["first"]))


def _previous(item: Fields) -> Previous:
    opening, closing = item["leaf"].encode(), item["closing"]["leaf"].encode()
    return Previous(
        item,
        parse(opening, OPENING, "the opening leaf"),
        opening,
        parse(closing, CLOSING, "the closing leaf"),
        closing,
        read_head(item["checkpoint"]),
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
            parse_int=lambda digits: int(digits) if abs(int(digits)) <= MAX_INTEGER else None,
            parse_float=lambda digits: None,
            parse_constant=_members,  # NaN and Infinity: a name is no list of members, so this raises
        )
        canonical = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):  # not UTF-8, not JSON, a duplicate key, a lone surrogate, > 4,300 digits
        raise Refused(f"{what} is not {kind} JSON") from None
    if (exact and canonical != data) or not _within(value, MAX_DEPTH):
        raise Refused(f"{what} is not {kind} JSON")
    if not fits(value, shape):
        raise Refused(f"{what} has a missing, unknown or malformed field")
    return value  # type: ignore[no-any-return]  # fits() has seen that it is an object


def fits(value: Any, shape: str) -> bool:
    """Whether a value is an object with just the fields of `shape`, each keeping its rule (`@`: its type).

    A field with a question mark may be left out.
    """
    fields = dict(field.split(":") for field in shape.split())
    rules = {name.rstrip("?"): rule for name, rule in fields.items()}
    return (
        isinstance(value, dict)
        and fields.keys() & rules.keys() <= value.keys() <= rules.keys()
        and all(value[name] == rules[name] if name == "@" else RULES[rules[name]](value[name]) for name in value)
    )


def _members(pairs: Any) -> Fields:
    members = dict(pairs)
    if len(members) != len(pairs) or not all(name.isascii() for name in members):
        raise ValueError("a duplicate key, or one outside ASCII")
    return members


def _within(value: Any, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is None or (depth > 0 and all(_within(member, depth - 1) for member in inner))


def read_head(text: str) -> Head:
    """A C2SP checkpoint (signed note) without extension lines: the log's two signature lines, then cosignatures."""
    line = r"\u2014 ([!-*,-~]{1,255}) ([0-9A-Za-z+/=]+)\n"
    body = r"(([!-*,-~]{1,255})\n(0|[1-9][0-9]{0,15})\n([0-9A-Za-z+/=]{44})\n)"
    match = re.fullmatch(rf"{body}\n((?:{line}){{2,}})", text)
    if not match:
        raise Refused("the checkpoint is not a note of origin, size, root and at least two signature lines")
    signed, origin, size, root, tail = match.groups()[:5]
    found = re.findall(line, tail)
    lengths = [{4 + SIGNATURE_SIZES[kind]} for kind in (Type.ED25519, Type.ML_DSA_44)]
    lengths += [{4 + SIGNATURE_SIZES[kind] for kind in (Type.ED25519_COSIGNATURE, Type.ML_DSA_44)}] * (len(found) - 2)
    if int(size) > MAX_INTEGER or not _base64({32})(root):
        raise Refused("the checkpoint has a number or hash of the wrong length")
    if not all(_base64(allowed)(data) for (_, data), allowed in zip(found, lengths, strict=True)):
        raise Refused("the checkpoint has a signature of the wrong length")
    lines = [Line(name, base64.b64decode(data)) for name, data in found]
    return Head(signed.encode(), origin, int(size), base64.b64decode(root), lines)


Rule = Callable[[Any], bool]


def _base64(lengths: set[int] | None = None) -> Rule:
    """Padded standard base64 that re-encodes to itself, of one of these lengths."""

    def rule(value: Any) -> bool:
        if not isinstance(value, str):
            return False
        try:
            data = base64.b64decode(value)
        except ValueError:
            return False
        return base64.b64encode(data).decode() == value and (lengths is None or len(data) in lengths)

    return rule


def _like(pattern: str) -> Rule:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _whole(low: int, high: int) -> Rule:
    return lambda value: type(value) is int and low <= value <= high  # a bool is no number


def _vkey(*kinds: int) -> Rule:
    """A C2SP verifier key of one of these types: name + key id + base64(type byte || public key)."""

    def rule(value: Any) -> bool:
        if not _like(r"[!-*,-~]{1,255}\+[0-9a-f]{8}\+[0-9A-Za-z+/=]+")(value):
            return False
        encoded = value.split("+", 2)[2]
        return any(_base64({1 + KEY_SIZES[kind]})(encoded) and base64.b64decode(encoded)[0] == kind for kind in kinds)

    return rule


def _list(rule: Rule, *, least: int = 0) -> Rule:
    return lambda value: isinstance(value, list) and len(value) >= least and all(rule(member) for member in value)


def _is_pair(value: Any) -> bool:
    """The two verifier keys of a log."""
    rules = _vkey(Type.ED25519), _vkey(Type.ML_DSA_44)
    return isinstance(value, list) and len(value) == 2 and all(map(lambda rule, vkey: rule(vkey), rules, value))


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
    "base64": _base64(),
    "bytes32": _base64({32}),
    "bytes64": _base64({64}),
    "artifacts": _list(lambda value: fits(value, "c:hash mt:text n:count")),
    "events": _list(lambda value: fits(value, "event:text") or fits(value, "leaf:hash")),
    "key": lambda value: fits(value, "inclusion:hashes leaf:text"),
    "openings": _list(lambda value: fits(value, "art:count data:base64 event:count mt:text salt:bytes32")),
    "vkeys": _is_pair,
    "witnesses": _list(_vkey(Type.ED25519_COSIGNATURE, Type.ML_DSA_44), least=1),
    "old": lambda value: fits(value, "from:positive path:hashes root:hash"),
    "erased": _list(
        lambda value: fits(value, "arts:erasedarts checkpoint:text inclusion:hashes leaf:text vkeys:vkeys"), least=1
    ),
    "erasedarts": _list(lambda value: fits(value, "art:count event:count path:hashes place:count"), least=1),
    "addenda": _list(
        lambda value: fits(value, "checkpoint:text events:events inclusion:hashes leaf:text vkeys:vkeys"), least=1
    ),
    "previous": lambda value: fits(
        value, "checkpoint:text closing:key consistency?:old inclusion:hashes leaf:text vkeys:vkeys"
    ),
    "reason": _like("request|retention"),
    "logs": _list(lambda value: fits(value, "origin:origin vkeys:vkeys")),
}
BUNDLE = (
    "@:aibox.receipt/1 addenda?:addenda chain:hashes checkpoint:text consistency?:old envelope:text erased?:erased "
    "events:events inclusion:hashes key:key openings:openings previous?:previous signature:bytes64 vkeys:vkeys "
    "witnesses?:witnesses"
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
TOMBSTONE = (
    "@:aibox.tombstone/1 count:positive erased_us:count idx:count log:origin prev:hash reason:reason root:hash "
    "tenant:uuid turn:uuid"
)
ADDENDUM = (
    "@:aibox.addendum/1 entry:hash events:positive first:positive idx:count log:origin prev:hash root:hash "
    "tenant:uuid turn:uuid"
)
OPENING = "@:aibox.shard/1 idx:count last:origin log:origin prev:hash root:hash size:positive"
CLOSING = "@:aibox.shard/1 idx:count log:origin next:origin prev:hash"
POLICY = "logs:logs quorum?:positive witnesses?:witnesses"
