"""Canonical bytes: the kernel's fast encoder against the reference implementation of RFC 8785."""

from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from aibox.audit.verifier import form
from aibox.core.events import MAX_SAFE_INTEGER, CanonicalError, canonical
from tests.vectors import make

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
KEYS = st.text(st.characters(max_codepoint=127))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=30,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=6)


@given(OBJECTS)
def test_our_canonical_bytes_are_those_of_rfc_8785(value: dict[str, Any]) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(OBJECTS)
def test_the_verifier_reads_what_we_write(value: dict[str, Any]) -> None:
    event = make.small()[1] | {"body": value}

    assert form.parse(canonical(event), "event", "the event") == event


def test_every_character_is_escaped_as_rfc_8785_does() -> None:
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x10000), 0x10000, 0x10FFFF]))

    assert canonical({"c": text}) == rfc8785.dumps({"c": text})


@pytest.mark.parametrize("value", [0.5, 1.0, 2**53, -(2**53), {"ä": 1}, "\ud800", b"bytes", {1: 2}, make.nested(34)])
def test_what_has_two_readings_has_no_canonical_bytes(value: object) -> None:
    with pytest.raises(CanonicalError):
        canonical({"value": value})
