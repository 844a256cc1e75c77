"""Presidio recognizers for personal data and secrets that refuse when a pattern is too slow, where Presidio's skip it.

Presidio catches a regex's time-out, logs it and reports that nothing was found: it fails open. `Strict` does not.
"""

import ipaddress
from collections.abc import Collection
from typing import Any

import phonenumbers
import regex
from presidio_analyzer import EntityRecognizer, LocalRecognizer, Pattern, PatternRecognizer, RecognizerResult
from presidio_analyzer.predefined_recognizers import CryptoRecognizer, SpacyRecognizer

from aibox.guardrail.addresses import find_addresses
from aibox.guardrail.credentials import PATTERN_SECONDS, find_credentials
from aibox.guardrail.names import find_names, is_german, is_known
from aibox.guardrail.national_ids import find_national_ids
from aibox.guardrail.text import SECRET

Results = list[RecognizerResult]


class Strict(PatternRecognizer):
    """A PatternRecognizer whose time-outs are errors. Mix it in first."""

    seconds: float = PATTERN_SECONDS
    patterns: list[Pattern]

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: Any = None, regex_flags: int | None = None
    ) -> Results:
        """Every match that is not invalid. Raises TimeoutError."""
        flags = regex_flags or self.global_regex_flags
        found: Results = []
        for pattern in self.patterns:
            compiled = regex.compile(pattern.regex, flags=flags)  # the module keeps compiled patterns
            for match in compiled.finditer(text, timeout=self.seconds, concurrent=True):
                start, end = match.span()
                score = self._score(pattern, text[start:end])
                if start < end and score > EntityRecognizer.MIN_SCORE:
                    found.append(self._result(start, end, score))
        return list(EntityRecognizer.remove_duplicates(found))

    def _score(self, pattern: Pattern, matched: str) -> float:
        is_valid = self.validate_result(matched)
        if is_valid is False or self.invalidate_result(matched):
            return float(EntityRecognizer.MIN_SCORE)
        return float(EntityRecognizer.MAX_SCORE if is_valid else pattern.score)

    def _result(self, start: int, end: int, score: float) -> RecognizerResult:
        return _result(self, self.supported_entities[0], start, end, score)


class Card(Strict):
    """Card numbers with a good Luhn digit."""

    def __init__(self) -> None:
        form = r"(?<![\d.-])(?:[2-6]\d|18)(?:[ -]?\d){10,17}(?![\d-])"
        super().__init__("CREDIT_CARD", name="Card", patterns=[Pattern("card", form, 0.3)])

    def validate_result(self, pattern_text: str) -> bool:
        digits = [int(c) for c in pattern_text if c.isdigit()]
        if len(set(digits)) < 2:
            return False
        doubled = (d * 2 - 9 * (d > 4) for d in digits[-2::-2])
        return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


class Iban(Strict):
    """IBANs whose remainder modulo 97 is 1, in capitals or not."""

    def __init__(self) -> None:
        form = r"\b(?:[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?|[a-z]{2}\d{2}[a-z0-9]{11,30})\b"
        super().__init__("IBAN_CODE", name="Iban", patterns=[Pattern("iban", form, 0.3)], global_regex_flags=0)

    def validate_result(self, pattern_text: str) -> bool:
        return iban_is_good(pattern_text)


class Crypto(Strict, CryptoRecognizer):
    """Bitcoin addresses by their checksum, and Ethereum addresses by their form."""

    PATTERNS = [  # noqa: RUF012 - Presidio's way
        Pattern("bitcoin", r"\b(?:bc1|[13])[a-zA-HJ-NP-Z0-9]{25,59}\b", 0.5),
        Pattern("ethereum", r"\b0x[a-fA-F0-9]{40}\b", 0.7),
    ]

    def _score(self, pattern: Pattern, matched: str) -> float:
        return float(pattern.score) if pattern.name == "ethereum" else super()._score(pattern, matched)


class Email(Strict):
    """E-mail addresses by their form, under any top-level domain: also `.internal`, which no public list has."""

    def __init__(self) -> None:
        form = r"(?<![\w.+-])[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{0,61}[^\W_](?![\w-])"
        super().__init__("EMAIL_ADDRESS", name="Email", patterns=[Pattern("email", form, 0.9)])


class SocialSecurity(Strict):
    """United States social security numbers and taxpayer numbers of the same form (9…), written with separators."""

    def __init__(self) -> None:
        form = r"(?<![\d-])(?!000|666)\d{3}([- ])(?!00)\d{2}\1(?!0000)\d{4}(?![\d-])"
        super().__init__("US_SSN", name="SocialSecurity", patterns=[Pattern("ssn", form, 0.8)])


class IpAddress(Strict):
    """IP addresses, except the machine's own and the unspecified ones."""

    def __init__(self) -> None:
        four = Pattern("ipv4", r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d]|\.\d)", 0.6)
        six = Pattern("ipv6", r"(?<![\w:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])", 0.6)
        super().__init__("IP_ADDRESS", name="IpAddress", patterns=[four, six])

    def invalidate_result(self, pattern_text: str) -> bool:
        try:
            address = ipaddress.ip_address(pattern_text)
        except ValueError:
            return True
        return address.is_loopback or address.is_unspecified


class Phone(LocalRecognizer):
    """Phone numbers: those that exist, by Google's phonenumbers, as written in these countries; and, whether they exist
    or not, those with a `+`, after a word such as "phone", or before one such as "office"."""

    REGIONS = ("US", "GB", "DE", "FR")
    CANDIDATE = regex.compile(r"\d(?:[\s().+/-]{0,3}\d){6}")
    ANNOUNCED = regex.compile(
        r"(?:(?<![\w+])\+|\b(?i:(?:tele)?phone|telefon|tel|mobile?|cell|handy|fax|desk|office|whatsapp|call|dial|rufnummer"
        r"|answering at|reach(?:ed|able)? (?:\w+ )?(?:at|on|under)|messages? to|text (?:me|him|her|us) (?:at|on)"
        r"|registered(?: number)?|erreichbar unter)\b[^\d\n]{0,24}?\n?(?=\(?\d))"
        r"(?P<number>\(?\d(?:[ ().\/-]{0,2}\d){6,14}(?:x\d{1,5})?)(?![\d])"
    )
    NAMED_AFTER = regex.compile(
        r"(?<![\w.+-])(?P<number>\+?\(?\d(?:[ ().\/-]{0,2}\d){6,14}(?:x\d{1,5})?)"
        r"[ -]{1,2}(?i:office|fax|mobile?|home|cell|desk)\b"
    )

    SOCIAL_SECURITY = regex.compile(r"\d{3}-\d{2}-\d{4}")

    def __init__(self) -> None:
        super().__init__(supported_entities=["PHONE_NUMBER"], name="Phone")

    def load(self) -> None:
        """Nothing to load."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> Results:
        if not self.CANDIDATE.search(text, timeout=PATTERN_SECONDS, concurrent=True):
            return []  # the matcher is slow, and most texts have no seven digits in a row
        found = {
            (match.start, match.end)
            for region in self.REGIONS
            for match in phonenumbers.PhoneNumberMatcher(text, region, leniency=phonenumbers.Leniency.VALID)
        }
        for pattern in (self.ANNOUNCED, self.NAMED_AFTER):
            for match in pattern.finditer(text, timeout=PATTERN_SECONDS, concurrent=True):
                start, end = match.span("number")
                found.add((start - 1 if text[start - 1 : start] == "+" else start, end))
        return [
            _result(self, "PHONE_NUMBER", start, end, 0.8)
            for start, end in sorted(found)
            if not self.SOCIAL_SECURITY.fullmatch(text, start, end)
        ]


class StreetAddress(LocalRecognizer):
    """Street and box addresses (`addresses.py`)."""

    def __init__(self) -> None:
        super().__init__(supported_entities=["STREET_ADDRESS"], name="StreetAddress")

    def load(self) -> None:
        """Nothing to load."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> Results:
        return [_result(self, "STREET_ADDRESS", start, end, 0.7) for start, end in find_addresses(text)]


class NationalIds(LocalRecognizer):
    """Identity and tax numbers of states (`national_ids.py`)."""

    def __init__(self) -> None:
        super().__init__(supported_entities=["NATIONAL_ID"], name="NationalIds")

    def load(self) -> None:
        """Nothing to load."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> Results:
        return [_result(self, "NATIONAL_ID", start, end, 0.8) for start, end in find_national_ids(text)]


class ModelNames(SpacyRecognizer):
    """What the language model finds. An English one takes many a German noun for a person: there, known names only."""

    def __init__(self) -> None:
        super().__init__(supported_entities=["PERSON", "LOCATION"])

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> Results:
        found: Results = super().analyze(text, entities, nlp_artifacts)
        if not is_german(text):
            return found
        return [name for name in found if name.entity_type != "PERSON" or is_known(text[name.start : name.end])]


class PersonNames(LocalRecognizer):
    """Names that lists and announcing words tell (`names.py`), beside those that the language model finds."""

    def __init__(self, languages: Collection[str]) -> None:
        super().__init__(supported_entities=["PERSON"], name="PersonNames")
        self._languages = tuple(languages)

    def load(self) -> None:
        """Nothing to load: the lists come with the first text."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> Results:
        return [_result(self, "PERSON", start, end, 0.7) for start, end in find_names(text, self._languages)]


class Credentials(LocalRecognizer):
    """API keys, tokens, private keys and passwords (`credentials.py`)."""

    def __init__(self) -> None:
        super().__init__(supported_entities=[SECRET], name="Credentials")

    def load(self) -> None:
        """Nothing to load."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> Results:
        return [_result(self, SECRET, span.start, span.end, 1.0) for span in find_credentials(text)]


def iban_is_good(text: str) -> bool:
    """ISO 7064 modulo 97-10: country and check digits moved to the end, letters as 10 to 35."""
    compact = text.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


def _result(recognizer: EntityRecognizer, kind: str, start: int, end: int, score: float) -> RecognizerResult:
    metadata = {
        RecognizerResult.RECOGNIZER_NAME_KEY: type(recognizer).__name__,
        RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: recognizer.id,
    }
    return RecognizerResult(kind, start, end, score, recognition_metadata=metadata)
