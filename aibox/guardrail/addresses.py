"""Where street addresses stand in a text: a street with its number, what surrounds it, and box addresses.

Streets are known by their words (`12 Baker Street`, `Hauptstraße 7`, `rue de la Paix 3`) in the languages of Europe,
or by standing between two numbers before a flat (`7878 Rahu 37 Apt. 405`). A postcode or a house number alone is
none. No pattern repeats without an end.
"""

from collections.abc import Iterator

import regex

from aibox.guardrail.credentials import PATTERN_SECONDS

_WORD = (
    r"(?:\p{Lu}[\p{L}'’.-]{0,40}|d[’']\p{Lu}[\p{L}-]{0,40}|\d{1,2}(?:st|nd|rd|th)"
    r"|de|del|della|delle|des|du|di|da|do|dos|la|le|ten|van|von|der|den|am)"
)
_WORDS = rf"{_WORD}(?:[ ]{_WORD}){{0,4}}"
_NUMBER = r"\d{1,6}(?:[ ]?[A-Za-z](?!\p{L})|[/-]\d{1,4})?"
_LEAD = rf"(?:(?<![\w.,])(?:{_NUMBER}[, ][ ]?){{1,2}})"

# After the name, with a space: English. The number stands before.
_ENGLISH = (
    r"(?i:street|str|st|avenue|ave|road|rd|lane|ln|drive|dr|boulevard|blvd|court|ct|place|pl|square|sq|terrace|parkway|pkwy"
    r"|highway|hwy|circle|cir|trail|close|crescent|way|mews|gardens|grove|walk|row|alley|loop|plaza|creek)\b\.?"
)
# Grown into the name: German, Dutch, the Nordic languages, Finnish. The number stands after.
_GROWN = (
    r"(?i:stra(?:ss|ß)e|str\.|weg|allee|platz|gasse|ring|damm|ufer|steig|chaussee|straat|laan|plein|gracht|kade"
    r"|gatan|gata|gate|vägen|vegen|veien|vej|vei|väg|gade|stræde|katu|tie|kuja|vangen|stræti|braut|hove)"
)
# Before the name, or after it with a space: Romance and Slavic languages, Hungarian, Estonian.
_BEFORE = (
    r"(?i:rue|avenue|boulevard|chemin|quai|cours|allée|place|via|viale|piazza|corso|vicolo|calle|avenida|avda\.?|plaza|paseo"
    r"|carrer|rua|travessa|praça|largo|estrada|ul\.|ulica|aleja|al\.|nám\.|náměstí)"
)
_AFTER = r"(?i:utca|u\.|út|tér|krt\.|körút|tee|tänav|pst|gränd|strasse|straße|allee|weg|platz|ulice)"

_UNIT = r"(?:(?i:apt|apartment|suite|ste|unit|flat|whg|wohnung|etage|app|box)\.?[ ]?#?\d{1,5}[A-Za-z]?|#\d{1,5})"
_UNITS = rf"(?:[,]?\s{{1,3}}{_UNIT}){{0,2}}"
_POSTCODE = r"(?:[A-Z]{1,2}-)?\d{4,5}(?:-\d{3,4})?|\d{3}[ ]\d{2}|[A-Z]{1,2}\d[A-Z\d]?[ ]\d[A-Z]{2}|\d{4}[ ][A-Z]{2}"
_CITY = r"\p{Lu}[\p{L}'’-]{1,40}(?:[ ](?:\p{Lu}|de|do|la|am|an|der|del)[\p{L}'’-]{0,40}){0,3}"
_TOWN = (
    rf"(?:[,]?\s{{1,3}}(?:(?:{_POSTCODE})[ ]{_CITY}"
    rf"|{_CITY}\s{{0,2}},[ ]?[A-Z]{{2,3}}(?:\s{{1,3}}(?:{_CITY}[ ])?(?:{_POSTCODE}))?"
    rf"|{_CITY}[ ](?:{_POSTCODE})))?"
)

_STREETS = (
    rf"{_LEAD}{_WORDS}[ ]{_ENGLISH}",
    rf"{_LEAD}?\b(?:\p{{Lu}}[\p{{L}}-]{{0,40}}[ ]){{0,2}}\p{{Lu}}[\p{{L}}'-]{{1,40}}?{_GROWN}[ ]{_NUMBER}\b\.?",
    rf"{_LEAD}?\b{_BEFORE}[ ]{_WORDS}(?:,?[ ]{_NUMBER}\b)",
    rf"{_LEAD}{_BEFORE}[ ]{_WORDS}",
    rf"{_LEAD}?\b{_WORDS}[ ]{_AFTER}[ ]{_NUMBER}\b\.?",
)
_BOXES = (
    r"\b(?i:p\.?[ ]?o\.?[ ]?box|postfach|boîte postale|apartado)[ ]\d{1,6}\b",
    r"\b(?i:psc|unit|cmr)[ ]\d{3,5},?[ ](?i:box)[ ]\d{2,5}\s{1,2}(?i:apo|fpo|dpo)[ ](?i:a[aep])[ ]\d{5}\b",
    r"\b(?i:uss|usns|usnv|uscgc)[ ]\p{L}[\p{L} ]{1,30}\s{1,2}(?i:apo|fpo|dpo)[ ](?i:a[aep])[ ]\d{5}\b",
)
_BETWEEN = rf"{_LEAD}{_WORDS}[ ]\d{{1,5}}\b\.?(?=,?\s{{1,3}}{_UNIT})"
_LOOSE_UNIT = r"\b(?i:apt|apartment|suite|flat|wohnung)\.?[ ]#?\d{1,5}\b"
_LIVES = (
    r"\b(?i:lives? (?:at|in)|living (?:at|in)|resid(?:es|ing) (?:at|in)|located (?:at|in)|address (?:is|to|was)"
    r"|(?:my|her|his|their|home|billing|shipping|postal|mailing) address:?|drops? (?:you|me) off at|deliver(?:ed)? to"
    r"|wohn(?:t|e|haft) in(?: der)?|anschrift(?: ist|:)|adresse(?: ist|:|lautet)?)\s{1,3}"
    rf"(?P<value>(?:{_NUMBER}[ ]){{0,2}}{_WORDS}[ ]{_NUMBER}\b\.?|{_LEAD}{_WORDS})"
)

_PATTERNS = tuple(
    regex.compile(pattern)
    for pattern in (
        *(f"{street}{_UNITS}{_TOWN}" for street in (*_STREETS, *_BOXES)),
        f"{_BETWEEN}{_UNITS}{_TOWN}",
        _LOOSE_UNIT,
        f"{_LIVES}{_UNITS}{_TOWN}",
    )
)


def find_addresses(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each; they may overlap. Raises TimeoutError."""
    for pattern in _PATTERNS:
        group = "value" if "value" in pattern.groupindex else 0
        for match in pattern.finditer(text, timeout=PATTERN_SECONDS, concurrent=True):
            start = match.start(group)
            yield start, match.end()
