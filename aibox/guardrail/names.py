"""Names of people that a small language model misses: known first and last names, and what words announce a name.

The lists are Faker's (MIT), of the many languages in it whose scripts have capitals. A name that is a word too
("May", "Rose") counts only beside another, or where it is announced.
"""

import functools
import importlib
import pkgutil
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import regex

from aibox.guardrail.credentials import PATTERN_SECONDS

_PART = r"\p{Lu}[\p{L}'’]*\p{Ll}(?:-\p{Lu}[\p{L}'’]+)?"
_PARTICLE = r"von|van|de|der|den|da|di|del|della|la|le|ten|ter|bin|ibn|al|el|zu|zur|dos"
RUN = regex.compile(rf"(?<![\w@.])(?:{_PART})(?:[ ](?:(?:\p{{Lu}}\.?|{_PARTICLE})(?=[ ])|{_PART})){{0,4}}(?![\w@])")
"""Capitalised words in a row, with initials and particles between them."""

ENUMERATION = regex.compile(
    rf"(?<![\w@.] )(?<![\w@])(?P<name>{_PART})(?:,[ ](?P<name>{_PART})){{0,12}}"
    rf",?[ ](?:and|und|&)[ ](?P<name>{_PART})(?![\w@]|[ ]\p{{Lu}})"
)

_NAME = rf"{_PART}(?:[ ](?:(?:\p{{Lu}}\.?|{_PARTICLE})(?=[ ])|{_PART})){{0,3}}"
_AS_TOLD = r"\p{L}[\p{L}'’-]{1,30}(?:[ ]\p{Lu}[\p{L}'’-]{1,30}){0,2}"

TITLES = {
    "en": rf"\b(?i:mr|mrs|ms|miss|mx|dr|prof|professor|sir|madam|lady)\b\.?[ ]{{1,2}}(?P<name>{_NAME})",
    "de": rf"\b(?:Herrn?|Frau|Hr\.|Fr\.|Dr\.|Prof\.)[ ]{{1,2}}(?:(?:Dr|Prof)\.[ ])?(?P<name>{_NAME})",
}
"""What makes any capitalised word after it a name."""

_KIN = (
    "wife|husband|son|daughter|kid|mother|father|brother|sister|boss|colleague|friend|neighbou?r|partner|uncle|aunt"
    "|grand(?:mother|father)"
)
_KIN_DE = "Frau|Mann|Sohn|Tochter|Mutter|Vater|Bruder|Schwester|Chefin?|Kolleg(?:e|in)|Freund(?:in)?|Nachbar(?:in)?"
ANNOUNCING = {
    "en": (
        r"\b(?i:my (?:full |first |last |maiden |middle |family )?name(?: is|'s)"
        r"|(?:her|his|their|your) (?:\w+ )?name(?: is|\?)|name:|call(?:s|ed)? (?:me|him|her)|i am called|i go by)"
        rf"\s{{1,3}}(?P<name>{_AS_TOLD})",
        rf"\b(?i:dear|hi|hello|regards,|sincerely,|cheers,|signed,?|love,)\s{{1,3}}(?P<name>{_NAME})",
        rf"\b(?i:my|his|her|our|their) (?i:{_KIN}),?[ ](?P<name>{_NAME})",
        r"\b(?i:was called|is called|named|directed by:?|written by:?|starring|said|shouted at|speak to|talk to"
        r"|follow up with|contact|attn\.?:?|c/o|under the name|song by|cover of|version by|book by|by)"
        rf"\s{{1,4}}(?P<name>{_NAME})",
        rf"(?P<name>{_NAME})(?='s (?:{_KIN}|birthday|house|address|account|phone)\b)",
        rf"(?P<name>{_NAME})"
        r"(?=,? (?:lives|lived|works|worked|was born|is from|is married|spent a|said|told|asked|wrote|called)\b)",
    ),
    "de": (
        r"\b(?i:ich heiße|ich heisse|mein name ist|(?:sein|ihr|dein) name ist|(?:vor|nach)?name:)"
        rf"\s{{1,3}}(?P<name>{_AS_TOLD})",
        rf"\b(?i:liebe[rs]?|hallo|grüße,?|gruß,?|gez\.)\s{{1,3}}(?P<name>{_NAME})",
        rf"\b(?i:(?:mein|sein|ihr)e?[mnr]?) (?:{_KIN_DE}),?[ ](?P<name>{_NAME})",
        rf"(?P<name>{_NAME})(?= (?:wohnt|arbeitet|lebt|wurde geboren|sagte|schrieb)\b)",
    ),
}
"""What announces a name, by language; `name` is its group."""

_SURNAMES = regex.compile(
    r"\p{Lu}\p{L}{2,}(?:ová|ovna|ova|eva|yova|ović|ević|ić|sson|sdóttir|sdottir|wicz|owski|owska|ński|ńska|nski|nska|cki|cka|evsky|skaya|enko|chuk|shvili"
    r"|opoulos|escu|inen|stein|mann|berg|quist|qvist|gård|strøm|ström)"
)
_WORDS_TOO = """
    tel fax ada all am amazon an angel any apple april art as at august austin autumn be berlin best bill bin bist bitte
    black bob brooklyn brown by can carolina charity chase chelsea china crystal dakota dallas danke das data
    dawn day dean december dein deine denver der deutsch die dienstag do donnerstag drew dutch east ein eine
    engel english ernst es faith february field florence forest frank frau freitag french freund freundin friday
    gene georgia german go grace grant greek green gut guy has hat he her herr herrn his hope houston how hunter
    if ihr ihre im in india is israel ist it italian its jack january java jordan joy juli julia july june juni
    kann king koch kollege kollegin können lane lee lima lincoln london long love madrid mai major march mark
    max may me mein meine meinen meiner mercedes miles mini mittwoch model monday montag montana my new no north
    not november now october oder of on or oracle our page paris pascal pat perl phoenix plus polish price pro
    ray rich road rock rose royal ruby russian samstag saturday savannah see sein seine september she short
    sierra small so sofia son sonntag south spanish star stone street sue summer sunday sunny sydney test that
    the their these they this those thursday to too tuesday turkish ultra und unser unsere up us user van victor
    victoria vienna virginia wann ward was washington we wednesday wer west what when where which white who why
    wie will winter wise wo wolf yes you young your
"""
_BEFORE_A_NAME = frozenset(
    {"Can", "Could", "Would", "Will", "Is", "Was", "Did", "Does", "Has", "Hey", "And", "But", "The", "Dear", "From"}
)


class Names(NamedTuple):
    """Known names in lower case, and words that are none by themselves."""

    first: frozenset[str]
    last: frozenset[str]
    words: frozenset[str]


@functools.cache
def known() -> Names:
    """The lists; reading them takes about a second."""
    first: set[str] = set()
    last: set[str] = set()
    for module in _modules("person"):
        provider = module.Provider
        for attribute in dir(provider):
            if "first_name" in attribute:
                first.update(_capitalised(getattr(provider, attribute)))
            elif "last_name" in attribute:
                last.update(_capitalised(getattr(provider, attribute)))
    words = set(_WORDS_TOO.split())
    for module in (*_modules("lorem", "en_US"), *_modules("lorem", "de_DE")):
        words.update(word.casefold() for word in module.Provider.word_list)
    for module in _modules("address", "en"):
        words.update(country.casefold() for country in getattr(module.Provider, "countries", ()))
    return Names(frozenset(first), frozenset(last), frozenset(words))


def find_names(text: str, languages: Collection[str]) -> Iterator[tuple[int, int]]:
    """Start and end of each name that the lists or an announcing word tell; they may overlap.

    Raises TimeoutError, KeyError for an unknown language.
    """
    for language in languages:
        for pattern, is_title in _announcing(language):
            for match in pattern.finditer(text, timeout=PATTERN_SECONDS, concurrent=True):
                if is_title or match["name"].casefold() not in known().words:
                    yield match.span("name")
    for match in ENUMERATION.finditer(text, timeout=PATTERN_SECONDS, concurrent=True):
        yield from _in_enumeration(match)
    for match in RUN.finditer(text, timeout=PATTERN_SECONDS, concurrent=True):
        yield from _in_run(match.group(), match.start())


def _in_enumeration(match: Any) -> Iterator[tuple[int, int]]:
    """All of a list's words, when no other words are among them and at least half are known names."""
    names = known()
    listed = [word.casefold() for word in match.captures("name")]
    if names.words.isdisjoint(listed) and 2 * sum(w in names.first or w in names.last for w in listed) >= len(listed):
        yield from match.spans("name")


def _in_run(run: str, offset: int) -> Iterator[tuple[int, int]]:
    """Names in a run of capitalised words: from a first name on, or two words of which the second is a last name."""
    names = known()
    parts = [(match.group(), match.start(), match.end()) for match in regex.finditer(r"[^ ]+", run)]
    while parts and parts[0][0] in _BEFORE_A_NAME:
        parts = parts[1:]
    folded = [regex.sub(r"['’]s$", "", part.casefold()) for part, _, _ in parts]
    for place, word in enumerate(folded):
        is_last = place == len(parts) - 1
        if word in names.words or len(word) < 3:
            continue
        if word in names.first or word.partition("-")[0] in names.first:
            yield offset + parts[place][1], offset + parts[-1][2]
            return
        if _SURNAMES.fullmatch(parts[place][0]) and (place or is_last):
            yield offset + parts[max(0, place - 1)][1], offset + parts[place][2]
            return
        if place and is_last and word in names.last and folded[place - 1] not in names.words:
            yield offset + parts[place - 1][1], offset + parts[place][2]


@functools.cache
def _announcing(language: str) -> tuple[tuple[Any, bool], ...]:
    """The patterns of a language, and of each whether it is a title. Raises KeyError for a language not known."""
    announcing = [(regex.compile(pattern), False) for pattern in ANNOUNCING[language]]
    return ((regex.compile(TITLES[language]), True), *announcing)


def is_german(text: str) -> bool:
    """Whether more German than English function words stand in it."""
    return len(_GERMAN.findall(text)) > len(_ENGLISH.findall(text))


def is_known(name: str) -> bool:
    """Whether one of its words is a known first or last name and no common word."""
    names = known()
    words = (word.casefold() for word in regex.findall(r"\p{Lu}[\p{L}'’-]+", name))
    return any(
        len(word) > 3 and word not in names.words and (word in names.first or word in names.last) for word in words
    )


_GERMAN = regex.compile(
    r"\b(?i:der|die|das|und|ist|nicht|ein|eine|ich|sie|wir|mit|für|auf|von|zu|im|den|dem|bei|wie|mein|kann)\b"
)
_ENGLISH = regex.compile(
    r"\b(?i:the|and|is|are|not|a|an|i|you|we|with|for|on|of|to|in|at|how|my|can|it|this|that|what)\b"
)


_CASED = regex.compile(r"[\p{Latin}\p{Cyrillic}\p{Greek}'’ -]{3,40}")


def _capitalised(names: object) -> Iterator[str]:
    """Those of a provider's list (or weights by name) that could be told by their capital."""
    for name in names if isinstance(names, tuple | list | dict | set) else ():
        if isinstance(name, str) and _CASED.fullmatch(name) and name[0].isupper():
            yield name.casefold()


def _modules(kind: str, languages: str = "") -> Iterator[Any]:
    """Faker's providers of a kind; of all languages, or of those whose code begins so."""
    package = importlib.import_module(f"faker.providers.{kind}")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith(languages):
            yield importlib.import_module(f"faker.providers.{kind}.{module.name}")
