"""Filtering a stream gives what filtering the whole text gives, however it is cut."""

import itertools
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aibox.core.turn import Turn, system_turn
from aibox.guardrail import Blocked, Finding, Verdict
from aibox.guardrail.credentials import find_credentials
from aibox.guardrail.output import HELD_BACK, STEP, Cut, Filter, shown_for, token_span
from aibox.guardrail.policy import MASKED, Rules
from aibox.guardrail.text import replace, settle
from aibox.guardrail.vault import TOKEN

VALUES = {"<EMAIL_ADDRESS_1>": "anna@example.com", "<PHONE_NUMBER_12>": "+49 30 901820"}
KEY = "-----BEGIN PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7x\n" * 12 + "-----END PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9" + "." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0" * 8 + "." + "dozjgNryP4J3jVmNHl0w5N"
PIECES = (
    *VALUES,
    "<EMAIL_ADDRESS_7>",
    "<EMAIL_ADD",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_" + "a1B2" * 9,
    "sk-" + "Ab3_" * 10,
    'API_KEY = "9fQ2x7LmZ0pR4vTy8wKs"',
    "password=",
    "postgres://me:s3cr3tpw@db/x",
    KEY,
    KEY[:90],
    JWT,
    JWT[:150],
    "plain words here. ",
    "token: none-at-all ",
    " ",
    "\n",
    "\u00e4\u4e2d",
    "-",
    "eyJ",
    "<",
    "@",
)


class FakeDesk:
    """The service's part, without a database: the rules are fixed and nothing is logged."""

    def __init__(self, scanners: frozenset[str] = frozenset({"secrets", "toxicity"})) -> None:
        self._rules = Rules("balanced", scanners, MASKED["balanced"] if scanners else frozenset(), blocks=True)
        self.stopped: list[Finding] = []

    judges_answers = False

    async def rules(self, turn: Turn) -> Rules:
        return self._rules

    async def off_loop(self, act):  # type: ignore[no-untyped-def]
        cut: Cut = act()
        return cut

    async def values(self, turn: Turn, conversation: UUID | None) -> dict[str, str]:
        return VALUES

    async def judge_answer(self, turn: Turn, text: str, visible: str, conversation: UUID | None) -> Verdict:
        return Verdict(decision="allow", reason="", findings=(), content=text, visible=visible)

    async def stop_answer(self, turn: Turn, rules: Rules, harm: Finding) -> Verdict:
        self.stopped.append(harm)
        return Verdict(decision="block", reason="The text is abusive.", findings=(harm,), content="", visible="")


def whole(text: str) -> str:
    """What the text becomes when it is seen at once."""
    spans = settle((*find_credentials(text), *(token_span(match) for match in TOKEN.finditer(text))))
    return replace(text, spans, lambda span: shown_for(span, text, VALUES))


async def streamed(text: str, cuts: list[int]) -> list[str]:
    stream = Filter(FakeDesk(), system_turn(), uuid4())
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    shown = [await stream.push(text[a:b]) for a, b in itertools.pairwise(edges)]
    return [*shown, await stream.close()]


@settings(max_examples=250, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25), st.lists(st.integers(0, 5000), max_size=40))
async def test_any_cutting_shows_what_the_whole_text_would(pieces: list[str], cuts: list[int]) -> None:
    text = "".join(pieces)

    assert "".join(await streamed(text, cuts)) == whole(text)


async def test_a_token_cut_in_two_is_restored() -> None:
    text = "Write to <EMAIL_ADDRESS_1> today. " + "More words follow. " * 20

    shown = await streamed(text, [12])

    assert "".join(shown) == text.replace("<EMAIL_ADDRESS_1>", "anna@example.com")


@pytest.mark.parametrize("secret", [KEY, JWT, "AKIAIOSFODNN7EXAMPLE"])
async def test_no_part_of_a_secret_goes_out_when_it_comes_one_character_at_a_time(secret: str) -> None:
    text = "Here it is: " + secret + " and that was it. " + "More words follow. " * 10

    shown = await streamed(text, list(range(len(text))))

    assert "".join(shown) == text.replace(secret, "<SECRET>")


async def test_a_long_answer_flows_and_lags_by_what_is_held_back() -> None:
    stream = Filter(FakeDesk(), system_turn(), None)
    text = "All is well and going on. " * 40
    shown = ""

    for n, character in enumerate(text, 1):
        shown += await stream.push(character)
        assert n - len(shown) < HELD_BACK + STEP
    assert text.startswith(shown)
    assert shown + await stream.close() == text


async def test_abuse_stops_the_stream_before_it_is_shown() -> None:
    desk = FakeDesk()
    stream = Filter(desk, system_turn(), None)
    shown = await stream.push("A calm beginning of an answer. " * 10)

    for piece in ("And now: I will ", "kill ", "you"):
        shown += await stream.push(piece)
    with pytest.raises(Blocked):
        await stream.push(" tomorrow. " + "Or so. " * 40)

    assert "kill" not in shown
    assert [finding.detail for finding in desk.stopped] == ["threat"]
    assert stream.verdict is not None
    assert stream.verdict.decision == "block"
    with pytest.raises(Blocked):
        await stream.close()


async def test_with_everything_off_each_piece_passes_as_it_is() -> None:
    stream = Filter(FakeDesk(frozenset()), system_turn(), None)

    assert await stream.push("AKIAIOSFODNN7EXAMPLE") == "AKIAIOSFODNN7EXAMPLE"
    assert await stream.close() == ""
