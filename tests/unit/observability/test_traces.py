"""A waterfall made of a turn's events."""

from typing import Any
from uuid import UUID

from aibox.observability.otlp import encode
from aibox.observability.traces import Happened, trace_of

TURN = UUID(int=(1_700_000_000_000 << 80) | (7 << 76) | (2 << 62) | 5)
BEGAN = 1_700_000_000_000_000


def happened(type: str, at_ms: int, **body: Any) -> Happened:
    return Happened(type=type, ts_us=BEGAN + at_ms * 1000, ev=f"{type}-{at_ms}", body=body)


def test_a_call_lasts_from_its_announcement_to_the_response_of_the_same_name() -> None:
    events = [
        happened("turn_started", 1, principal="p_me", kind="user"),
        happened("model_invoked", 10, call="a", provider="one", model="m"),
        happened("model_invoked", 12, call="b", provider="two", model="m"),
        happened("model_response", 40, call="b", ok=True, cost_usd="0.1", first_byte_ms=9),
        happened("model_response", 90, call="a", ok=False, code="cancelled"),
        happened("turn_sealed", 95, outcome="failed"),
    ]
    trace = trace_of(TURN, events)
    calls = {span.attributes["provider"]: span for span in trace.spans if span.kind == "model"}
    assert (calls["one"].start_us, calls["one"].end_us, calls["one"].status) == (10_000, 90_000, "error")
    assert (calls["two"].start_us, calls["two"].end_us, calls["two"].status) == (12_000, 40_000, "ok")
    assert calls["two"].attributes["first_byte_ms"] == 9
    assert (trace.spans[0].status, trace.duration_us, trace.user, trace.is_over) == ("error", 95_000, "p_me", True)


def test_a_call_without_an_end_lasts_as_long_as_the_turn_so_far() -> None:
    events = [happened("model_invoked", 10, call="a", model="m"), happened("prompt_generated", 30)]
    trace = trace_of(TURN, events)
    assert [(span.name, span.start_us, span.end_us, span.status) for span in trace.spans] == [
        ("turn", 0, 30_000, "unset"),
        ("model_invoked", 10_000, 30_000, "unset"),
        ("prompt_generated", 30_000, 30_000, "unset"),
    ]
    assert not trace.is_over


def test_a_verdict_began_as_long_ago_as_it_took() -> None:
    trace = trace_of(TURN, [happened("guardrail_verdict", 30, duration_ms=12, decision="allow")])
    assert (trace.spans[1].start_us, trace.spans[1].end_us) == (18_000, 30_000)


def test_a_verdict_says_what_was_judged_and_what_came_of_it() -> None:
    said = {"direction": "input", "decision": "rewrite", "texts": 3, "untrusted": 3, "masked": 1, "flagged": True}
    trace = trace_of(TURN, [happened("guardrail_verdict", 30, **said)])
    assert trace.spans[1].attributes == said


def test_what_another_program_calls_its_acts_goes_to_no_collector() -> None:
    events = [happened("external.ada_lovelace_left", 1), happened("question.asked", 2)]
    sent = encode([trace_of(TURN, events)])
    assert b"lovelace" not in sent
    assert [b'"name":"external"' in sent, b'"name":"question.asked"' in sent] == [True, True]


def test_members_that_are_not_listed_are_never_shown() -> None:
    events = [happened("external.note", 1, text="secret"), happened("memory_op", 2, op="recall", count=1, ids=["x"])]
    trace = trace_of(TURN, events)
    assert [span.attributes for span in trace.spans[1:]] == [{}, {"op": "recall", "count": 1}]
