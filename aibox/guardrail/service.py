"""The guardrail: scans off the event loop, decides by the policy, masks by the vault, and refuses when it cannot."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal, TypeVar
from uuid import UUID

import msgspec
import structlog

from aibox.core.db import Database
from aibox.core.errors import NotFound
from aibox.core.eventlog import EventLog
from aibox.core.events import Event
from aibox.core.keys import DataKeys
from aibox.core.turn import Turn
from aibox.guardrail import (
    Blocked,
    Decision,
    Deidentified,
    Entity,
    Finding,
    Form,
    GuardrailUnavailable,
    GuardrailVerdict,
    Held,
    InputBlocked,
    OutputFilter,
    PartUnscanned,
    Policy,
    Settings,
    TooLongToScan,
    VaultFull,
    Verdict,
)
from aibox.guardrail.engine import Engine
from aibox.guardrail.guarded import GuardedReranker, GuardedRouter
from aibox.guardrail.judge import Judge
from aibox.guardrail.output import Filter, shown_for, token_span
from aibox.guardrail.policy import Policies, Rules
from aibox.guardrail.rules import FLAGGING_RISK
from aibox.guardrail.scan import Direction, Remembered, Scan, scan
from aibox.guardrail.text import SECRET, SECRET_TOKEN, Span, replace, settle
from aibox.guardrail.vault import TOKEN, Vault, kind_of
from aibox.router import ModelRouter, Reranker

log = structlog.get_logger("aibox.guardrail")

REMEMBERED_SCANS, REMEMBERED_SPANS = 4096, 200_000
"""A conversation's earlier messages are judged again with every turn; their scans are remembered, not their texts. So
many of what they found take 40 MB."""

SENTENCES = {
    "prompt_injection": "The text tries to override the assistant's instructions.",
    "toxicity": "The text is abusive.",
    "token_limit": "The text is longer than the policy allows.",
    "ban_topics": "The policy does not allow this topic.",
    "malicious_urls": "The answer has a link that does harm.",
    "judge": "The answer breaks a principle of this workplace.",
}

LITERAL = "LITERAL"
"""The kind of what looks like a token and was written so: de-identified text must restore it, not a value."""

REPORTED = frozenset({"secrets"})
"""Scanners whose findings never block: what they found was removed."""

T = TypeVar("T")


class GuardrailService:
    """`Guardrail` by rules, Presidio and a vault in the database."""

    def __init__(
        self,
        settings: Settings,
        *,
        db: Database,
        keys: DataKeys,
        log: EventLog,
        router: ModelRouter | None = None,
        engine: Engine | None = None,
    ) -> None:
        """`router` is the bare one, for the judge. Raises `BootRefused` for principles that cannot be read."""
        self._settings = settings
        self._log = log
        self._policies = Policies(settings, db)
        self._vault = Vault(db, keys, most=settings.vault_values)
        self._engine = engine or Engine(settings)
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="guardrail")
        self._scans = Remembered(most=REMEMBERED_SCANS, most_found=REMEMBERED_SPANS)
        self._judge = Judge(settings.judge, router) if settings.judge.enabled and router is not None else None

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Load Presidio beside the start; a check that comes sooner waits for it."""
        warming = tasks.create_task(self._warm(), name="guardrail.warm")
        try:
            yield
        finally:
            warming.cancel()
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def check_input(
        self,
        turn: Turn,
        texts: Sequence[str],
        *,
        conversation: UUID | None = None,
        external: bool = False,
        instructions: Container[int] = (),
        untrusted: Container[int] = (),
        unscanned: Sequence[str] = (),
    ) -> list[Verdict]:
        rules = await self._policies.rules(turn, external=external)
        if rules.is_off:
            return [_untouched(text) for text in texts]
        begun = time.monotonic()
        if unscanned and rules.refuses_unscanned:
            refusal = PartUnscanned(f"{PartUnscanned.sentence} It is: {', '.join(unscanned)}.")
            nothing = Verdict(decision="block", reason=str(refusal), findings=(), content="", visible="")
            await self._record(turn, rules, "input", [nothing], begun, unscanned=unscanned)
            raise refusal
        orders = rules.without("prompt_injection")
        scans = [
            await self._scan(
                text, orders if index in instructions else rules, "untrusted" if index in untrusted else "input"
            )
            for index, text in enumerate(texts)
        ]
        refused = [finding for scan in scans for finding in scan.findings if _is_blocking(finding, rules)]
        # Nothing of a refused request goes on, so nothing of it enters the vault.
        verdicts = [
            _blocked(text, scan, refused)
            if refused and any(finding in refused for finding in scan.findings)
            else await self._masked(turn, text, scan, None if refused else conversation)
            for text, scan in zip(texts, scans, strict=True)
        ]
        foreign = sum(index in untrusted for index in range(len(texts)))
        await self._record(turn, rules, "input", verdicts, begun, untrusted=foreign, unscanned=unscanned)
        return verdicts

    async def check_output(self, turn: Turn, text: str, *, conversation: UUID | None = None) -> Verdict:
        rules = await self._policies.rules(turn)
        if rules.is_off:
            return _untouched(text)
        begun = time.monotonic()
        scan = await self._scan(text, rules, "output")
        return await self._judge_answer(turn, rules, text, scan, conversation, begun, visible=None)

    def output(self, turn: Turn, *, conversation: UUID | None = None, form: Form = "text") -> OutputFilter:
        return Filter(self, turn, conversation, form)

    async def restore(
        self,
        turn: Turn,
        text: str,
        *,
        conversation: UUID | None,
        form: Form = "text",
        kinds: Container[str] | None = None,
    ) -> str:
        spans = [token_span(match) for match in TOKEN.finditer(text)]
        if not spans:
            return text
        values = await self._vault.values(turn, conversation)
        if kinds is not None:
            values = {token: value for token, value in values.items() if kind_of(token) in kinds}
        return replace(text, spans, lambda span: shown_for(span, text, values, form))

    async def deidentify(self, turn: Turn, text: str, *, conversation: UUID) -> Deidentified:
        rules = await self._policies.rules(turn, external=True, profile="strict")
        await self._vault.require_own(turn, conversation)
        begun = time.monotonic()
        # A text is only masked here, not judged: who de-identifies an attack to study it may.
        found = await self._scan(text, rules.only("secrets"), "input")
        literals = (Span(match.start(), match.end(), LITERAL) for match in TOKEN.finditer(text))
        spans = settle((*found.spans, *literals))
        is_kept = any(span.kind != SECRET for span in spans)
        if is_kept and await self._vault.count(turn) >= self._settings.vault_values_per_person:
            raise VaultFull("As many masked values are kept for you as may be. Delete conversations, or let some go.")
        tokens = await self._tokens(turn, text, spans, conversation)
        verdict = _rewritten(text, Scan(found.findings, tuple(spans)), tokens)
        await self._record(turn, rules, "input", [verdict], begun)
        return Deidentified(content=verdict.content, entities=tuple(_entities(text, spans, tokens)))

    async def reidentify(self, turn: Turn, text: str, *, conversation: UUID) -> str:
        tokens = set(TOKEN.findall(text))
        if tokens and tokens.isdisjoint(await self._vault.values(turn, conversation)):
            raise NotFound()
        return await self.restore(turn, text, conversation=conversation)

    async def held(self, turn: Turn, conversation: UUID) -> list[Held]:
        values = await self._vault.values(turn, conversation)
        return [Held(token=token, type=kind_of(token), value=value) for token, value in sorted(values.items())]

    async def let_go(self, turn: Turn, conversation: UUID) -> None:
        await self._vault.forget(turn, conversation, owner=turn.principal.id)

    def release(self, turn: Turn) -> None:
        self._vault.release(turn)

    async def is_off(self, turn: Turn) -> bool:
        return (await self._policies.rules(turn)).is_off

    async def reads_images(self, turn: Turn) -> bool:
        return (await self._policies.rules(turn)).reads_images

    async def policy(self, turn: Turn, *, agent_id: str = "", key_id: str = "") -> Policy:
        return await self._policies.get(turn, agent_id=agent_id, key_id=key_id)

    async def set_policy(self, turn: Turn, policy: Policy, *, agent_id: str = "", key_id: str = "") -> None:
        await self._policies.set(turn, policy, agent_id=agent_id, key_id=key_id)

    async def scrub(self, turn: Turn, text: str) -> str:
        (verdict,) = await self.check_input(turn, [text])
        if verdict.decision == "block":
            raise Blocked(verdict.reason)
        return verdict.visible

    async def forget(self, turn: Turn, conversation: UUID) -> None:
        await self._vault.forget(turn, conversation)

    def guarded(self, router: ModelRouter) -> ModelRouter:
        return GuardedRouter(self, router)

    def reranker(self, reranker: Reranker) -> Reranker:
        return GuardedReranker(self, reranker)

    # What a filter asks (`output.Desk`).

    @property
    def judges_answers(self) -> bool:
        return self._judge is not None

    async def rules(self, turn: Turn) -> Rules:
        return await self._policies.rules(turn)

    async def off_loop(self, act: Callable[[], T]) -> T:
        """What `act` returns, made in a scanning thread within the time limit. Raises `GuardrailUnavailable`."""
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.run_in_executor(self._threads, act), self._settings.timeout_seconds)
        except TooLongToScan:
            raise
        except Exception as error:
            # Every caller relies on it: whatever goes wrong in a scanner, from a slow pattern to a model that does not
            # load, the check refuses and nothing passes.
            log.error("guardrail.failed", error=type(error).__name__)
            raise GuardrailUnavailable() from error

    async def values(self, turn: Turn, conversation: UUID | None) -> dict[str, str]:
        return await self._vault.values(turn, conversation)

    async def judge_answer(self, turn: Turn, text: str, visible: str, conversation: UUID | None) -> Verdict:
        """The verdict on a whole answer of which the user was shown `visible`."""
        rules = await self._policies.rules(turn)
        if rules.is_off:
            return _untouched(text)
        begun = time.monotonic()
        scan = await self._scan(text, rules, "output")
        return await self._judge_answer(turn, rules, text, scan, conversation, begun, visible=visible)

    async def stop_answer(self, turn: Turn, rules: Rules, harm: Finding) -> Verdict:
        """The verdict on an answer that is stopped midway."""
        verdict = Verdict(decision="block", reason=_reason([harm]), findings=(harm,), content="", visible="")
        await self._record(turn, rules, "output", [verdict], time.monotonic())
        return verdict

    async def _judge_answer(
        self,
        turn: Turn,
        rules: Rules,
        text: str,
        scan: Scan,
        conversation: UUID | None,
        begun: float,
        *,
        visible: str | None,
    ) -> Verdict:
        refused = [finding for finding in scan.findings if _is_blocking(finding, rules)]
        verdict = _nothing(refused, scan.findings) if refused else await self._masked(turn, text, scan, conversation)
        ruled = await self._judge.judge(turn, verdict.content) if self._judge and verdict.content.strip() else None
        if ruled is not None:
            refused = [ruled] if rules.blocks else []
            findings = (*scan.findings, ruled)
            verdict = _nothing(refused, findings) if refused else msgspec.structs.replace(verdict, findings=findings)
        if not refused:
            if visible is None:
                spans = settle((*_secrets(scan), *(token_span(match) for match in TOKEN.finditer(text))))
                values = await self._vault.values(turn, conversation) if spans else {}
                visible = replace(text, spans, lambda span: shown_for(span, text, values))
            verdict = msgspec.structs.replace(verdict, visible=visible)
        await self._record(turn, rules, "output", [verdict], begun)
        return verdict

    async def _warm(self) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._engine.load)
        except Exception as error:
            # The start relies on it: an engine that does not load refuses at each check, and says so there.
            log.error("guardrail.not_loaded", error=type(error).__name__, exc_info=True)

    async def _scan(self, text: str, rules: Rules, direction: Direction) -> Scan:
        asked = f"{direction} {sorted(rules.scanners)} {sorted(rules.masks)} {sorted(rules.banned)}\n"
        name = hashlib.blake2b(asked.encode() + text.encode("utf-8", "replace"), digest_size=32).digest()
        known = self._scans.get(name)
        if known is not None:
            return known
        found = await self.off_loop(partial(scan, self._engine, text, rules, direction))
        self._scans.put(name, found)
        return found

    async def _masked(self, turn: Turn, text: str, scan: Scan, conversation: UUID | None) -> Verdict:
        return _rewritten(text, scan, await self._tokens(turn, text, scan.spans, conversation))

    async def _tokens(
        self, turn: Turn, text: str, spans: Sequence[Span], conversation: UUID | None
    ) -> dict[tuple[str, str], str]:
        """A token for each kind and value. Numbered in the order of the text, so that its first address is number 1."""
        written = dict.fromkeys((span.kind, text[span.start : span.end]) for span in spans if span.kind != SECRET)
        return await self._vault.tokens(turn, conversation, list(written))

    async def _record(
        self,
        turn: Turn,
        rules: Rules,
        direction: Literal["input", "output"],
        verdicts: Sequence[Verdict],
        begun: float,
        *,
        untrusted: int = 0,
        unscanned: Sequence[str] = (),
    ) -> None:
        decision: Decision = max(
            (verdict.decision for verdict in verdicts), key=("allow", "rewrite", "block").index, default="allow"
        )
        risks: dict[str, int] = {}
        for finding in (finding for verdict in verdicts for finding in verdict.findings):
            risks[finding.scanner] = max(risks.get(finding.scanner, 0), finding.risk)
        events: list[Event] = [
            GuardrailVerdict(
                direction=direction,
                decision=decision,
                profile=rules.profile,
                texts=len(verdicts),
                scanners=tuple(f"{name}:{risk}" for name, risk in sorted(risks.items())),
                masked=sum(verdict.masked for verdict in verdicts),
                flagged=any(verdict.flagged for verdict in verdicts),
                untrusted=untrusted,
                unscanned=tuple(unscanned),
                duration_ms=round((time.monotonic() - begun) * 1000),
            )
        ]
        if direction == "input" and decision == "block":
            reason = next(verdict.reason for verdict in verdicts if verdict.decision == "block")
            events.append(InputBlocked(actor=f"user:{turn.principal.pseudonym}", reason=reason))
        await self._log.log(turn, *events)


def _is_blocking(finding: Finding, rules: Rules) -> bool:
    return rules.blocks and not finding.is_safe and finding.scanner not in REPORTED


def _reason(findings: Sequence[Finding]) -> str:
    return SENTENCES[max(findings, key=lambda finding: finding.risk).scanner]


def _secrets(scan: Scan) -> list[Span]:
    return [span for span in scan.spans if span.kind == SECRET]


def _without_secrets(text: str, scan: Scan) -> str:
    return replace(text, _secrets(scan), lambda _: SECRET_TOKEN)


def _rewritten(text: str, scan: Scan, tokens: dict[tuple[str, str], str]) -> Verdict:
    """The verdict on a text that passes, with `tokens` for its personal data."""
    return Verdict(
        decision="rewrite" if scan.spans else "allow",
        reason="Secrets or personal data were masked." if scan.spans else "",
        findings=scan.findings,
        content=replace(text, scan.spans, lambda span: _token_of(span, text, tokens)),
        visible=_without_secrets(text, scan),
        masked=len(scan.spans),
        tokens=tuple(dict.fromkeys(_token_of(span, text, tokens) for span in scan.spans if span.kind != SECRET)),
        flagged=any(f.scanner == "prompt_injection" and f.risk >= FLAGGING_RISK for f in scan.findings),
    )


def _token_of(span: Span, text: str, tokens: dict[tuple[str, str], str]) -> str:
    return SECRET_TOKEN if span.kind == SECRET else tokens[span.kind, text[span.start : span.end]]


def _entities(text: str, spans: Sequence[Span], tokens: dict[tuple[str, str], str]) -> Iterator[Entity]:
    """The tokens that stand for personal data, where they stand once all are in place."""
    shift = 0
    for span in spans:
        token = _token_of(span, text, tokens)
        start = span.start + shift
        shift += len(token) - (span.end - span.start)
        if span.kind not in (SECRET, LITERAL):
            yield Entity(token=token, type=span.kind, start=start, end=start + len(token))


def _nothing(refused: Sequence[Finding], findings: tuple[Finding, ...]) -> Verdict:
    """The verdict on an answer of which nothing may be shown."""
    return Verdict(decision="block", reason=_reason(refused), findings=findings, content="", visible="")


def _untouched(text: str) -> Verdict:
    return Verdict(decision="allow", reason="", findings=(), content=text, visible=text)


def _blocked(text: str, scan: Scan, refused: Sequence[Finding]) -> Verdict:
    own = [finding for finding in scan.findings if finding in refused]
    return Verdict(
        decision="block",
        reason=_reason(own),
        findings=scan.findings,
        content="",
        visible=_without_secrets(text, scan),
    )
