"""What a message says about its writer that is worth keeping, found by the form of its sentences.

Plain rules, in English: a statement in the first person about name, home, work, likes; "remember that …"; or a
correction of the assistant, which becomes feedback. No question, no code, no quotation. What they miss can be stored
by hand or by a tool; what they keep, the user sees and can delete.
"""

import re

from aibox.memory import Kind, Noticed

MOST_STATEMENTS = 5
MOST_CHARACTERS = 400


_QUOTED = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|^\s*>[^\n]*$|<memory-context>.*?</memory-context>", re.DOTALL | re.MULTILINE
)
_ABBREVIATED = "".join(rf"(?<!\b{short}\.)" for short in ("Inc", "Ltd", "Co", "St", "Dr", "Mr", "Mrs", "Ms", "vs"))
_BETWEEN_SENTENCES = re.compile(rf"{_ABBREVIATED}(?<=[.!?])\s+|\n+")

_OPENING = r"(?:(?:hi|hello|hey|btw|by the way|also|and|so|well|oh|fyi|please|for context|note that)[,:]?\s+)*"
_KIN = r"(?:son|daughter|child|children|kids?|dogs?|cats?|wife|husband|allergy)"
_MINE = (
    r"(?:wife|husband|partner|son|daughter|mother|father|dog|cat|birthday|boss|manager|team|company|employer|job"
    r"|profession|hometown|time ?zone|native language|mother tongue|address|phone(?: number)?|e-?mail(?: address)?)"
)
_OFTEN = r"(?:(?:really|also|always|usually|generally|strongly|never|do not|don't|rather) )*"
_NOT_THE_ANSWER = r"(?!this\b|that\b|it\b|your\b|how\b|the (?:answer|idea|way)\b|to know\b)"

_REMEMBER = re.compile(
    rf"{_OPENING}(?:remember|keep in mind|don'?t forget|make a note|note down|take note)(?: that| this| of this)?"
    r"[:,]?\s+(?P<what>(?!to\b|when\b|the time\b|how\b).{4,})",
    re.IGNORECASE,
)
_CORRECTION = re.compile(
    r"(?:(?:no|nope|wrong|actually|correction|that(?:'s| is) (?:not right|wrong|incorrect)|i (?:said|told you|meant))\b"
    r"[,.:!;]?\s+(?:(?:it(?:'s| is)|i(?:'m| am)|my|the|that|please|i (?:said|meant))\b.{4,}))"
    r"|(?:please )?(?:always|never|stop|don'?t|do not|next time|from now on,?|in (?:the )?future,?)\s+"
    r"(?:please )?(?:always |never )?(?:call|address|use|write|answer|reply|respond|speak|give|add|include|put|format"
    r"|explain|assume|apologi[sz]e|mention|translate|send|end|start|begin|keep|make)\w*\b.{3,}",
    re.IGNORECASE,
)
_FORMS: dict[Kind, list[str]] = {
    "fact": [
        r"(?:my (?:\w+ )?name(?: is|'s)|call me|i go by|people call me)\s+\S",
        r"i(?:'m| am) an? (?!bit\b|little\b|lot\b|few\b|big fan\b)",
        r"i(?:'m| am) (?:from|based in|living in|working (?:at|for|in|as)|allergic|vegan|vegetarian|married|retired)\b",
        r"i(?:'m| am) \d+ years old",
        r"i (?:currently |now )?(?:live|work|study|grew up|was born|come from|moved to|own)\b",
        rf"i have (?:an? |two |three |\d+ )(?:\w+ )?{_KIN}\b",
        rf"my {_MINE}(?:'s name)?(?: is|'s| are)\s+\S",
    ],
    "preference": [
        r"i(?:'m| am) a big fan of\s",
        rf"i {_OFTEN}(?:prefer|like|love|enjoy|hate|dislike|avoid|drink|eat|use|speak)\s+{_NOT_THE_ANSWER}\S",
        r"my (?:favou?rite|preferred) [\w ]{1,40}?(?: is|'s| are)\s+\S",
    ],
}
_PATTERNS = {kind: re.compile(f"{_OPENING}(?:{'|'.join(forms)})", re.IGNORECASE) for kind, forms in _FORMS.items()}


def statements(text: str) -> list[Noticed]:
    """The statements of a message, in its order, each once."""
    found: dict[str, Noticed] = {}
    for sentence in _BETWEEN_SENTENCES.split(_QUOTED.sub("\n", text.replace("’", "'"))):
        statement = _statement(" ".join(sentence.split()))
        if statement is not None:
            found.setdefault(statement.content.casefold(), statement)
    return list(found.values())[:MOST_STATEMENTS]


def _statement(sentence: str) -> Noticed | None:
    if sentence.endswith("?") or not 6 <= len(sentence) <= MOST_CHARACTERS or "<SECRET>" in sentence:
        return None
    if _CORRECTION.match(sentence):
        return Noticed(content=sentence, kind="preference", memory_type="feedback")
    asked = _REMEMBER.match(sentence)
    if asked is not None:
        content = asked["what"]
        return Noticed(content=content, kind=_kind(content) or "fact", memory_type="user")
    kind = _kind(sentence)
    return None if kind is None else Noticed(content=sentence, kind=kind, memory_type="user")


def _kind(sentence: str) -> Kind | None:
    return next((kind for kind, pattern in _PATTERNS.items() if pattern.match(sentence)), None)
