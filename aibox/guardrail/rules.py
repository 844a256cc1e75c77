"""Rules that judge a text by its words: attempts to override the instructions, and harmful addresses (abuse: abuse.py).

A rule's risk says how sure it is: from 90 a scanner blocks, from 70 it flags the turn, below it only reports. The rules
know English and the obvious; docs/guardrail.md has what they catch and miss, measured.
"""

import unicodedata
from collections.abc import Collection
from typing import Any, NamedTuple

import regex

from aibox.guardrail import Finding
from aibox.guardrail.credentials import PATTERN_SECONDS

BLOCKING_RISK = 90
FLAGGING_RISK = 70
"""From here a finding that does not block flags its turn: every tool asks first."""


class Rule(NamedTuple):
    """When `pattern` occurs in the folded text, the risk is at least `risk`."""

    name: str
    risk: int
    pattern: Any


def when(name: str, risk: int, *patterns: str) -> Rule:
    """A rule that any of the patterns meets, in text that `fold` made plain."""
    return Rule(name, risk, regex.compile("|".join(patterns)))


_FORGET = r"(?:ignore|disregard|forget|override|bypass|overlook|skip|neglect)"
_EARLIER = (
    r"(?:previous|prior|above|earlier|preceding|foregoing|original|initial|existing|system|your|all|any|these|those)"
)
_ORDERS = r"(?:instructions?|prompts?|directions?|directives?|rules?|guidelines?|commands?|constraints?|programming)"
_SHOW = (
    r"(?:reveal|show|print|output|repeat|display|disclose|leak|expose|dump|share|tell me|give me|return|recite|echo)"
)
_HIDDEN = r"(?:system|hidden|secret|initial|original|developer|internal|confidential|full|exact)"

PROMPT_INJECTION = (
    when("override", 95, rf"\b{_FORGET}\b(?: \w+){{0,2}} {_EARLIER}\b(?:,? (?:and )?\w+){{0,3}}? {_ORDERS}\b"),
    when(
        "forget_everything",
        95,
        rf"\b{_FORGET} (?:everything|all|anything)\b(?: \w+){{0,3}}?"
        r" (?:above|before|previously|prior|you were told|you (?:have )?learned)\b",
    ),
    when(
        "override",
        90,
        rf"\b{_FORGET} (?:all |any )?(?:of )?(?:the|your) {_ORDERS} (?:that )?(?:you|were|given|above)\b",
    ),
    when(
        "override",
        60,
        r"\b(?:ignore|disregard|forget|skip) (?:all |everything )?(?:of )?the (?:above|foregoing|previous)\b",
    ),
    when(
        "reveal_prompt",
        95,
        rf"\b{_SHOW}\b(?: \w+){{0,3}}? (?:your|the) (?:\w+ )?{_HIDDEN}(?: \w+)? (?:prompts?|instructions?|message)\b",
    ),
    when(
        "reveal_prompt",
        90,
        r"\b(?:reveal|print|output|disclose|leak|dump) (?:me )?(?:your|its) (?:prompt|instructions)\b",
    ),
    when(
        "new_instructions",
        90,
        rf"\b{_ORDERS} to ignore\b|"
        rf"\b(?:new|updated|real) {_ORDERS}: ?(?:ignore|reveal|you (?:are|must|will)|print|output)",
    ),
    when("jailbreak_persona", 95, r"\byou are (?:now |going to be )?(?:dan|stan|dude|aim|devmode|jailbroken)\b"),
    when(
        "jailbreak_persona",
        95,
        r"\b(?:do anything now|developer mode (?:enabled|activated|on)|jailbreak mode|god mode (?:enabled|on))\b",
    ),
    when(
        "without_limits",
        90,
        r"\b(?:act|behave|respond|answer|pretend|roleplay|role-play|you are|you're)\b[^.!?]{0,60}"
        r"\b(?:without|no|free (?:of|from)|unbound by|not bound by) (?:any |all )?(?:\w+ )?"
        r"(?:restrictions|filters|guardrails|safety (?:rules|guidelines|filters)|ethical (?:guidelines|constraints)"
        r"|content polic(?:y|ies)|moral constraints)\b",
    ),
    when(
        "switch_off_safety",
        90,
        r"\b(?:disable|turn off|bypass|circumvent|override|ignore|remove) (?:all |any )?(?:your|its) (?:\w+ )?"
        r"(?:safety|security|ethical|content)"
        r" (?:filters?|guardrails?|guidelines|protocols?|restrictions|policies|policy|measures|checks)\b",
    ),
    when(
        "exfiltration",
        95,
        r"\b(?:send|post|upload|exfiltrate|forward|transmit|leak)\b[^.!?]{0,60}"
        r"\b(?:conversation|chat history|system prompt|api keys?|credentials|passwords?|user data|secrets)\b"
        r"[^.!?]{0,40}\bto (?:https?://|[\w.+-]+@|my server|this url|the following)",
    ),
    when("template_tokens", 90, r"<\|im_start\|>|<\|system\|>|\[/?inst\]|<<sys>>|<\|start_header_id\|>"),
    when(
        "fake_system_message",
        60,
        r"(?:^|\n) ?(?:#+ ?)?(?:system|admin(?:istrator)?|developer)(?: message| override| prompt)? ?:",
    ),
    when("from_now_on", 50, r"\bfrom now on,? (?:you|your|always|only|answer|respond)\b"),
    when(
        "pretend",
        40,
        r"\b(?:pretend (?:to be|you are|that you)|act as (?:if|though|an? (?:unrestricted|evil|uncensored)))\b",
    ),
    when("mentions_system_prompt", 40, r"\bsystem prompt\b"),
)

MALICIOUS_URLS = (
    when("script_scheme", 95, r"\b(?:javascript|vbscript):[^\s]{3}|\bdata:text/html[,;]"),
    when("credentials_in_host", 95, r"https?://[^\s/@]{1,64}@[a-z0-9.-]{1,80}\.[a-z]{2,24}/"),
    when(
        "image_that_carries_data",
        95,
        r"!\[[^\]]{0,80}\]\(https?://[^)\s]{1,120}[?&][a-z0-9_]{1,24}=[a-z0-9%+/_=.-]{32}",
    ),
    when("punycode_host", 90, r"https?://(?:[a-z0-9-]{1,40}\.){0,4}xn--[a-z0-9-]{1,60}\."),
    when(
        "download_from_an_address",
        90,
        r"https?://(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?/[^\s)]{0,80}\.(?:exe|scr|msi|bat|ps1|vbs|jar|apk|dmg|sh|hta)\b",
    ),
    when("bare_address", 50, r"https?://(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?(?:/|\b)"),
    when("shortened", 40, r"https?://(?:bit\.ly|tinyurl\.com|t\.co|goo\.gl|is\.gd|cutt\.ly|rb\.gy)/"),
)
"""Links that do harm when followed or shown. An image's address with a long value sends what it carries to its host."""

REFUSAL = (
    when(
        "refusal",
        50,
        r"^[^.!?\n]{0,80}\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:can(?:'t|not)|won't|must decline)"
        r"|as an ai|ich kann (?:dir|ihnen)? ?(?:leider|dabei) nicht|es tut mir leid)\b",
    ),
)
"""An answer that begins by declining."""

CHARACTERS_A_TOKEN = 4


def too_long(text: str, limit: int) -> Finding | None:
    """A finding when `text` has more tokens than `limit`, guessed by its characters."""
    tokens = len(text) // CHARACTERS_A_TOKEN
    if tokens <= limit:
        return None
    return Finding(scanner="token_limit", is_safe=False, risk=100, detail=f"about {tokens} tokens")


def about(text: str, banned: Collection[str]) -> Finding | None:
    """A finding when one of the `banned` topics, folded, stands in `text` as whole words."""
    folded = fold(text) if banned else ""
    for topic in sorted(banned):
        if topic and regex.search(rf"(?<!\w){regex.escape(topic)}(?!\w)", folded, timeout=PATTERN_SECONDS):
            return Finding(scanner="ban_topics", is_safe=False, risk=100, detail=topic)
    return None


def judge(scanner: str, rules: tuple[Rule, ...], text: str) -> Finding | None:
    """The gravest rule that `text` meets, None when it meets none. Raises TimeoutError."""
    folded = fold(text)
    met = [rule for rule in rules if rule.pattern.search(folded, timeout=PATTERN_SECONDS, concurrent=True)]
    if not met:
        return None
    gravest = max(met, key=lambda rule: rule.risk)
    return Finding(scanner=scanner, is_safe=gravest.risk < BLOCKING_RISK, risk=gravest.risk, detail=gravest.name)


_INVISIBLE = regex.compile(r"[\p{Cf}\p{Mn}]+")
_SPACES = regex.compile(r"[^\S\n]+")


def fold(text: str) -> str:
    """Lower case, compatibility forms made plain, nothing invisible, single spaces: what a rule reads."""
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKD", text)).casefold().replace("’", "'")
    return str(_SPACES.sub(" ", plain))
