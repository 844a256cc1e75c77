"""Filters an answer while it streams: restores tokens, removes secrets, stops abuse, and never cuts inside any of them.

The last 96 characters are held back, and more when they end within something that a pattern could still complete. What
comes out is, whatever the pieces were, what the whole text would have become (a property test compares them).
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct

from aibox.core.turn import Turn
from aibox.guardrail import Blocked, Finding, Form, Verdict
from aibox.guardrail.abuse import BLOCKING
from aibox.guardrail.credentials import CREDENTIALS, Credential, is_secret, matches, secret_span
from aibox.guardrail.policy import Rules
from aibox.guardrail.rules import MALICIOUS_URLS, judge
from aibox.guardrail.text import SECRET, SECRET_TOKEN, Span, replace, settle
from aibox.guardrail.vault import TOKEN

HELD_BACK = 96
STEP = 32
"""So many characters beyond what is held back are gathered before the next look."""

CONTEXT = 200
"""How much of what went out is looked at again: an abusive phrase or an address may have begun there."""

TOKEN_KIND = "TOKEN"  # noqa: S105 - the name of a kind


class Cut(Struct, frozen=True):
    """What may go out: the text up to `end`, with these settled spans to replace; or why nothing may any more."""

    end: int
    spans: tuple[Span, ...] = ()
    harm: Finding | None = None


class Window:
    """What has arrived and not gone out, with some of what has. Blocking: its looks belong in a scanning thread."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.text = ""
        self.sent = 0
        """How much of `text` has gone out."""

    @property
    def is_worth_a_look(self) -> bool:
        return len(self.text) - self.sent >= HELD_BACK + STEP

    def look(self, *, is_last: bool) -> Cut:
        """Where the text may be cut now. Raises TimeoutError."""
        for name, rules in (("toxicity", BLOCKING), ("malicious_urls", MALICIOUS_URLS)):
            harm = judge(name, rules, self.text) if name in self._rules.scanners and self._rules.blocks else None
            if harm is not None and not harm.is_safe:
                return Cut(self.sent, harm=harm)
        spans: list[Span] = []
        reaches: list[tuple[int, int]] = []
        for pattern, span_of in self._patterns():
            for match in matches(pattern, self.text, pos=self.sent, partial=not is_last):
                # A partial match reaches to the end of the text: it may become a match with the next piece.
                reaches.append(match.span())
                span = None if match.partial else span_of(match)
                if span is not None:
                    spans.append(span)
        end = len(self.text) if is_last else max(self.sent, len(self.text) - HELD_BACK)
        while crossed := [start for start, stop in reaches if start < end < stop]:
            end = min(crossed)
        return Cut(end, tuple(settle(span for span in spans if span.end <= end)))

    def advance(self, end: int) -> None:
        """`text` up to `end` has gone out. What is kept of it begins at a space, so that no word is halved."""
        self.sent = end
        space = next((n for n in range(max(0, end - CONTEXT), end) if self.text[n].isspace()), None)
        if space:
            self.text = self.text[space:]
            self.sent -= space

    def _patterns(self) -> list[tuple[Any, Callable[[Any], Span | None]]]:
        listed: list[tuple[Any, Callable[[Any], Span | None]]] = [(TOKEN, token_span)]
        if "secrets" in self._rules.scanners:
            listed += [(credential.pattern, partial(_secret, credential)) for credential in CREDENTIALS]
        return listed


def token_span(match: Any) -> Span:
    return Span(match.start(), match.end(), TOKEN_KIND)


def _secret(credential: Credential, match: Any) -> Span | None:
    return secret_span(match) if is_secret(credential, match) else None


class Desk(Protocol):
    """What a filter asks of the guardrail's service. All but `rules` raise `GuardrailUnavailable`."""

    async def rules(self, turn: Turn) -> Rules: ...

    async def off_loop(self, act: Callable[[], Cut]) -> Cut: ...

    async def values(self, turn: Turn, conversation: UUID | None) -> dict[str, str]: ...

    async def judge_answer(self, turn: Turn, text: str, visible: str, conversation: UUID | None) -> Verdict: ...

    async def stop_answer(self, turn: Turn, rules: Rules, harm: Finding) -> Verdict: ...

    @property
    def judges_answers(self) -> bool:
        """Whether a model reads each answer before anything of it is shown."""
        ...


class Filter:
    """An `OutputFilter` for one answer."""

    def __init__(self, desk: Desk, turn: Turn, conversation: UUID | None, form: Form = "text") -> None:
        self._desk = desk
        self._form: Form = form
        self._turn = turn
        self._conversation = conversation
        self._rules: Rules | None = None
        self._window: Window | None = None
        self._values: dict[str, str] | None = None
        self._arrived: list[str] = []
        self._visible: list[str] = []
        self._verdict: Verdict | None = None

    @property
    def verdict(self) -> Verdict | None:
        return self._verdict

    async def push(self, text: str) -> str:
        window = await self._opened()
        self._arrived.append(text)
        if window is None:
            self._visible.append(text)
            return text
        window.text += text
        if self._desk.judges_answers or not window.is_worth_a_look:
            return ""
        return await self._release(window, is_last=False)

    async def close(self) -> str:
        window = await self._opened()
        rest = await self._release(window, is_last=True) if window is not None else ""
        answer, visible = "".join(self._arrived), "".join(self._visible)
        self._verdict = await self._desk.judge_answer(self._turn, answer, visible, self._conversation)
        if self._verdict.decision == "block":
            raise Blocked(self._verdict.reason)
        return rest

    async def _opened(self) -> Window | None:
        """The window; None when the policy switches everything off."""
        if self._verdict is not None:
            raise Blocked(self._verdict.reason)
        if self._rules is None:
            self._rules = await self._desk.rules(self._turn)
            self._window = None if self._rules.is_off else Window(self._rules)
        return self._window

    async def _release(self, window: Window, *, is_last: bool) -> str:
        assert self._rules is not None
        cut = await self._desk.off_loop(partial(window.look, is_last=is_last))
        if cut.harm is not None:
            self._verdict = await self._desk.stop_answer(self._turn, self._rules, cut.harm)
            raise Blocked(self._verdict.reason)
        if self._values is None and any(span.kind == TOKEN_KIND for span in cut.spans):
            self._values = await self._desk.values(self._turn, self._conversation)
        begin = window.sent
        spans = [Span(span.start - begin, span.end - begin, span.kind) for span in cut.spans]
        ready = window.text[begin : cut.end]
        shown = replace(ready, spans, lambda span: shown_for(span, ready, self._values or {}, self._form))
        window.advance(cut.end)
        self._visible.append(shown)
        return shown


def shown_for(span: Span, text: str, values: dict[str, str], form: Form = "text") -> str:
    """What the user sees in place of a span: the value behind a token of theirs, nothing of a secret."""
    if span.kind == SECRET:
        return SECRET_TOKEN
    token = text[span.start : span.end]
    value = values.get(token)
    if value is None:
        return token
    return json.dumps(value, ensure_ascii=False)[1:-1] if form == "json" else value
