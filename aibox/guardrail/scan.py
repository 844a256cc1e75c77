"""One look at a text: what the scanners find, and where secrets and personal data stand. It blocks: use a thread."""

from collections import OrderedDict
from typing import Literal

import msgspec
from msgspec import Struct

from aibox.guardrail import Finding
from aibox.guardrail.abuse import ABUSE
from aibox.guardrail.classifier import classify
from aibox.guardrail.engine import Engine
from aibox.guardrail.policy import Rules
from aibox.guardrail.rules import (
    FLAGGING_RISK,
    MALICIOUS_URLS,
    PROMPT_INJECTION,
    REFUSAL,
    about,
    judge,
    too_long,
)
from aibox.guardrail.text import SECRET, Span, settle

Direction = Literal["input", "output", "untrusted"]
"""Which way a text goes; `untrusted` is an input that nobody in the conversation wrote."""


class Scan(Struct, frozen=True):
    """What was found in a text: the scanners' findings, and settled spans of secrets and personal data."""

    findings: tuple[Finding, ...]
    spans: tuple[Span, ...]


class Remembered:
    """The newest scans by what was scanned: at most `most`, which together found at most `most_found` things.

    A text of nothing but addresses has a hundred thousand of them, and anybody may send many such texts.
    """

    def __init__(self, *, most: int, most_found: int) -> None:
        self._most = most
        self._most_found = most_found
        self._scans: OrderedDict[bytes, Scan] = OrderedDict()
        self._found = 0

    def get(self, name: bytes) -> Scan | None:
        known = self._scans.get(name)
        if known is not None:
            self._scans.move_to_end(name)
        return known

    def put(self, name: bytes, scan: Scan) -> None:
        if name in self._scans or len(scan.spans) > self._most_found:
            return
        self._scans[name] = scan
        self._found += len(scan.spans)
        while len(self._scans) > self._most or self._found > self._most_found:
            _, oldest = self._scans.popitem(last=False)
            self._found -= len(oldest.spans)


def scan(engine: Engine, text: str, rules: Rules, direction: Direction) -> Scan:
    """Raises whatever a scanner raises."""
    kinds = [*sorted(rules.masks), *([SECRET] if "secrets" in rules.scanners else [])]
    spans = settle(engine.find(text, kinds))
    findings = _answered(text, rules, spans) if direction == "output" else _asked(text, rules, direction)
    secrets = sum(span.kind == SECRET for span in spans)
    if secrets:
        findings.append(Finding(scanner="secrets", is_safe=False, risk=100, detail=f"{secrets} removed"))
    if "toxicity" in rules.scanners:
        findings.append(judge("toxicity", ABUSE, text))
    return Scan(tuple(finding for finding in findings if finding is not None), tuple(spans))


def _asked(text: str, rules: Rules, direction: Direction) -> list[Finding | None]:
    findings: list[Finding | None] = []
    if "prompt_injection" in rules.scanners:
        found = [one for one in (judge("prompt_injection", PROMPT_INJECTION, text), classify(text)) if one is not None]
        gravest = max(found, key=lambda finding: finding.risk, default=None)
        if gravest is not None and direction == "untrusted":
            # Nobody orders anything in a document: what is only reported of a person's words flags here.
            gravest = msgspec.structs.replace(gravest, risk=max(gravest.risk, FLAGGING_RISK))
        findings.append(gravest)
    if "token_limit" in rules.scanners:
        findings.append(too_long(text, rules.token_limit))
    if "ban_topics" in rules.scanners:
        findings.append(about(text, rules.banned))
    return findings


def _answered(text: str, rules: Rules, spans: list[Span]) -> list[Finding | None]:
    findings: list[Finding | None] = []
    if "malicious_urls" in rules.scanners:
        findings.append(judge("malicious_urls", MALICIOUS_URLS, text))
    if "no_refusal" in rules.scanners:
        findings.append(judge("no_refusal", REFUSAL, text))
    personal = sum(span.kind != SECRET for span in spans)
    if "sensitive" in rules.scanners and personal:
        # The user's own values stand as tokens in an answer, so these came from elsewhere.
        findings.append(Finding(scanner="sensitive", is_safe=True, risk=60, detail=f"{personal} kept from models"))
    return findings
