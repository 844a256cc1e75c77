"""Receipts bent at random, from a seed: bytes, characters, and whole parts taken from other receipts or left out."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

from aibox.core.events import leaf_hash
from tests.vectors import make

VALID = sorted((make.FOLDER / "valid").glob("*.json"))


def hashed(events: list[Any]) -> list[str]:
    """Events without their texts, which their holder may withhold."""
    return [item.get("leaf") or leaf_hash(item["event"].encode()).hex() for item in events]


def one_by_one(items: list[Any]) -> list[list[Any]]:
    """A tombstone proves each artifact by itself: its holder may leave out some of them, but not name none."""
    return [[item] for item in items] or [[]]


def optional_parts(bundle: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """What a receipt may leave out, by its field: each part as it is without what may be left out of it."""
    yield "openings", bundle.get("openings", [])
    yield "erased", [{**item, "arts": arts} for item in bundle.get("erased", []) for arts in one_by_one(item["arts"])]
    yield "addenda", [{**item, "events": hashed(item["events"])} for item in bundle.get("addenda", [])]
    previous = [bundle["previous"]] if "previous" in bundle else []
    yield "previous", [{name: part for name, part in one.items() if name != "consistency"} for one in previous]
    yield "consistency", [holder["consistency"] for holder in (bundle, *previous) if "consistency" in holder]


GENUINE_PARTS = {
    make.encode({name: part})
    for path in VALID
    for name, parts in optional_parts(json.loads(path.read_bytes()))
    for part in parts
}


def mutations(*, seed: int, count: int) -> Iterator[bytes]:
    """`count` different byte strings near the valid vectors, none of which is a valid receipt."""
    chance = random.Random(seed)
    originals = [path.read_bytes() for path in VALID]
    genuine = {substance(data) for data in originals}
    made: set[bytes] = set()
    while len(made) < count:
        source = chance.choice(originals)
        mutant = chance.choice(MUTATORS)(chance, source, chance.choice(originals))
        if mutant not in made and substance(mutant) not in genuine:
            made.add(mutant)
            yield mutant


def substance(data: bytes) -> bytes:
    """A receipt less what its holder is free to withhold: its events' texts; openings and proofs that are genuine."""
    try:
        bundle = json.loads(data)
        left = {
            name: [p for p in parts if make.encode({name: p}) not in GENUINE_PARTS]
            for name, parts in optional_parts(bundle)
        }
        # A field that may not be empty says something else when it is.
        empty = [name for name in ("erased", "addenda") if bundle.get(name) == []]
        needed = {name: part for name, part in bundle.items() if name not in left}
        rest = {**needed, "events": hashed(bundle["events"]), "left": left, "empty": empty}
        return make.encode(rest) if make.encode(json.loads(data)) == data else data
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return data


def flip_bits(chance: random.Random, source: bytes, other: bytes) -> bytes:
    data = bytearray(source)
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def change_a_character(chance: random.Random, source: bytes, other: bytes) -> bytes:
    at = chance.randrange(len(source))
    return source[:at] + chance.choice(b'09afAZ+/="{}[],: \\\n\0').to_bytes() + source[at + 1 :]


def cut(chance: random.Random, source: bytes, other: bytes) -> bytes:
    begin = chance.randrange(len(source))
    return source[:begin] + source[begin + chance.choice([1, 2, 64, 500]) :]


def repeat(chance: random.Random, source: bytes, other: bytes) -> bytes:
    begin = chance.randrange(len(source))
    end = begin + chance.choice([1, 2, 64, 67])
    return source[:end] + source[begin:end] + source[end:]


def splice(chance: random.Random, source: bytes, other: bytes) -> bytes:
    at = chance.randrange(min(len(source), len(other)))
    return source[:at] + other[at:]


def change_structure(chance: random.Random, source: bytes, other: bytes) -> bytes:
    """A canonical file whose parts are moved, dropped, repeated, or taken from another receipt."""
    bundle, donor = json.loads(source), json.loads(other)
    for _ in range(chance.choice([1, 1, 2])):
        name = chance.choice(sorted(bundle))
        bundle[name] = chance.choice([transplant, bend])(chance, bundle[name], donor.get(name))
    return make.encode(bundle)


def change_a_document(chance: random.Random, source: bytes, other: bytes) -> bytes:
    """A canonical file whose envelope, another entry or an event says something else."""
    bundle = json.loads(source)
    added, previous = bundle.get("addenda", []), [bundle["previous"]] if "previous" in bundle else []
    entries = [bundle["key"], *bundle.get("erased", []), *added, *previous, *(one["closing"] for one in previous)]
    events = [item for holder in (bundle, *added) for item in holder["events"] if "event" in item]
    documents = [(bundle, "envelope"), *((item, "leaf") for item in entries), *((item, "event") for item in events)]
    holder, name = chance.choice(documents)
    document = json.loads(holder[name])
    field = chance.choice(sorted(document))
    document[field] = bend(chance, document[field], None)
    holder[name] = make.encode(document).decode()
    return make.encode(bundle)


def transplant(chance: random.Random, value: Any, donor: Any) -> Any:
    return copy.deepcopy(donor)


def bend(chance: random.Random, value: Any, donor: Any) -> Any:
    """Another value, mostly of the same type."""
    match value:
        case bool() | None:
            return not value
        case int():
            return chance.choice([value + 1, -value, value * 2, 0, 1, 2**53 - 1, 2**53, str(value), True, None])
        case str() if value:
            at = chance.randrange(len(value))
            return value[:at] + chance.choice("0af-+=/ \n\u2028ä") + value[at + chance.choice([0, 1]) :]
        case list() if value:
            bent, at = list(value), chance.randrange(len(value))
            match chance.randrange(5):
                case 0:
                    bent.pop(at)
                case 1:
                    bent.insert(at, bent[at])
                case 2:
                    bent.reverse()
                case 3:
                    bent[at] = bend(chance, bent[at], None)
                case _:
                    bent = bent[:at]
            return bent
        case dict() if value:
            name = chance.choice(sorted(value))
            bent_object = {**value, name: bend(chance, value[name], None)}
            if chance.random() < 0.2:
                del bent_object[name]
            return bent_object
        case _:
            return chance.choice([None, 0, "", [], {}, [value]])


MUTATORS = (
    flip_bits,
    flip_bits,
    change_a_character,
    cut,
    repeat,
    splice,
    change_structure,
    change_structure,
    change_a_document,
    change_a_document,
)
