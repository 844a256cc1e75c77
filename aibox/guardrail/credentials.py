"""What credentials look like: API keys by their makers' formats, private keys, JWTs, passwords in assignments and URLs.

The patterns serve whole texts and streams alike. So that a stream can be cut safely, none looks further behind its
match or ahead of it than one character, and every repetition has an end.
"""

import functools
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
    form: str
    is_guess: bool = False

    @property
    def pattern(self) -> Any:
        return _compiled(self.form)


def _credential(name: str, pattern: str, *, is_guess: bool = False) -> Credential:
    return Credential(name, pattern, is_guess)


@functools.cache
def _compiled(form: str) -> Any:
    """Compiled by the first text that is looked at: together they are 2 MB of an idle server."""
    return regex.compile(form)


_BEFORE = r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt]))"
"""No word goes on here; in JSON's spelling a line break ends with a letter."""
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
    _credential("gitlab_other", rf"{_BEFORE}gl(?:dt|rt|ptt|soat|ft|imt|agent|oas|cbt)-[A-Za-z0-9_.-]{{20,200}}"),
    _credential("google_oauth", rf"{_BEFORE}(?:GOCSPX-[A-Za-z0-9_-]{{20,60}}|1//0[A-Za-z0-9_-]{{30,200}})"),
    _credential(
        "ai_provider",
        rf"{_BEFORE}(?:gsk_[A-Za-z0-9]{{40,80}}|xai-[A-Za-z0-9]{{40,120}}|pplx-[A-Za-z0-9]{{32,80}}|r8_[A-Za-z0-9]{{30,60}}"
        r"|co_[A-Za-z0-9]{36,50}|nvapi-[A-Za-z0-9_-]{40,100}|fw_[A-Za-z0-9]{22,60}|tgp_v1_[A-Za-z0-9_-]{30,80})",
    ),
    _credential(
        "cloud",
        rf"{_BEFORE}(?:do[opr]_v1_[a-f0-9]{{64}}|dapi[a-f0-9]{{32}}(?:-\d)?|hvs\.[A-Za-z0-9_-]{{20,200}}|hvb\.[A-Za-z0-9_-]{{20,300}}"
        r"|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{50,80}|HRKU-[A-Za-z0-9_-]{30,80}|FlyV1 [A-Za-z0-9_,+/=-]{40,2000}"
        r"|pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{30,80}|sb[pr]_[A-Za-z0-9]{30,80}|sb_secret_[A-Za-z0-9_-]{20,80}"
        r"|nfp_[A-Za-z0-9]{36,60}|dp\.(?:pt|st|ct|sa)\.[A-Za-z0-9._-]{40,60}|pul-[a-f0-9]{40}|rnd_[A-Za-z0-9]{28,60})",
    ),
    _credential(
        "service",
        rf"{_BEFORE}(?:SG\.[A-Za-z0-9_-]{{16,32}}\.[A-Za-z0-9_-]{{32,64}}|key-[a-f0-9]{{32}}|(?:AC|SK)[a-f0-9]{{32}}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{{32}}"
        r"|sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,60}|EAAA[A-Za-z0-9_-]{56,80}|gl(?:sa|c)_[A-Za-z0-9_=]{30,200}|NRAK-[A-Z0-9]{27}"
        r"|lin_api_[A-Za-z0-9]{32,60}|(?:ntn|secret)_[A-Za-z0-9]{40,60}|dckr_pat_[A-Za-z0-9_-]{20,60}|PMAK-[a-f0-9]{24}-[a-f0-9]{34}"
        r"|ATATT3[A-Za-z0-9_=-]{60,300}|ATBB[A-Za-z0-9]{28,40}|pat[A-Za-z0-9]{14}\.[a-f0-9]{64}|sntry[su]_[A-Za-z0-9+/=_-]{40,300}"
        r"|fig[dou]_[A-Za-z0-9_-]{36,60}|rubygems_[a-f0-9]{48}|sl\.[A-Za-z0-9_-]{60,300}|xapp-\d-[A-Z0-9]{8,16}-\d{8,16}-[a-f0-9]{60,70}"
        r"|hf_oauth_[A-Za-z0-9]{30,60}|ddp_[A-Za-z0-9]{36}|[a-f0-9]{32}-us\d{1,2}|AGE-SECRET-KEY-1[A-Z0-9]{58}|tskey-[a-z]{3,8}-[A-Za-z0-9-]{20,80}"
        r"|\d{8,10}:AA[A-Za-z0-9_-]{33})",
    ),
    _credential(
        "discord_token", rf"{_BEFORE}[MNO][A-Za-z\d_-]{{23,27}}\.[A-Za-z\d_-]{{6}}\.[A-Za-z\d_-]{{27,40}}{_AFTER}"
    ),
    _credential("discord_webhook", r"discord(?:app)?\.com/api/webhooks/\d{17,20}/[A-Za-z0-9_-]{40,100}"),
    _credential("azure_key", r"(?:AccountKey|SharedAccessKey|sig)=(?P<value>[A-Za-z0-9+/%]{40,100}={0,2})"),
    _credential("bearer", r"(?i:authorization: ?(?:bearer|basic|token) )(?P<value>[A-Za-z0-9._~+/-]{16,4000}={0,2})"),
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
