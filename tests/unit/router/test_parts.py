"""How an answer of Chat Completions is read as parts that follow each other."""

from typing import Any

import msgspec
import pytest

from aibox.router.dialects.chat import MalformedError
from aibox.router.dialects.parts import Begun, Ended, Grown, Parts, Step


def chunk(**delta: Any) -> bytes:
    return msgspec.json.encode({"choices": [{"index": 0, "delta": delta}]})


def call(index: int, arguments: str, **more: Any) -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": more.pop("name")} if "name" in more else {})
    return {"index": index, "function": function, **more}


def steps(*chunks: bytes) -> list[Step]:
    parts = Parts()
    told = [step for data in chunks for step in parts.take(data)]
    return [*told, *parts.end()]


def test_reasoning_ends_when_the_text_begins() -> None:
    assert steps(chunk(reasoning_content="Hm"), chunk(content="A"), chunk(content="B")) == [
        Begun(number=0, kind="reasoning"),
        Grown(text="Hm"),
        Ended(),
        Begun(number=1, kind="text"),
        Grown(text="A"),
        Grown(text="B"),
        Ended(),
    ]


def test_calls_of_two_tools_that_come_mixed_are_told_one_after_the_other() -> None:
    told = steps(
        chunk(tool_calls=[call(0, "", id="a", name="one"), call(1, "", id="b", name="two")]),
        chunk(tool_calls=[call(1, '{"b"')]),
        chunk(tool_calls=[call(0, '{"a"')]),
        chunk(tool_calls=[call(1, ":1}"), call(0, ":2}")]),
    )
    assert told == [
        Begun(number=0, kind="tool", id="a", name="one"),
        Grown(text='{"a"'),
        Grown(text=":2}"),
        Ended(),
        Begun(number=1, kind="tool", id="b", name="two"),
        Grown(text='{"b"'),
        Grown(text=":1}"),
        Ended(),
    ]


def test_the_first_call_grows_as_it_comes() -> None:
    parts = Parts()
    parts.take(chunk(tool_calls=[call(0, "", id="a", name="one")]))
    assert parts.take(chunk(tool_calls=[call(0, "{}")])) == [Grown(text="{}")]


def test_calls_that_all_claim_the_first_place_are_told_apart_by_their_ids() -> None:
    told = steps(
        chunk(tool_calls=[call(0, '{"x":1}', id="a", name="one")]),
        chunk(tool_calls=[call(0, '{"x":2}', id="b", name="one")]),
    )
    assert [step.id for step in told if isinstance(step, Begun)] == ["a", "b"]


def test_a_call_waits_for_its_name() -> None:
    parts = Parts()
    assert parts.take(chunk(tool_calls=[call(0, "", id="a")])) == []
    assert parts.take(chunk(tool_calls=[call(0, "{", name="one")]))[0] == Begun(
        number=0, kind="tool", id="a", name="one"
    )


def test_text_beside_a_call_is_told_after_it() -> None:
    told = steps(chunk(tool_calls=[call(0, "{}", id="a", name="one")]), chunk(content="So"), chunk(content="!"))
    assert [step.kind for step in told if isinstance(step, Begun)] == ["tool", "text"]
    assert [step.text for step in told if isinstance(step, Grown)] == ["{}", "So", "!"]


def test_other_choices_are_not_mixed_in() -> None:
    assert steps(b'{"choices":[{"index":1,"delta":{"content":"other"}}]}') == []


def test_what_is_no_chunk_is_the_providers_failure() -> None:
    with pytest.raises(MalformedError):
        Parts().take(b'{"choices": [')
