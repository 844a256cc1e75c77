"""OpenAI's embeddings for other AI clients: a call to `/v1/embeddings` is a turn of its own.

Its steps are prepare, guard_in, ask, resolve. Texts for a provider outside the house are judged and masked as the
policy says; a model of this house gets them as they are, for a mask has no meaning to find by.
"""

import base64
import struct
from functools import partial
from typing import Any, Literal

import msgspec
from msgspec import Struct

from aibox.core.errors import BadRequest, ValidationFailed
from aibox.core.eventlog import EventLog
from aibox.core.turn import Turn
from aibox.guardrail import Blocked, Guardrail
from aibox.router import Embedded, EmbeddingModels, require_allowed
from aibox.runtime.calls import CallResponse, Check, Reply, headers_of

PATH = "/v1/embeddings"
MOST_TEXTS = 2048


class EmbeddingRequest(Struct, frozen=True, kw_only=True):
    """What we read of a request; other members pass to a provider by URL."""

    model: str
    input: Any
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None


class Embeddings:
    """Serves calls that want vectors."""

    def __init__(self, log: EventLog, check: Check, guardrail: Guardrail, models: EmbeddingModels) -> None:
        self._log = log
        self._check = check
        self._guardrail = guardrail
        self._models = models

    def serve(self, turn: Turn, body: bytes) -> CallResponse:
        """The response to a request's `body`, as an ASGI application. It ends the turn."""
        return CallResponse(self._log, self._check, turn, PATH, partial(self._work, turn, body))

    async def _work(self, turn: Turn, body: bytes, reply: Reply) -> None:
        request = _read(body)
        require_allowed(turn, request.model)
        given = _texts(request.input)
        texts = await self._guard_in(turn, request.model, given)
        embedded = await self._models.embedded(
            turn,
            texts,
            model=request.model,
            dimensions=request.dimensions,
            body=body if texts == given else _with_input(body, texts),
        )
        await self._log.end(turn, "sealed")
        await reply.start(headers_of(embedded))
        is_packed = request.encoding_format == "base64"
        await reply.end(_answer(embedded, is_packed=is_packed) if embedded.data is None else embedded.data)

    async def _guard_in(self, turn: Turn, model: str, texts: list[str]) -> list[str]:
        """The texts as they may leave the house; raises `Blocked`."""
        if not await self._models.is_external(turn, model) or await self._guardrail.is_off(turn):
            return texts
        verdicts = await self._guardrail.check_input(turn, texts, external=True)
        blocked = next((verdict for verdict in verdicts if verdict.decision == "block"), None)
        if blocked is not None:
            raise Blocked(blocked.reason)
        return [verdict.content for verdict in verdicts]


def _read(body: bytes) -> EmbeddingRequest:
    try:
        return msgspec.json.decode(body, type=EmbeddingRequest)
    except msgspec.ValidationError as error:
        raise ValidationFailed(f"The request is not valid: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("The body is not JSON.") from None


def _with_input(body: bytes, texts: list[str]) -> bytes:
    """The request with its texts as they may leave the house."""
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    members["input"] = msgspec.Raw(msgspec.json.encode(texts))
    return msgspec.json.encode(members)


def _texts(given: object) -> list[str]:
    """`input` as texts. Tokens are refused: they are numbers of one model's vocabulary, which another cannot read."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise _wrong("A text, or a list of texts.")
    if any(isinstance(text, int | list) for text in texts):
        raise _wrong("Tokens are not taken, for each model counts its own: send the text.")
    if any(not isinstance(text, str) or not text for text in texts):
        raise _wrong("Every text has at least one character.")
    if len(texts) > MOST_TEXTS:
        raise _wrong(f"At most {MOST_TEXTS} texts.")
    return texts


def _wrong(sentence: str) -> ValidationFailed:
    return ValidationFailed(f"`input` is not valid: {sentence}", fields=[{"field": "input", "error": sentence}])


def _answer(embedded: Embedded, *, is_packed: bool) -> bytes:
    data = [
        {"object": "embedding", "index": number, "embedding": _packed(vector) if is_packed else vector}
        for number, vector in enumerate(embedded.vectors)
    ]
    tokens = embedded.usage.input_tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": embedded.model, "usage": usage})


def _packed(vector: list[float]) -> str:
    """Numbers of single precision, the lowest byte first, as OpenAI packs them."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
