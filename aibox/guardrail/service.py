"""The guardrail: scans off the event loop, decides by the policy, masks by the vault, and refuses when it cannot."""

import asyncio
import contextlib
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal, TypeVar
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct

from aibox.core.db import Database
from aibox.core.eventlog import EventLog
from aibox.core.events import Event
from aibox.core.keys import DataKeys
from aibox.core.turn import Turn
from aibox.guardrail import (
    Blocked,
    Decision,
    Finding,
    GuardrailUnavailable,
    GuardrailVerdict,
    InputBlocked,
    OutputFilter,
    Policy,
    Settings,
    Verdict,
)
from aibox.guardrail.engine import Engine
from aibox.guardrail.guarded import GuardedRouter
from aibox.guardrail.output import Filter, shown_for, token_span
from aibox.guardrail.policy import Policies, Rules
from aibox.guardrail.rules import PROMPT_INJECTION, TOXICITY, judge
from aibox.guardrail.text import SECRET, SECRET_TOKEN, Span, replace, settle
from aibox.guardrail.vault import TOKEN, Vault
from aibox.router import ModelRouter

log = structlog.get_logger("aibox.guardrail")

Direction = Literal["input", "output"]

SCANNING_THREADS = 2
REMEMBERED_SCANS = 4096
"""A conversation's earlier messages are judged again with every turn; their scans are remembered, not their texts."""

SENTENCES = {
    "prompt_injection": "The text tries to override the assistant's instructions.",
    "toxicity": "The text is abusive.",
}

T = TypeVar("T")


class Scan(Struct, frozen=True):
    """What was found in a text: the scanners' findings, and settled spans of secrets and personal data."""

    findings: tuple[Finding, ...]
    spans: tuple[Span, ...]


class GuardrailService:
    """`Guardrail` by rules, Presidio and a vault in the database."""

    def __init__(
        self, settings: Settings, *, db: Database, keys: DataKeys, log: EventLog, engine: Engine | None = None
    ) -> None:
        self._settings = settings
        self._log = log
        self._policies = Policies(settings, db)
        self._vault = Vault(db, keys)
        self._engine = engine or Engine()
        self._threads = ThreadPoolExecutor(SCANNING_THREADS, thread_name_prefix="guardrail")
        self._scans: OrderedDict[bytes, Scan] = OrderedDict()

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
    ) -> list[Verdict]:
        rules = await self._policies.rules(turn, external=external)
        if rules.is_off:
            return [_untouched(text) for text in texts]
        begun = time.monotonic()
        orders = rules.without("prompt_injection")
        scans = [
            await self._scan(text, orders if index in instructions else rules, "input")
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
        await self._record(turn, rules, "input", verdicts, begun)
        return verdicts

    async def check_output(self, turn: Turn, text: str, *, conversation: UUID | None = None) -> Verdict:
        rules = await self._policies.rules(turn)
        if rules.is_off:
            return _untouched(text)
        begun = time.monotonic()
        scan = await self._scan(text, rules, "output")
        return await self._judge_answer(turn, rules, text, scan, conversation, begun, visible=None)

    def output(self, turn: Turn, *, conversation: UUID | None = None) -> OutputFilter:
        return Filter(self, turn, conversation)

    async def restore(self, turn: Turn, text: str, *, conversation: UUID) -> str:
        spans = [token_span(match) for match in TOKEN.finditer(text)]
        if not spans:
            return text
        values = await self._vault.values(turn, conversation)
        return replace(text, spans, lambda span: shown_for(span, text, values))

    async def is_off(self, turn: Turn) -> bool:
        return (await self._policies.rules(turn)).is_off

    async def policy(self, turn: Turn, *, key_id: str = "") -> Policy:
        return await self._policies.get(turn, key_id)

    async def set_policy(self, turn: Turn, policy: Policy, *, key_id: str = "") -> None:
        await self._policies.set(turn, key_id, policy)

    async def scrub(self, turn: Turn, text: str) -> str:
        (verdict,) = await self.check_input(turn, [text])
        if verdict.decision == "block":
            raise Blocked(verdict.reason)
        return verdict.visible

    async def forget(self, turn: Turn, conversation: UUID) -> None:
        await self._vault.forget(turn, conversation)

    def guarded(self, router: ModelRouter) -> ModelRouter:
        return GuardedRouter(self, router)

    # What a filter asks (`output.Desk`).

    async def rules(self, turn: Turn) -> Rules:
        return await self._policies.rules(turn)

    async def off_loop(self, act: Callable[[], T]) -> T:
        """What `act` returns, made in a scanning thread within the time limit. Raises `GuardrailUnavailable`."""
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.run_in_executor(self._threads, act), self._settings.timeout_seconds)
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

    async def stop_answer(self, turn: Turn, rules: Rules, abuse: Finding) -> Verdict:
        """The verdict on an answer that is stopped midway."""
        verdict = Verdict(decision="block", reason=_reason([abuse]), findings=(abuse,), content="", visible="")
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
        if refused:
            verdict = Verdict(decision="block", reason=_reason(refused), findings=scan.findings, content="", visible="")
        else:
            verdict = await self._masked(turn, text, scan, conversation)
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
        asked = f"{direction} {sorted(rules.scanners)} {sorted(rules.masks)}\n"
        name = hashlib.blake2b(asked.encode() + text.encode("utf-8", "replace"), digest_size=32).digest()
        known = self._scans.get(name)
        if known is not None:
            self._scans.move_to_end(name)
            return known
        scan = await self.off_loop(partial(_scan, self._engine, text, rules, direction))
        self._scans[name] = scan
        if len(self._scans) > REMEMBERED_SCANS:
            self._scans.popitem(last=False)
        return scan

    async def _masked(self, turn: Turn, text: str, scan: Scan, conversation: UUID | None) -> Verdict:
        written = {(span.kind, text[span.start : span.end]) for span in scan.spans if span.kind != SECRET}
        # In the order of the text, so that the first address is number 1.
        ordered = sorted(written, key=lambda value: text.index(value[1]))
        tokens = await self._vault.tokens(turn, conversation, ordered)

        def token_of(span: Span) -> str:
            return SECRET_TOKEN if span.kind == SECRET else tokens[span.kind, text[span.start : span.end]]

        content = replace(text, scan.spans, token_of)
        return Verdict(
            decision="rewrite" if scan.spans else "allow",
            reason="Secrets or personal data were masked." if scan.spans else "",
            findings=scan.findings,
            content=content,
            visible=_without_secrets(text, scan),
            masked=len(scan.spans),
        )

    async def _record(
        self, turn: Turn, rules: Rules, direction: Direction, verdicts: Sequence[Verdict], begun: float
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
                duration_ms=round((time.monotonic() - begun) * 1000),
            )
        ]
        if direction == "input" and decision == "block":
            reason = next(verdict.reason for verdict in verdicts if verdict.decision == "block")
            events.append(InputBlocked(actor=f"user:{turn.principal.pseudonym}", reason=reason))
        await self._log.log(turn, *events)


def _scan(engine: Engine, text: str, rules: Rules, direction: Direction) -> Scan:
    findings: list[Finding | None] = []
    if direction == "input" and "prompt_injection" in rules.scanners:
        findings.append(judge("prompt_injection", PROMPT_INJECTION, text))
    if "toxicity" in rules.scanners:
        findings.append(judge("toxicity", TOXICITY, text))
    kinds = [*sorted(rules.masks), *([SECRET] if "secrets" in rules.scanners else [])]
    spans = settle(engine.find(text, kinds))
    secrets = sum(span.kind == SECRET for span in spans)
    if secrets:
        findings.append(Finding(scanner="secrets", is_safe=False, risk=100, detail=f"{secrets} removed"))
    return Scan(tuple(finding for finding in findings if finding is not None), tuple(spans))


def _is_blocking(finding: Finding, rules: Rules) -> bool:
    return rules.blocks and not finding.is_safe and finding.scanner != "secrets"


def _reason(findings: Sequence[Finding]) -> str:
    return SENTENCES[max(findings, key=lambda finding: finding.risk).scanner]


def _secrets(scan: Scan) -> list[Span]:
    return [span for span in scan.spans if span.kind == SECRET]


def _without_secrets(text: str, scan: Scan) -> str:
    return replace(text, _secrets(scan), lambda _: SECRET_TOKEN)


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
