"""Any model behind one face: providers, models and role aliases; streams, meters, and says how a provider failed."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable
from uuid import UUID

from msgspec import Meta, Struct

from aibox.core.errors import AIBoxError, Conflict, NotFound, ValidationFailed
from aibox.core.events import Event
from aibox.core.http import AddressRefused
from aibox.core.turn import Turn
from aibox.observability import Price, Usage

__all__ = [
    "ROLES",
    "AddressRefused",
    "Answer",
    "AnswerStream",
    "BackendRefused",
    "BackendUnavailable",
    "Catalogue",
    "Chunk",
    "Dialect",
    "Embedded",
    "EmbeddingModels",
    "Exchange",
    "Model",
    "ModelCall",
    "ModelInvoked",
    "ModelResponse",
    "ModelRouter",
    "ModelStream",
    "ModelUnknown",
    "NotTranslatable",
    "PriceSet",
    "Provider",
    "ProviderAdded",
    "ProviderKeyMissing",
    "ProviderProbeFailed",
    "ProviderRemoved",
    "RoleNoBackend",
    "RoleNotConfigured",
    "RoleSet",
    "Settings",
    "UpstreamRedirect",
]

ROLES = (
    "default",
    "title",
    "classifier",
    "memory",
    "profile_curation",
    "vision",
    "guardrail",
    "knowledge",
    "embedding",
)
"""The role aliases: eight for chat models, and `embedding`."""


class Settings(Struct, frozen=True, kw_only=True):
    """Models and the way to them."""

    local: Annotated[bool, Meta(description="Serve the small demonstration model as a child process")] = True
    local_model: Annotated[str, Meta(description="A GGUF file to serve instead of the demonstration model")] = ""
    local_threads: Annotated[int, Meta(description="Threads of the local model; 0 leaves one core free")] = 0
    local_context: Annotated[int, Meta(description="Context of the local model in tokens", ge=256)] = 4096
    local_waiting: Annotated[int, Meta(description="Most calls that may wait for the local model", ge=0)] = 16
    connect_seconds: Annotated[float, Meta(description="Time limit to connect to a provider")] = 5.0
    first_byte_seconds: Annotated[float, Meta(description="Time limit for a provider's first byte")] = 120.0
    idle_seconds: Annotated[float, Meta(description="Time limit between two bytes of a provider")] = 60.0
    total_seconds: Annotated[float, Meta(description="Time limit for a whole answer")] = 600.0


class ModelUnknown(NotFound):
    code = "model_unknown"
    sentence = "No model has this name here."


class RoleNotConfigured(Conflict):
    code = "role_not_configured"
    sentence = "No model is set for this role; an administrator can set one."


class ProviderKeyMissing(Conflict):
    code = "provider_key_missing"
    sentence = "The provider wants an API key and none is stored."


class RoleNoBackend(AIBoxError):
    status = 503
    code = "role_no_backend"
    sentence = "No model that serves this role can be reached right now."


class BackendUnavailable(AIBoxError):
    """The provider could not be reached, answered an error of its own, HTML, or cut its stream."""

    status = 502
    code = "backend_unavailable"
    sentence = "The model's provider failed to answer."


class BackendRefused(AIBoxError):
    """The provider refused the request itself (4xx); its sentence is passed on."""

    status = 400
    code = "backend_refused"
    sentence = "The model's provider refused the request."


class UpstreamRedirect(AIBoxError):
    """Redirects are never followed; the sentence names the target."""

    status = 502
    code = "upstream_redirect"
    sentence = "The provider redirects elsewhere; use the target as its base URL."


class NotTranslatable(AIBoxError):
    """A request asks for what Chat Completions cannot say, so no provider here could be asked it."""

    status = 400
    code = "not_translatable"
    sentence = "The request asks for something that cannot be passed on to a model here."


class ProviderProbeFailed(ValidationFailed):
    code = "provider_probe_failed"
    sentence = "The provider did not list its models; nothing was saved."


class Provider(Struct, frozen=True, kw_only=True):
    """A place that serves models. `has_key` says that a key is stored; the key itself is never shown."""

    id: UUID
    name: str
    type: Literal["local", "vllm", "external"]
    adapter: Literal["chat_completions"] = "chat_completions"
    base_url: str
    has_key: bool
    enabled: bool
    models: tuple["Model", ...] = ()
    health: Literal["ok", "down", "unknown"] = "unknown"


class Model(Struct, frozen=True, kw_only=True):
    """A model of a provider. `capabilities` are `chat` or `embedding`, empty when nobody said; `context` in tokens;
    `price` None when unknown."""

    id: str
    provider: str
    capabilities: tuple[str, ...] = ()
    context: int | None = None
    price: Price | None = None
    demonstration: bool = False


class ModelCall(Struct, frozen=True, kw_only=True):
    """A Chat Completions request: `body` is its JSON as the client sent it or as we built it. The router sets `model`,
    `stream` and `stream_options` in it and passes the other members on byte for byte.

    `model` is an alias (`default`), a model id, or `provider/model`. `wants_usage`: the caller asked for usage chunks.
    `max_tokens`: a limit that is not in `body`; the router writes it under the name that the provider knows.
    """

    model: str
    body: bytes
    wants_usage: bool = True
    max_tokens: int | None = None


class Chunk(Struct, frozen=True):
    """One event of a Chat Completions stream, with what we read out of it.

    `data` is the payload after `data: ` exactly as the provider sent it (JSON; `[DONE]` is never one): send on
    `data: `, the payload, two line feeds. `text` is what it adds to the answer.
    """

    data: bytes
    text: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None


class Answer(Struct, frozen=True, kw_only=True):
    """A whole Chat Completions response: `data` as the provider sent it."""

    data: bytes
    text: str
    finish_reason: str | None
    usage: Usage
    provider: str
    model: str
    attempts: int
    cost_usd: str | None = None


class Embedded(Struct, frozen=True, kw_only=True):
    """Vectors of unit length, one for each text in order, and what they cost."""

    vectors: list[list[float]]
    usage: Usage
    provider: str
    model: str
    attempts: int


@runtime_checkable
class ModelStream(Protocol):
    """An answer that is arriving. Iterating ends after `model_response` is durable; usage and cost are known then.

    A stream that fails raises `BackendUnavailable` after the chunks that came, and after `model_response`.
    """

    @property
    def provider(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def attempts(self) -> int: ...

    @property
    def context(self) -> int | None:
        """The model's context in tokens, None when nobody said."""
        ...

    @property
    def usage(self) -> Usage | None: ...

    @property
    def cost_usd(self) -> str | None:
        """A decimal string, None while it runs and when the price is unknown."""
        ...

    @property
    def finish_reason(self) -> str | None: ...

    def __aiter__(self) -> AsyncIterator[Chunk]: ...


@runtime_checkable
class ModelRouter(Protocol):
    """Calls models. Logs `model_invoked` before the call and `model_response` after it, whatever way it ends.

    It is unguarded: `guardrail.guarded(router)` is the same Protocol with masks.
    """

    def stream(self, turn: Turn, call: ModelCall) -> AbstractAsyncContextManager[ModelStream]:
        """An open stream: entering raises when no first byte came; leaving early cancels the provider's call."""
        ...

    async def complete(self, turn: Turn, call: ModelCall) -> Answer:
        """The whole answer."""
        ...

    async def embed(self, turn: Turn, texts: Sequence[str], *, model: str = "embedding") -> list[list[float]]:
        """One vector per text, of unit length."""
        ...

    async def is_external(self, turn: Turn, model: str) -> bool:
        """Whether a model that `model` may lead to is served outside the house; True for a name that leads nowhere."""
        ...

    async def models(self, turn: Turn) -> list[dict[str, Any]]:
        """The data of `GET /v1/models`: OpenAI's model objects with a member `aibox`."""
        ...

    async def routes(self, turn: Turn) -> list[dict[str, Any]]:
        """The data of `GET /v1/routes`: each alias with the models it leads to."""
        ...


@runtime_checkable
class EmbeddingModels(Protocol):
    """Makes vectors and says what they cost; `ModelRouter.embed` is the same for who wants the vectors alone."""

    async def embedded(
        self, turn: Turn, texts: Sequence[str], *, model: str = "embedding", dimensions: int | None = None
    ) -> Embedded:
        """Raises `ValidationFailed` when the model's vectors have another length than `dimensions`."""
        ...

    async def is_external(self, turn: Turn, model: str) -> bool:
        """As `ModelRouter.is_external`."""
        ...


class AnswerStream(Protocol):
    """Writes one streamed answer in a dialect, as bytes of server-sent events."""

    def push(self, data: bytes) -> bytes:
        """The events that the payload of one Chat Completions chunk brings. Raises `BackendUnavailable`."""
        ...

    def close(self, usage: Usage | None) -> bytes:
        """The events that end it; `usage` for a provider that told none."""
        ...

    def fail(self, body: Mapping[str, Any]) -> bytes:
        """The events that end it with an error; `body` as `error_body` makes it for the dialect's path."""
        ...


class Exchange(Protocol):
    """One request of a dialect as Chat Completions, and the way back for its answer."""

    @property
    def body(self) -> bytes:
        """The Chat Completions request, without the limit of tokens when `max_tokens` has it."""
        ...

    @property
    def max_tokens(self) -> int | None: ...

    @property
    def omitted(self) -> tuple[str, ...]:
        """What the request offered and no model here can use, such as a provider's own tools."""
        ...

    def whole(self, data: bytes, usage: Usage, *, id: str) -> bytes:
        """The answer's body for a Chat Completions answer. Raises `BackendUnavailable` for what is none."""
        ...

    def stream(self, *, id: str) -> AnswerStream:
        """A writer for one streamed answer; `id` names it, unique and of letters and digits."""
        ...


class Dialect(Protocol):
    """A wire format that clients speak."""

    @property
    def path(self) -> str:
        """The route that speaks it."""
        ...

    def read(self, body: bytes) -> Exchange:
        """Read a request. Raises `BadRequest`, `ValidationFailed`, `NotTranslatable`."""
        ...


@runtime_checkable
class Catalogue(Protocol):
    """Providers, models and roles, kept in PostgreSQL, read through an atomic snapshot."""

    async def add_provider(
        self,
        turn: Turn,
        *,
        name: str,
        base_url: str,
        api_key: str | None = None,
        type: str = "external",
        models: Sequence[str] | None = None,
    ) -> Provider:
        """Normalise the URL, probe `/models`, seal the key, save; `models` None takes all that it lists.

        Raises `ProviderProbeFailed`, `ProviderKeyMissing`, `UpstreamRedirect`, `AddressRefused`, `ValidationFailed`,
        `Conflict`; nothing is saved then.
        """
        ...

    async def providers(self, turn: Turn) -> list[Provider]: ...

    async def remove_provider(self, turn: Turn, provider: str) -> None:
        """Remove a provider, by name or id, with its models; roles fall to their next model, or are unset."""
        ...

    async def set_role(self, turn: Turn, role: str, model: str | None, *, fallbacks: Sequence[str] = ()) -> None:
        """Lead `role` to `model` (an id or `provider/model`), then to `fallbacks` in order; None unsets it."""
        ...

    async def roles(self, turn: Turn) -> dict[str, dict[str, Any] | None]:
        """alias → `{"model", "fallbacks"}` as `provider/model`, None where unset; all of `ROLES`."""
        ...

    async def set_price(self, turn: Turn, model: str, price: Price | None) -> None: ...


class ModelInvoked(Event, frozen=True, kw_only=True):
    """A model is about to be called; the request is an artifact."""

    type: ClassVar[str] = "model_invoked"
    provider: str
    model: str
    alias: str
    attempt: int
    stream: bool


class ModelResponse(Event, frozen=True, kw_only=True):
    """A model call ended. When not `ok`, `code` names the failure (`cancelled`: the caller left); the answer is an
    artifact, as far as it came.

    Times in milliseconds; `cost_usd` a decimal string, empty when the price is unknown; `principal` a pseudonym.
    """

    type: ClassVar[str] = "model_response"
    provider: str
    model: str
    alias: str
    attempt: int
    stream: bool
    principal: str
    key: str = ""
    ok: bool
    code: str = ""
    finish_reason: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    cost_usd: str = ""
    latency_ms: int = 0
    first_byte_ms: int = 0


class ProviderAdded(Event, frozen=True, kw_only=True):
    """A provider was added, or made by the first boot."""

    type: ClassVar[str] = "admin.provider.added"
    actor: str
    provider: str
    kind: str
    base_url: str
    models: int


class ProviderRemoved(Event, frozen=True, kw_only=True):
    """A provider was removed with its models."""

    type: ClassVar[str] = "admin.provider.removed"
    actor: str
    provider: str


class RoleSet(Event, frozen=True, kw_only=True):
    """A role alias leads elsewhere now; `models` in order, none when it was unset."""

    type: ClassVar[str] = "admin.role.set"
    actor: str
    role: str
    models: tuple[str, ...]


class PriceSet(Event, frozen=True, kw_only=True):
    """A model's price changed: US dollars per million tokens, empty when it is unknown now."""

    type: ClassVar[str] = "admin.price.set"
    actor: str
    model: str
    input_usd: str
    output_usd: str
