"""What credentials look like: API keys by their makers' formats, private keys, JWTs, passwords in assignments and URLs.

The patterns serve whole texts and streams alike. So that a stream can be cut safely, none looks further behind its
match or ahead of it than one character, and every repetition has an end.
"""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import regex

from aibox.guardrail.text import SECRET, Span

PATTERN_SECONDS = 2.0
"""A pattern that takes longer raises TimeoutError, and the check refuses."""


class Credential(NamedTuple):
    """A pattern; when it has a group `value`, only that is the secret. `is_guess`: the value must look random too."""

    name: str
    pattern: Any
    is_guess: bool = False


def _credential(name: str, pattern: str, *, is_guess: bool = False) -> Credential:
    return Credential(name, regex.compile(pattern), is_guess)


_BEFORE = r"(?<![A-Za-z0-9_])"
_AFTER = r"(?![A-Za-z0-9_-])"

CREDENTIALS = (
    _credential("aws_access_key_id", rf"{_BEFORE}(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{{16}}{_AFTER}"),
    _credential("github", rf"{_BEFORE}(?:gh[pousr]_[A-Za-z0-9]{{30,255}}|github_pat_[A-Za-z0-9_]{{22,255}})"),
    _credential("gitlab", rf"{_BEFORE}glpat-[A-Za-z0-9_.-]{{20,200}}"),
    _credential("openai_anthropic", rf"{_BEFORE}sk-[A-Za-z0-9_-]{{20,255}}"),
    _credential("slack", rf"{_BEFORE}xox[abeoprs]-[A-Za-z0-9-]{{10,255}}"),
    _credential("slack_webhook", r"hooks\.slack\.com/services/[A-Za-z0-9/]{20,100}"),
    _credential("stripe", rf"{_BEFORE}(?:[sr]k_(?:live|test)_|whsec_)[A-Za-z0-9]{{16,255}}"),
    _credential("google", rf"{_BEFORE}(?:AIza[A-Za-z0-9_-]{{35}}|ya29\.[A-Za-z0-9_-]{{20,255}})"),
    _credential("hugging_face", rf"{_BEFORE}hf_[A-Za-z0-9]{{30,60}}"),
    _credential("package_registry", rf"{_BEFORE}(?:npm_[A-Za-z0-9]{{36}}|pypi-[A-Za-z0-9_-]{{40,255}})"),
    _credential("aibox", rf"{_BEFORE}aibox_[A-Za-z0-9]{{1,64}}_[A-Za-z0-9_-]{{16,200}}"),
    _credential("jwt", rf"{_BEFORE}eyJ[A-Za-z0-9_-]{{8,4000}}\.eyJ[A-Za-z0-9_-]{{8,8000}}\.[A-Za-z0-9_-]{{8,2000}}"),
    _credential(
        "private_key",
        r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"[\s\S]{32,20000}?(?:-----END [A-Z0-9 ]{3,50}-----|\Z)",
    ),
    _credential("url_password", r"[a-z][a-z0-9+]{1,20}://[^\s:/@<>]{0,64}:(?P<value>[^\s:/@<>]{3,200})@"),
    _credential(
        "assignment",
        r"(?i:pass(?:word|wd|phrase)|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)"
        r"[A-Za-z0-9_-]{0,30}[\"']?\s{0,3}(?:=>|:=|[=:])\s{0,3}[\"']?(?P<value>[A-Za-z0-9+/_.!@#$%^&*~=-]{12,400})",
        is_guess=True,
    ),
)


def find_credentials(text: str) -> list[Span]:
    """Every credential in `text`, unsettled. Raises TimeoutError."""
    return [
        secret_span(match)
        for credential in CREDENTIALS
        for match in matches(credential.pattern, text)
        if is_secret(credential, match)
    ]


def matches(pattern: Any, text: str, *, pos: int = 0, partial: bool = False) -> Iterator[Any]:
    """All matches from `pos` on; with `partial` also one that `text` ends within."""
    return iter(pattern.finditer(text, pos=pos, partial=partial, timeout=PATTERN_SECONDS, concurrent=True))


def secret_span(match: Any) -> Span:
    """Where the secret itself stands in a match."""
    start, end = match.span("value") if "value" in match.re.groupindex else match.span()
    return Span(start, end, SECRET)


def is_secret(credential: Credential, match: Any) -> bool:
    return not credential.is_guess or looks_random(match.group("value"))


def looks_random(value: str) -> bool:
    """Whether `value` has several kinds of characters and about the entropy of a generated secret."""
    kinds = (any(c.isdigit() for c in value), any(c.islower() for c in value), any(c.isupper() for c in value))
    if sum(kinds) < 2 or not kinds[0]:
        return False
    counts = Counter(value)
    entropy = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    return entropy >= min(3.3, math.log2(len(value)) * 0.85)
