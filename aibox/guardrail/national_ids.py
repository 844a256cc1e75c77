"""National identity and tax numbers of the European Union, the United Kingdom and the United States.

Each has its form and, where its state published one, its check digits. A form that any order number has counts only
after a word that announces it.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import regex

from aibox.guardrail.credentials import PATTERN_SECONDS

ANNOUNCED_WITHIN = 48
"""So many characters before a number may stand the word that announces it."""


class NationalId(NamedTuple):
    """A state's number. `is_good` gets it without separators; `announced` must stand before it, unless None."""

    name: str
    form: Any
    is_good: Callable[[str], bool]
    announced: Any = None


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum(int(d) * w for d, w in zip(digits, weights, strict=False))


def _spanish(number: str) -> bool:
    """DNI and NIE: the letter is the number modulo 23 (Real Decreto 1553/2005)."""
    digits = number[:-1].translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23] == number[-1]


def _french(number: str) -> bool:
    """NIR: the key is 97 minus the number modulo 97; Corsica's letters count as 19 and 18."""
    digits = number[:13].replace("2A", "19").replace("2B", "18")
    return digits.isdigit() and 97 - int(digits) % 97 == int(number[13:])


_ODD_DIGITS = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)
_ITALIAN_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (*_ODD_DIGITS, *_ODD_DIGITS, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        strict=True,
    )
)


def _italian(number: str) -> bool:
    """Codice fiscale: a letter from the odd and even places (Decreto 23 dicembre 1976)."""
    total = sum(
        _ITALIAN_ODD[c] if place % 2 == 0 else int(c) if c.isdigit() else ord(c) - ord("A")
        for place, c in enumerate(number[:15])
    )
    return chr(ord("A") + total % 26) == number[15]


def _german(number: str) -> bool:
    """Steuer-ID: one digit stands two or three times in the first ten, and ISO 7064 MOD 11,10."""
    if sorted(number[:10].count(d) for d in set(number[:10]))[-1] not in (2, 3):
        return False
    product = 10
    for digit in number[:10]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(number[10])


def _dutch(number: str) -> bool:
    """BSN: the eleven test, its last digit counts minus one."""
    return int(number) > 0 and (_weighted(number[:8], (9, 8, 7, 6, 5, 4, 3, 2)) - int(number[8])) % 11 == 0


def _polish(number: str) -> bool:
    """PESEL: weights 1, 3, 7, 9 and a date."""
    is_date = 1 <= int(number[2:4]) % 20 <= 12 and 1 <= int(number[4:6]) <= 31
    return is_date and (10 - _weighted(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10) % 10 == int(number[10])


def _swedish(number: str) -> bool:
    """Personnummer: Luhn over the last ten digits, and a date (a coordination number's day has 60 more)."""
    ten = number[-10:]
    if not (1 <= int(ten[2:4]) <= 12 and 1 <= int(ten[4:6]) % 60 <= 31):
        return False
    doubled = (int(d) * (2 - place % 2) for place, d in enumerate(ten))
    return sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0


def _finnish(number: str) -> bool:
    """Henkilötunnus: the date and the running number modulo 31."""
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(number[:6] + number[7:10]) % 31] == number[10]


def _belgian(number: str) -> bool:
    """Rijksregisternummer: 97 minus the rest; who was born since 2000 has a 2 before."""
    rest = int(number[9:])
    return any(97 - int(century + number[:9]) % 97 == rest for century in ("", "2"))


def _portuguese(number: str) -> bool:
    """NIF: weights 9 to 2 modulo 11."""
    rest = 11 - _weighted(number[:8], (9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return (0 if rest > 9 else rest) == int(number[8])


def _danish(number: str) -> bool:
    """CPR: a date; its old check digit no longer holds for all."""
    return 1 <= int(number[:2]) <= 31 and 1 <= int(number[2:4]) <= 12


def _any(_: str) -> bool:
    return True


def _id(name: str, form: str, is_good: Callable[[str], bool], announced: str | None = None) -> NationalId:
    bounded = regex.compile(rf"(?<![\w-])(?:{form})(?![\w-])")
    return NationalId(name, bounded, is_good, regex.compile(announced, regex.IGNORECASE) if announced else None)


NATIONAL_IDS = (
    _id("es", r"[XYZ\d]\d{7}[ -]?[A-HJ-NP-TV-Z]", _spanish),
    _id("fr", r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", _french),
    _id("it", r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", _italian),
    _id("de", r"[1-9]\d ?\d{3} ?\d{3} ?\d{3}", _german, r"steuer|\bidnr|tax|\btin\b|identifikations"),
    _id("de_card", r"[CFGHJKLMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ0-9]{8}\d?", _any, r"ausweis|reisepass|pass(?:port)?[ -]?n"),
    _id("de_pension", r"\d{2} ?\d{6} ?[A-Z] ?\d{3}", _any, r"versicherung|rentenv|\bsvnr|social"),
    _id("nl", r"\d{9}|\d{4}\.\d{2}\.\d{3}", _dutch, r"\bbsn\b|burgerservice|sofi"),
    _id("pl", r"\d{11}", _polish, r"\bpesel\b"),
    _id("se", r"(?:19|20)?\d{6}[-+]\d{4}|(?:19|20)\d{10}", _swedish),
    _id("fi", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]", _finnish),
    _id("be", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", _belgian),
    _id("pt", r"[1235689]\d{8}", _portuguese, r"\bnif\b|contribuinte"),
    _id("dk", r"\d{6}-?\d{4}", _danish, r"\bcpr\b"),
    _id("at", r"\d{4} ?\d{6}", _any, r"\bsvnr|sozialversicherung"),
    _id("ie", r"\d{7}[A-W][A-IW]?", _any, r"\bpps"),
    _id("gb", r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]", _any),
    _id("us_passport", r"[A-Z]?\d{8,9}", _any, r"passport"),
    _id(
        "us_licence",
        r"[A-Z]{0,2}\d{5,14}|\d{2,4}(?:-\d{2,4}){1,3}",
        _any,
        r"driv(?:er|ing)[\w' ]{0,5} ?licen[cs]e|\bdl\b",
    ),
    _id("us_ein", r"\d{2}-\d{7}", _any, r"\bein\b|employer id"),
    _id("us_ssn", r"\d{9}", _any, r"\bssn\b|social security"),
)


def find_national_ids(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each number that passes its checks. Raises TimeoutError."""
    for kind in NATIONAL_IDS:
        for match in kind.form.finditer(text, timeout=PATTERN_SECONDS, concurrent=True):
            before = text[max(0, match.start() - ANNOUNCED_WITHIN) : match.start()]
            if kind.announced is not None and not kind.announced.search(before):
                continue
            compact = match.group() if kind.name == "fi" else "".join(c for c in match.group() if c.isalnum())
            if kind.is_good(compact):
                yield match.span()
