"""Two Presidio engines: patterns alone for what has a form, and a small language model for names and places.

Both load on first use, in a scanning thread: Presidio with spaCy takes 2 to 3 seconds and 100 MB, the
model 50 MB more.
"""

import itertools
import re
import threading
from collections.abc import Collection, Sequence
from typing import Any

from aibox.guardrail import Settings, TooLongToScan
from aibox.guardrail.text import Span

NAMED = frozenset({"PERSON", "LOCATION"})
"""What takes the language model."""

UNUSED = ("tagger", "parser", "attribute_ruler", "lemmatizer", "senter")
"""Parts of a spaCy pipeline that no recognizer here reads; they would take half the time."""

THRESHOLD = 0.5

MOST_NAMED = 120_000
"""Characters: the names model reads some 3,000 words a second, and its thread goes on when nobody waits for it."""

LONGEST_RUN = 1000
"""A run of characters without a space that is longer is no word; it is cut into pieces of so many."""

_RUN = re.compile(rf"\S{{{LONGEST_RUN}}}(?=\S)")


class Pieces:
    """spaCy's tokenizer with its work bounded.

    For a run without spaces it takes the square of its length, and holds the interpreter meanwhile: 200,000 characters
    of punctuation stopped the whole process for 16 seconds.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, text: str) -> Any:
        from spacy.tokens import Doc  # noqa: PLC0415 - heavy, see above

        cuts = [0, *(match.end() for match in _RUN.finditer(text)), len(text)]
        if len(cuts) == 2:
            return self._tokenizer(text)
        pieces = [self._tokenizer(text[begin:end]) for begin, end in itertools.pairwise(cuts)]
        return Doc.from_docs(pieces, ensure_whitespace=False)


class Engine:
    """Finds secrets and personal data. Blocking: call it in a thread. Thread-safe."""

    def __init__(self, settings: Settings | None = None, *, recognizers: Sequence[Any] = ()) -> None:
        """`recognizers` are further Presidio recognizers for the patterns engine."""
        self._settings = settings or Settings()
        self._further = tuple(recognizers)
        self._lock = threading.Lock()
        self._patterns: Any = None
        self._names: Any = None

    def load(self) -> None:
        """Load the patterns engine now."""
        with self._lock:
            if self._patterns is None:
                self._patterns = _patterns_engine(self._further)

    def find(self, text: str, kinds: Collection[str]) -> list[Span]:
        """Spans of these kinds, unsettled.

        Raises `TooLongToScan`, and whatever a recognizer raises, TimeoutError among it.
        """
        spans: list[Span] = []
        formed = [kind for kind in kinds if kind not in NAMED]
        if formed:
            self.load()
            spans += _analyze(self._patterns, text, [*formed, *self._further_kinds])
        named = [kind for kind in kinds if kind in NAMED]
        if named:
            if len(text) > MOST_NAMED:
                raise TooLongToScan()
            with self._lock:
                if self._names is None:
                    self._names = _names_engine(self._settings)
            spans += _analyze(self._names, text, named)
        return spans

    @property
    def _further_kinds(self) -> list[str]:
        return [kind for recognizer in self._further for kind in recognizer.supported_entities]


def _analyze(engine: Any, text: str, kinds: list[str]) -> list[Span]:
    found = engine.analyze(text=text, language="en", entities=kinds, score_threshold=THRESHOLD)
    return [Span(result.start, result.end, result.entity_type) for result in found]


def _patterns_engine(further: Sequence[Any]) -> Any:
    import spacy  # noqa: PLC0415 - heavy, see above
    from spacy.tokens import Doc  # noqa: PLC0415

    from aibox.guardrail import recognizers  # noqa: PLC0415 - imports Presidio

    own = [
        recognizers.Credentials(),
        recognizers.Email(),
        recognizers.Phone(),
        recognizers.Card(),
        recognizers.Iban(),
        recognizers.SocialSecurity(),
        recognizers.NationalIds(),
        recognizers.Crypto(),
        recognizers.IpAddress(),
        recognizers.StreetAddress(),
    ]
    pipeline = spacy.blank("en")
    # Patterns read the text itself. To find the words in it would freeze the process for some texts (see `Pieces`).
    pipeline.tokenizer = lambda _: Doc(pipeline.vocab)
    return _engine(pipeline, [*own, *further])


def _names_engine(settings: Settings) -> Any:
    import spacy  # noqa: PLC0415 - heavy, and only strict or external policies need it

    from aibox.guardrail.recognizers import ModelNames, PersonNames  # noqa: PLC0415 - imports Presidio

    pipeline = spacy.load(settings.names_model, exclude=UNUSED)
    pipeline.tokenizer = Pieces(pipeline.tokenizer)
    return _engine(pipeline, [ModelNames(), PersonNames(settings.languages)])


def _engine(pipeline: Any, recognizers: Sequence[Any]) -> Any:
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry  # noqa: PLC0415
    from presidio_analyzer.nlp_engine import SpacyNlpEngine  # noqa: PLC0415

    nlp: Any = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": "given"}])
    nlp.nlp = {"en": pipeline}  # given, so that Presidio neither looks for a model nor downloads one
    registry = RecognizerRegistry(recognizers=list(recognizers), supported_languages=["en"])
    return AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=["en"])
