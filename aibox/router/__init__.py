"""Any model behind one face: providers, models and role aliases; streams, meters, and says how a provider failed."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from aibox.core.errors import AIBoxError, Conflict, Forbidden, NotFound, ValidationFailed
from aibox.core.events import Event
from aibox.core.http import AddressRefused
from aibox.core.turn import Turn
from aibox.observability import Price, Usage

__all__ = [
    "KINDS",
    "ROLES",
    "Abilities",
    "AdapterName",
    "AddressRefused",
    "Answer",
    "AnswerStream",
    "Asked",
    "BackendCooling",
    "BackendCut",
    "BackendFailed",
    "BackendKeyRefused",
    "BackendMalformed",
    "BackendOverloaded",
    "BackendQueueFull",
    "BackendRateLimited",
    "BackendRefused",
    "BackendTimeout",
    "BackendUnavailable",
    "BackendUnpaid",
    "BackendUnreachable",
    "Bundle",
    "BundleChange",
    "BundleMoved",
    "BundleStale",
    "BundleState",
    "Catalogue",
    "Chunk",
    "Counted",
    "Dialect",
    "DialectName",
    "Embedded",
    "EmbeddingModels",
    "EngineMetrics",
    "LastFailure",
    "ListedModel",
    "Model",
    "ModelCall",
    "ModelInvoked",
    "ModelRemoved",
    "ModelResponse",
    "ModelRouter",
    "ModelSet",
    "ModelStream",
    "ModelTerms",
    "ModelUnknown",
    "NotTranslatable",
    "PriceSet",
    "Provider",
    "ProviderAdded",
    "ProviderChange",
    "ProviderChanged",
    "ProviderKeyMissing",
    "ProviderProbeFailed",
    "ProviderRemoved",
    "ProviderTest",
    "RoleNoBackend",
    "RoleNotConfigured",
    "RoleSet",
    "Said",
    "Settings",
    "TokenCounter",
    "ToolCall",
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
    "rerank",
)
"""The role aliases: eight for chat models, `embedding`, and `rerank` for models that order texts by a question."""


AdapterName = Literal["chat_completions", "responses", "anthropic_messages"]
"""What a provider speaks."""

DialectName = Literal["chat_completions", "responses", "messages"]
"""What a client speaks."""

KINDS = ("chat", "embedding", "rerank")
"""What a model may serve; its other capabilities (`vision`, `tools`, …) say what it can besides."""


class Settings(Struct, frozen=True, kw_only=True):
    """Models and the way to them."""

    apply: Annotated[
        Literal["auto", "explicit"],
        Meta(description="`auto`: a change of providers, models or roles counts at once; `explicit`: once applied"),
    ] = "auto"

    first_providers: Annotated[
        str, Meta(description="A YAML file of providers and roles that an empty catalogue gets at the first boot")
    ] = ""
    local: Annotated[bool, Meta(description="Serve the small demonstration model as a child process")] = True
    local_model: Annotated[str, Meta(description="A GGUF file to serve instead of the demonstration model")] = ""
    local_threads: Annotated[int, Meta(description="Threads of the local model; 0 leaves one core free")] = 0
    local_context: Annotated[int, Meta(description="Context of the local model in tokens", ge=256)] = 4096
    local_memory_mb: Annotated[
        int,
        Meta(
            description="MiB that the local model's process may take before it is restarted; 0: its file and 2048", ge=0
        ),
    ] = 0
    local_waiting: Annotated[int, Meta(description="Most calls that may wait for the local model", ge=0)] = 16
    retry_seconds: Annotated[float, Meta(description="Pause before a second try; 4 times it before a third")] = 0.25
    cooldown_seconds: Annotated[float, Meta(description="How long a model that failed three times is put off")] = 60.0
    connect_seconds: Annotated[float, Meta(description="Time limit to connect to a provider")] = 5.0
    first_byte_seconds: Annotated[float, Meta(description="Time limit for a provider's first byte")] = 120.0
    idle_seconds: Annotated[float, Meta(description="Time limit between two bytes of a provider")] = 60.0
    total_seconds: Annotated[float, Meta(description="Time limit for a whole answer")] = 600.0


class ModelUnknown(NotFound):
    code = "model_unknown"
    sentence = "No model has this name here."


class ModelForbidden(Forbidden):
    code = "model_forbidden"
    sentence = "This API key may not use this model."


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
    """No answer came from the provider, or no good one. Each way it fails has a class and a code of its own below."""

    status = 502
    code = "backend_unavailable"
    sentence = "The model's provider failed to answer."


class BackendUnreachable(BackendUnavailable):
    """No connection: refused, unknown name, bad certificate, closed without an answer."""

    code = "backend_unreachable"
    sentence = "The model's provider cannot be reached."


class BackendTimeout(BackendUnavailable):
    """It did not begin, stopped, or did not end within a time limit."""

    status = 504
    code = "backend_timeout"
    sentence = "The model's provider did not answer in time."


class BackendFailed(BackendUnavailable):
    """It answered an error of its own: a 5xx, or an error in place of an answer, also in a stream."""

    code = "backend_failed"
    sentence = "The model's provider failed."


class BackendCut(BackendUnavailable):
    """Its answer broke off."""

    code = "backend_cut"
    sentence = "The model's provider cut its answer short."


class BackendMalformed(BackendUnavailable):
    """It answered what is no answer: a web page, broken JSON, an endless line, nothing at all."""

    code = "backend_malformed"
    sentence = "The model's provider sent what is no answer."


class BackendKeyRefused(BackendUnavailable):
    """It refuses our API key."""

    code = "backend_key_refused"
    sentence = "The model's provider refuses our API key; an administrator must renew it."


class BackendUnpaid(BackendUnavailable):
    """It wants to be paid (402)."""

    code = "backend_unpaid"
    sentence = "The model's provider wants to be paid."


class BackendRateLimited(BackendUnavailable):
    """It takes no more requests just now (429); `Retry-After` as it said."""

    status = 429
    code = "backend_rate_limited"
    sentence = "The model's provider takes no more requests just now."


class BackendOverloaded(BackendUnavailable):
    """It is overloaded (503, 529); `Retry-After` as it said."""

    status = 503
    code = "backend_overloaded"
    sentence = "The model's provider is overloaded."


class BackendCooling(BackendUnavailable):
    """It failed or asked for a pause; nobody asks it before `Retry-After`, or one call at a time tries it."""

    status = 503
    code = "backend_cooling"
    sentence = "The model's provider is left alone for a moment after it failed."


class BackendQueueFull(BackendUnavailable):
    """As many calls as the provider may take are under way, and too many wait already or waited too long."""

    status = 503
    code = "backend_queue_full"
    sentence = "Too many calls wait for the model's provider. Try again shortly."


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


class BundleStale(Conflict):
    """The staged changes are not those that were looked at."""

    code = "bundle_stale"
    sentence = "Somebody changed the catalogue since; look at the changes again."


class ProviderProbeFailed(ValidationFailed):
    code = "provider_probe_failed"
    sentence = "The provider did not list its models; nothing was saved."


class LastFailure(Struct, frozen=True, kw_only=True):
    """How the last call that failed did."""

    code: str
    sentence: str
    at: datetime


class Provider(Struct, frozen=True, kw_only=True):
    """A place that serves models. `has_key` says that a key is stored; the key itself is never shown.

    `max_concurrency` calls at once (None: any number), `max_waiting` more in line for `queue_seconds` at most, in each
    process. `in_flight`, `waiting`, `health` and `last_failure` are this process's.
    """

    id: UUID
    name: str
    type: Literal["local", "vllm", "external"]
    adapter: AdapterName = "chat_completions"
    base_url: str
    has_key: bool
    enabled: bool
    max_concurrency: int | None = None
    queue_seconds: float = 30.0
    max_waiting: int = 100
    models: tuple["Model", ...] = ()
    health: Literal["ok", "down", "unknown"] = "unknown"
    in_flight: int = 0
    waiting: int = 0
    last_failure: LastFailure | None = None


class Model(Struct, frozen=True, kw_only=True):
    """A model of a provider. `capabilities` say what it serves (`chat`, `embedding`, `rerank`; all of them when none of
    these is there) and what it can besides; `context` in tokens; `price` None when unknown.

    `health`, `cools_until` and `roles` (the aliases that lead here, in any place) are filled in for administrators.
    """

    id: str
    provider: str
    capabilities: tuple[str, ...] = ()
    context: int | None = None
    price: Price | None = None
    demonstration: bool = False
    health: Literal["ok", "down", "unknown"] = "unknown"
    cools_until: datetime | None = None
    roles: tuple[str, ...] = ()


class ProviderChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of a provider is to be another; what is not given stays. `api_key` null removes the stored key."""

    name: str | UnsetType = UNSET
    type: Literal["vllm", "external"] | UnsetType = UNSET
    adapter: AdapterName | UnsetType = UNSET
    base_url: str | UnsetType = UNSET
    api_key: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    max_concurrency: Annotated[int, Meta(ge=1, le=100_000)] | UnsetType | None = UNSET
    max_waiting: Annotated[int, Meta(ge=0, le=100_000)] | UnsetType = UNSET
    queue_seconds: Annotated[float, Meta(ge=0, le=3600)] | UnsetType = UNSET


class ModelTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an administrator says of a model; `price` null when nobody knows it."""

    capabilities: tuple[str, ...] = ()
    context: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    price: Price | None = None


class ListedModel(Struct, frozen=True, kw_only=True):
    """A model that a provider lists now; `is_known`: it is in the catalogue too."""

    id: str
    context: int | None
    is_known: bool


class ProviderTest(Struct, frozen=True, kw_only=True):
    """What came of asking a provider for its models: `code` and `sentence` say why it failed.

    `missing` are models of the catalogue that it does not list.
    """

    ok: bool
    latency_ms: int
    models: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    code: str = ""
    sentence: str = ""


class EngineMetrics(Struct, frozen=True, kw_only=True):
    """What an engine (vLLM) says of itself, over all its models; None where it does not say.

    `kv_cache_used` is a share of 1. The two rates are tokens per second since the last time anybody looked.
    """

    running: int | None
    waiting: int | None
    kv_cache_used: float | None
    prompt_tokens: int | None
    generated_tokens: int | None
    prompt_tokens_per_second: float | None
    generated_tokens_per_second: float | None


class BundleChange(Struct, frozen=True, kw_only=True):
    """One difference between what is staged and what is applied; `sentence` is fit to show, and no key is in it."""

    change: Literal["added", "removed", "changed"]
    subject: Literal["provider", "model", "role"]
    name: str
    field: str = ""
    before: str | None = None
    after: str | None = None
    sentence: str


class BundleState(Struct, frozen=True, kw_only=True):
    """A revision of the catalogue, and when it came to be."""

    revision: int
    at: datetime | None


class Bundle(Struct, frozen=True, kw_only=True):
    """What is staged, what is applied, and how they differ; calls use what is applied."""

    apply: Literal["auto", "explicit"]
    staged: BundleState
    applied: BundleState
    diff: tuple[BundleChange, ...]


class ModelCall(Struct, frozen=True, kw_only=True):
    """A request: `body` is its JSON as the client sent it or as we built it, in the `dialect` that it is answered in.

    To a provider that speaks the dialect the router passes the body on byte for byte but for `model`, `stream`,
    `stream_options` and `store`; for another it translates. `model` is an alias (`default`), a model id, or
    `provider/model`. `wants_usage`: the caller asked for usage chunks. `max_tokens`: a limit that is not in `body`; the
    router writes it under the name that the provider knows. `headers`: the dialect's own, for who speaks it.
    `ends_turn`: a good answer is the turn's last act, so its `model_response` and `turn_sealed` are logged at once.
    """

    model: str
    body: bytes
    dialect: DialectName = "chat_completions"
    wants_usage: bool = True
    max_tokens: int | None = None
    headers: Mapping[str, str] = {}
    ends_turn: bool = False


class Chunk(Struct, frozen=True):
    """One event of a stream in the call's dialect, with what we read out of it.

    `data` is the payload after `data: `, exactly as the provider sent it where nothing is translated (JSON; `[DONE]` is
    never one): send on `data: `, the payload, two line feeds, after `event: ` and the `event`'s name if it has one.
    `text` is what it adds to the answer. What `is_last` comes after `model_response` is durable, and ends the answer.
    """

    data: bytes
    text: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    event: str = ""
    is_last: bool = False


class Answer(Struct, frozen=True, kw_only=True):
    """A whole answer in the call's dialect: `data` as the provider sent it where nothing is translated.

    `omitted`: what the request said and this provider cannot be told, such as another's own tools.
    """

    data: bytes
    text: str
    finish_reason: str | None
    usage: Usage
    provider: str
    model: str
    attempts: int
    cost_usd: str | None = None
    omitted: tuple[str, ...] = ()


class Counted(Struct, frozen=True, kw_only=True):
    """How many tokens a request has; an estimate where its provider does not count."""

    tokens: int
    is_estimate: bool
    provider: str
    model: str
    attempts: int


class Embedded(Struct, frozen=True, kw_only=True):
    """Vectors of unit length, one for each text in order, and what they cost. `data`: an answer passed on instead."""

    vectors: list[list[float]]
    usage: Usage
    provider: str
    model: str
    attempts: int
    data: bytes | None = None


class ToolCall(Struct, frozen=True):
    """A call of a tool as the model wrote it; `arguments` should be a JSON object and may be anything."""

    id: str
    name: str
    arguments: str


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

    @property
    def tool_calls(self) -> Sequence[ToolCall]:
        """Whole once the stream has ended."""
        ...

    @property
    def omitted(self) -> tuple[str, ...]:
        """As `Answer.omitted`."""
        ...

    @property
    def has_more(self) -> bool:
        """Whether the next chunk is here already."""
        ...

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
class Abilities(Protocol):
    """Says what models can do before one is asked."""

    async def can(self, turn: Turn, model: str, *capabilities: str) -> bool:
        """Whether each model that `model` may lead to has one of `capabilities`; False for a name that leads nowhere.

        A capability that nobody stated is not there: a provider may refuse what it does not know.
        """
        ...


@runtime_checkable
class EmbeddingModels(Protocol):
    """Makes vectors and says what they cost; `ModelRouter.embed` is the same for who wants the vectors alone."""

    async def embedded(
        self,
        turn: Turn,
        texts: Sequence[str],
        *,
        model: str = "embedding",
        dimensions: int | None = None,
        body: bytes | None = None,
    ) -> Embedded:
        """Raises `ValidationFailed` when the model's vectors have another length than `dimensions`.

        `body`: the request for these texts as a client sent it. A provider by URL gets it as it is but for the model,
        and its answer comes as `data`, without `vectors`.
        """
        ...

    async def is_external(self, turn: Turn, model: str) -> bool:
        """As `ModelRouter.is_external`."""
        ...


@runtime_checkable
class Reranker(Protocol):
    """Says how well texts answer a question. Unguarded, as `ModelRouter` is; `guardrail.reranker(it)` masks."""

    async def rerank(self, turn: Turn, question: str, texts: Sequence[str], *, model: str = "rerank") -> list[float]:
        """The relevance of each text, the more the better, on the model's own scale."""
        ...

    async def can_rerank(self, turn: Turn, model: str = "rerank") -> bool:
        """Whether `model` leads anywhere; False while nobody serves the role."""
        ...

    async def is_external(self, turn: Turn, model: str) -> bool:
        """As `ModelRouter.is_external`."""
        ...


@runtime_checkable
class TokenCounter(Protocol):
    """Says how many tokens a request has before it is made."""

    async def count_tokens(self, turn: Turn, call: ModelCall) -> Counted:
        """Asks a provider that speaks Messages, and counts itself for every other. Raises as `complete` does."""
        ...

    async def is_external(self, turn: Turn, model: str) -> bool:
        """As `ModelRouter.is_external`."""
        ...


class Asked(Struct, frozen=True):
    """What is read of a client's request before it is judged: who is asked, and how it is to be answered."""

    model: str
    is_stream: bool = False
    wants_usage: bool = False


class Said(Struct, frozen=True):
    """A text in an answer or in an event: `holder[key]`. Texts of one `lane` follow each other.

    `is_whole`: it repeats what its lane has said in pieces. `beside` holds token probabilities that would spell it out.
    """

    lane: str
    holder: Any
    key: Any
    is_whole: bool = False
    beside: dict[str, Any] | None = None


class AnswerStream(Protocol):
    """One streamed answer in a dialect, as bytes of server-sent events."""

    def push(self, chunk: Chunk) -> bytes:
        """A chunk as its event."""
        ...

    def close(self) -> bytes:
        """What ends a stream of the dialect, after its last event."""
        ...

    def fail(self, body: Mapping[str, Any]) -> bytes:
        """The events that end it with an error; `body` as `error_body` makes it for the dialect's path."""
        ...


class Dialect(Protocol):
    """A wire format that clients speak."""

    @property
    def name(self) -> DialectName: ...

    @property
    def path(self) -> str:
        """The route that speaks it."""
        ...

    @property
    def headers(self) -> tuple[str, ...]:
        """Names of a request's headers that belong to the dialect, in lower case."""
        ...

    def open(self, body: bytes) -> Asked:
        """Read what stands at the top of a request. Raises `BadRequest`, `ValidationFailed`."""
        ...

    def stream(self, *, id: str) -> AnswerStream:
        """A writer for one streamed answer; `id` names it, unique and of letters and digits."""
        ...

    def said(self, tree: dict[str, Any]) -> Iterator[Said]:
        """The texts in a whole answer or in a stream's event, decoded; also those that are empty."""
        ...

    def closed(self, tree: dict[str, Any]) -> str | None:
        """The lane that ends with this event, where the event does not repeat it."""
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
        adapter: AdapterName = "chat_completions",
        models: Sequence[str] | None = None,
    ) -> Provider:
        """Normalise the URL, probe `/models`, seal the key, save; `models` None takes all that it lists.

        Raises `ProviderProbeFailed`, `ProviderKeyMissing`, `UpstreamRedirect`, `AddressRefused`, `ValidationFailed`,
        `Conflict`; nothing is saved then.
        """
        ...

    async def providers(self, turn: Turn) -> list[Provider]: ...

    async def provider(self, turn: Turn, provider: str) -> Provider:
        """One, by name or id, as it is staged. Raises `NotFound`, as all below that name one."""
        ...

    async def change_provider(self, turn: Turn, provider: str, change: ProviderChange) -> Provider:
        """Change what is given; another address, key or adapter is probed first, as by `add_provider`."""
        ...

    async def test_provider(self, turn: Turn, provider: str) -> ProviderTest:
        """Ask it for its models now. One that answers is forgiven its failures."""
        ...

    async def provider_models(self, turn: Turn, provider: str) -> list[ListedModel]:
        """What it lists now. Raises what `add_provider` raises for its probe."""
        ...

    async def provider_metrics(self, turn: Turn, provider: str) -> EngineMetrics:
        """What a provider of type `vllm` says of itself. Raises `NotAvailable` for another, `BackendUnavailable`."""
        ...

    async def set_model(self, turn: Turn, provider: str, model: str, terms: ModelTerms) -> Model:
        """Say all of a model's terms; one that the provider did not have is added."""
        ...

    async def remove_model(self, turn: Turn, provider: str, model: str) -> None:
        """Remove a model; roles fall to their next model, or are unset. Raises `ModelUnknown`."""
        ...

    async def bundle(self, turn: Turn) -> Bundle:
        """What is staged beside what is applied."""
        ...

    async def apply_bundle(self, turn: Turn, *, revision: int | None = None) -> Bundle:
        """Let calls use what is staged. Raises `BundleStale` when that is not `revision`."""
        ...

    async def discard_bundle(self, turn: Turn, *, revision: int | None = None) -> Bundle:
        """Make what is staged what is applied. Raises `BundleStale` when that is not `revision`."""
        ...

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


Operation = Literal["chat", "embeddings", "rerank"]


class ModelInvoked(Event, frozen=True, kw_only=True):
    """A model is about to be called; the request is an artifact. `call` is the same in the call's `model_response`."""

    type: ClassVar[str] = "model_invoked"
    call: str = ""
    operation: Operation = "chat"
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
    call: str = ""
    provider: str
    model: str
    alias: str
    attempt: int
    stream: bool
    principal: str
    key: str = ""
    agent: str = ""
    ok: bool
    code: str = ""
    finish_reason: str = ""
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
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


class ProviderChanged(Event, frozen=True, kw_only=True):
    """A provider was changed; `changes` are sentences, and no key is in them."""

    type: ClassVar[str] = "admin.provider.changed"
    actor: str
    provider: str
    changes: tuple[str, ...]


class ModelSet(Event, frozen=True, kw_only=True):
    """A model was added, or an administrator said another thing of it; `changes` are sentences."""

    type: ClassVar[str] = "admin.model.set"
    actor: str
    model: str
    changes: tuple[str, ...]


class ModelRemoved(Event, frozen=True, kw_only=True):
    """A model was removed from the catalogue."""

    type: ClassVar[str] = "admin.model.removed"
    actor: str
    model: str


class BundleMoved(Event, frozen=True, kw_only=True):
    """Staged changes were applied, so that calls use them, or discarded; `changes` are sentences."""

    type: ClassVar[str] = "admin.bundle.moved"
    actor: str
    to: Literal["applied", "discarded"]
    revision: int
    changes: tuple[str, ...]


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


def require_allowed(turn: Turn, model: str) -> None:
    """Raise `ModelForbidden` when the caller's key names the models it may ask for, and `model` is none of them.

    Names are compared as they are asked for: a key that lists the role `default` may use whatever that leads to.
    """
    allowed = turn.principal.models
    if allowed is not None and model not in allowed:
        raise ModelForbidden(f"This API key may not use {model[:100]}.")
