"""Canonical bytes, commitments and the declaration of events."""

import hashlib
from typing import Any, ClassVar

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from aibox.core.events import Artifact, CanonicalError, Event, TurnFailed, canonical, leaf_hash, record
from aibox.core.turn import system_turn

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_KEYS = st.text(st.characters(max_codepoint=127))
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | _TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(_KEYS, inner),
)


@given(st.dictionaries(_KEYS, _VALUES))
def test_canonical_bytes_are_those_of_rfc_8785(value: dict[str, Any]) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "value",
    [{"a": 1.5}, {"a": 2**53}, {"é": 1}, {"a": "\ud800"}, {"a": b"x"}, {1: 2}],
    ids=["float", "large integer", "non-ascii key", "lone surrogate", "bytes", "integer key"],
)
def test_what_has_no_canonical_form_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(CanonicalError):
        canonical(value)


def test_a_value_nested_33_deep_is_refused() -> None:
    value: dict[str, Any] = {}
    for _ in range(32):
        value = {"a": value}
    with pytest.raises(CanonicalError):
        canonical(value)


def test_an_events_body_holds_its_fields_and_never_its_artifact() -> None:
    row = record(system_turn(), TurnFailed(code="x", artifacts=(Artifact("text/plain", b"secret words"),)), seq=3)
    event = row.decode()
    assert event["body"] == {"code": "x", "step": ""}
    assert event["arts"][0]["n"] == len(b"secret words")
    assert b"secret words" not in row.data


def test_a_commitment_is_the_salted_hash_that_audit_md_defines() -> None:
    salt = bytes(range(32))
    expected = hashlib.sha256(
        b"aibox.artifact/1\n" + salt + (10).to_bytes(4) + b"text/plain" + (2).to_bytes(8) + b"hi"
    ).hexdigest()
    assert Artifact("text/plain", b"hi", salt).commitment == expected


def test_equal_content_has_different_commitments() -> None:
    assert Artifact("text/plain", b"yes").commitment != Artifact("text/plain", b"yes").commitment


def test_a_leaf_is_hashed_with_its_prefix() -> None:
    assert leaf_hash(b"x") == hashlib.sha256(b"\x00x").digest()


def test_two_events_cannot_share_a_type() -> None:
    with pytest.raises(TypeError):

        class Other(Event, frozen=True, kw_only=True):
            type: ClassVar[str] = "turn_failed"
