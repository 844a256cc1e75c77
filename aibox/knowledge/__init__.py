"""Documents and a wiki that answers rest on: read, cut into passages, and found with the reader's rights."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Protocol, runtime_checkable
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from aibox.core.errors import AIBoxError, Conflict, ValidationFailed
from aibox.core.events import Event
from aibox.core.turn import Turn

Visibility = Literal["private", "shared", "restricted"]
Stage = Literal["uploaded", "parsed", "chunked", "embedded", "indexed", "failed"]
Source = Literal["upload", "text", "url", "wiki"]

Tag = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\s,:]([^,:\n]*[^\s,:])?$")]
"""A word or a few; neither commas nor colons."""

MAX_TITLE = 300
MAX_QUERY = 8000


class Settings(Struct, frozen=True, kw_only=True):
    """Reading, indexing and finding documents."""

    upload_mb: Annotated[int, Meta(description="Largest document in MiB; uploads end at 100", ge=1, le=100)] = 100
    chunk_words: Annotated[int, Meta(description="Most words of a passage", ge=20, le=1000)] = 200
    overlap_words: Annotated[int, Meta(description="Words that a passage repeats of the one before", ge=0)] = 30
    parser_memory_mb: Annotated[
        int, Meta(description="Memory of the process that reads a document, in MiB", ge=256)
    ] = 1024
    parser_seconds: Annotated[int, Meta(description="Time limit of reading a document", ge=1)] = 120
    ocr_languages: Annotated[
        str, Meta(description="Tesseract's languages for pictures, such as `eng+deu`", pattern=r"^[A-Za-z_+]+$")
    ] = "eng"
    contexts: Annotated[
        bool, Meta(description="Let the role `knowledge` write where each passage stands in its document")
    ] = True
    sparse: Annotated[
        bool, Meta(description="Search by words beside meaning", extra={"env": "SPARSE_EMBEDDING_ENABLED"})
    ] = True
    passages: Annotated[int, Meta(description="Most passages put before a prompt; 0: none", ge=0, le=20)] = 5
    token_budget: Annotated[int, Meta(description="Most tokens of passages put before a prompt")] = 1500
    threshold: Annotated[float, Meta(description="Least cosine similarity of a passage put before a prompt")] = 0.3


class DocumentUnreadable(ValidationFailed):
    """The document is damaged. The other ways in which one cannot be read are below."""

    code = "document_unreadable"
    sentence = "The document cannot be read."


class DocumentEncrypted(DocumentUnreadable):
    code = "document_encrypted"
    sentence = "The document is protected by a password."


class DocumentUnsupported(DocumentUnreadable):
    code = "document_unsupported"
    sentence = "Documents of this kind cannot be read here."


class DocumentMismatch(DocumentUnreadable):
    """The name says another kind than the content."""

    code = "document_mismatch"
    sentence = "The document is not of the kind that its name says."


class DocumentTooComplex(DocumentUnreadable):
    """It unpacks to too much, or needs more memory or time than a document may take."""

    code = "document_too_complex"
    sentence = "Reading the document takes too much memory or time."


class DocumentEmpty(DocumentUnreadable):
    code = "document_empty"
    sentence = "The document has no text."


class OcrMissing(DocumentUnreadable):
    """It is a picture, and the server has no Tesseract, or not the language."""

    code = "ocr_missing"
    sentence = "The document is a picture, and the server cannot read pictures."


class SourceUnreachable(AIBoxError):
    """The URL did not give a document: the caller's to mend, for the caller named it."""

    status = 422
    code = "source_unreachable"
    sentence = "The document could not be fetched from there."


class NotFailed(Conflict):
    code = "not_failed"
    sentence = "Only a document that failed can be tried again."


class WikiStale(Conflict):
    """Someone else saved the page first."""

    code = "wiki_stale"
    sentence = "The page was changed by someone else; load it again."


class Unconfirmed(ValidationFailed):
    """Sharing with the whole tenant must be said twice."""

    code = "confirm_tenant_wide"
    sentence = "These documents would be shared with everyone; confirm with `confirm_tenant_wide`."


class Rights(Struct, frozen=True, kw_only=True):
    """Who may read an item besides its owner and the administrators.

    `private`: nobody. `shared`: everyone of the tenant, or with `audience_tags` who has one of them. `restricted`: who
    is named in `user_grants` or has one of the tags.
    """

    visibility_mode: Visibility = "private"
    audience_tags: tuple[Tag, ...] = ()
    user_grants: tuple[UUID, ...] = ()


class Problem(Struct, frozen=True, kw_only=True):
    """Why an item failed: a stable code and a sentence."""

    code: str
    sentence: str


class Progress(Struct, frozen=True, kw_only=True):
    """How many of an item's passages are indexed."""

    done: int
    total: int


class Item(Struct, frozen=True, kw_only=True):
    """A document. `chunks` is the number of its passages; `may_manage`: the reader may change and delete it."""

    id: UUID
    title: str
    owner_user_id: UUID
    creator_user_id: UUID
    visibility_mode: Visibility
    audience_tags: tuple[str, ...]
    user_grants: tuple[UUID, ...]
    tags: tuple[str, ...]
    archived: bool
    stage: Stage
    source: Source
    name: str
    media_type: str
    size: int
    source_url: str | None
    topic: str | None
    pages: int | None
    chunks: int
    progress: Progress | None
    error: Problem | None
    created_at: datetime
    updated_at: datetime
    may_manage: bool


class Change(Struct, frozen=True, kw_only=True):
    """What to change of an item; what is unset stays."""

    title: str | UnsetType = UNSET
    tags: tuple[Tag, ...] | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    owner_user_id: UUID | UnsetType = UNSET
    visibility_mode: Visibility | UnsetType = UNSET
    audience_tags: tuple[Tag, ...] | UnsetType = UNSET
    user_grants: tuple[UUID, ...] | UnsetType = UNSET


class Passage(Struct, frozen=True, kw_only=True):
    """A passage of a document in its place: number `n` from 0. `context` is what stands before it in the index."""

    chunk_id: UUID
    document_id: UUID
    n: int
    text: str
    section: str
    page: int | None
    context: str = ""


class Scores(Struct, frozen=True, kw_only=True):
    """How a passage was found: `meaning` is a cosine similarity, the ranks count from 1 and are None where it was not.

    `fused` joins the ranks, from 0 to 1; `rerank` is the relevance that the model of the role `rerank` gives, on its
    own scale, and orders what has one.
    """

    meaning: float | None = None
    meaning_rank: int | None = None
    words_rank: int | None = None
    fused: float = 0.0
    rerank: float | None = None


class Found(Struct, frozen=True, kw_only=True):
    """A passage that a search found, best first; `rationale` says in words why."""

    passage: Passage
    title: str
    scores: Scores
    rationale: str

    @property
    def score(self) -> float:
        return self.scores.fused if self.scores.rerank is None else self.scores.rerank


class Search(Struct, frozen=True):
    """What a search found. `degraded` says which part did not answer: `meaning`, `words` or else `rerank`."""

    found: tuple[Found, ...] = ()
    degraded: Literal["", "meaning", "words", "rerank"] = ""


class Page(Struct, frozen=True, kw_only=True):
    """A wiki page in one version. `links` are the topics it names, `backlinks` the pages that name it."""

    topic: str
    title: str
    content: str
    version: int
    document_id: UUID
    updated_at: datetime
    author_user_id: UUID
    links: tuple[str, ...] = ()
    backlinks: tuple[str, ...] = ()


class PageVersion(Struct, frozen=True, kw_only=True):
    """One version of a page in its history."""

    version: int
    author_user_id: UUID
    at: datetime
    size: int


class PageSummary(Struct, frozen=True, kw_only=True):
    """A page in the list of pages."""

    topic: str
    title: str
    version: int
    document_id: UUID
    updated_at: datetime


class Generation(Struct, frozen=True, kw_only=True):
    """An index made with one embedding model. A new one is `building` while the `active` one serves."""

    id: int
    model: str
    dimension: int
    state: Literal["building", "active", "retired"]
    items: int
    total: int


class Added(Struct, frozen=True, kw_only=True):
    """An item that was taken in, and the job that reads it."""

    item: Item
    job_id: UUID


class Upload(Struct, frozen=True, kw_only=True):
    """A document on its way in: its bytes are in the file at `path`."""

    path: Path
    name: str
    title: str = ""
    tags: tuple[str, ...] = ()
    rights: Rights = Rights()


@runtime_checkable
class Knowledge(Protocol):
    """The documents of the turn's tenant, as far as the turn's user may read them. Others are NotFound."""

    async def add(self, turn: Turn, upload: Upload) -> Added:
        """Take a document in: on return it survives a crash, and will be read. The caller removes the file."""
        ...

    async def add_text(
        self, turn: Turn, *, title: str, content: str, tags: Sequence[str] = (), rights: Rights | None = None
    ) -> Added:
        """Take pasted text in, as Markdown."""
        ...

    async def add_url(
        self, turn: Turn, *, url: str, title: str = "", tags: Sequence[str] = (), rights: Rights | None = None
    ) -> Added:
        """Fetch a document through the egress policy and take it in. Raises `AddressRefused`, `SourceUnreachable`."""
        ...

    async def wait(self, turn: Turn, item_id: UUID, *, seconds: float) -> Item:
        """The item as soon as it is indexed or failed, or as it is after `seconds`."""
        ...

    async def items(
        self,
        turn: Turn,
        *,
        limit: int = 50,
        before: UUID | None = None,
        text: str = "",
        tags: Sequence[str] = (),
        stage: Stage | None = None,
        archived: bool = False,
    ) -> Sequence[Item]:
        """The newest first; `before` is the last id of the page before."""
        ...

    async def item(self, turn: Turn, item_id: UUID) -> Item: ...

    async def change(self, turn: Turn, item_id: UUID, change: Change) -> Item:
        """Change it; new rights hold from the next search on. Raises `Forbidden` for who does not manage it."""
        ...

    async def share(
        self, turn: Turn, item_ids: Sequence[UUID], rights: Rights, *, confirm_tenant_wide: bool
    ) -> Sequence[Item]:
        """Give all of them these rights, or none. Raises `Unconfirmed`."""
        ...

    async def delete(self, turn: Turn, item_id: UUID) -> None:
        """Remove it with its passages, its index and its original."""
        ...

    async def erase(self, turn: Turn) -> int:
        """Remove the private documents of the turn's user, and the user from all audiences and grants; the number.

        What they shared is the tenant's and stays.
        """
        ...

    async def retry(self, turn: Turn, item_id: UUID) -> Added:
        """Read a failed document once more. Raises `NotFailed`."""
        ...

    async def original(self, turn: Turn, item_id: UUID, path: Path) -> Item:
        """Write the document as it came to `path`."""
        ...

    async def passages(self, turn: Turn, item_id: UUID, *, begin: int = 0, limit: int = 50) -> Sequence[Passage]:
        """The item's passages from number `begin` on."""
        ...

    async def passage(self, turn: Turn, item_id: UUID, chunk_id: UUID) -> Passage: ...

    async def search(self, turn: Turn, query: str, *, limit: int = 8, tags: Sequence[str] = ()) -> Search:
        """By meaning and by words, best first."""
        ...

    async def consult(self, turn: Turn, question: str) -> Search:
        """What an answer may rest on: few passages, near enough. Logged before it returns.

        Raises what the stores raise; a failing embedder or index degrades it.
        """
        ...

    async def audiences(self, turn: Turn) -> dict[str, tuple[UUID, ...]]:
        """Who has which tag; a person's roles are tags of theirs too."""
        ...

    async def set_audience(self, turn: Turn, tag: str, user_ids: Sequence[UUID]) -> None:
        """Give the tag to exactly these people."""
        ...

    async def generations(self, turn: Turn) -> Sequence[Generation]:
        """The tenant's indexes, the newest first."""
        ...

    async def reindex(self, turn: Turn) -> Sequence[Generation]:
        """Begin an index with the embedding model that is set now; the old one serves until it is whole."""
        ...


@runtime_checkable
class DocumentReader(Protocol):
    """Reads documents that are not kept, such as those in a message."""

    async def text_of(self, data: bytes, name: str) -> str:
        """All that the document says, pictures by OCR; its kind is found by content, and `name` may not contradict it.

        Raises `DocumentUnreadable` of all kinds, `DocumentEmpty` among them.
        """
        ...


@runtime_checkable
class Wiki(Protocol):
    """Pages in Markdown. Each is an item too: its rights are the item's, and searches find it."""

    async def save(self, turn: Turn, *, topic: str, content: str, base_version: int | None = None) -> Page:
        """Make the page, or its next version after `base_version`. Raises `WikiStale`."""
        ...

    async def page(self, turn: Turn, topic: str, *, version: int | None = None) -> Page: ...

    async def pages(self, turn: Turn) -> Sequence[PageSummary]:
        """All that the reader may read, by topic."""
        ...

    async def versions(self, turn: Turn, topic: str) -> Sequence[PageVersion]:
        """The newest first."""
        ...

    async def diff(self, turn: Turn, topic: str, *, old: int, new: int) -> str:
        """What changed, as a unified diff."""
        ...

    async def remove(self, turn: Turn, topic: str) -> None:
        """Delete the page with all its versions."""
        ...


class ChunksRetrieved(Event, frozen=True, kw_only=True):
    """Passages were found for a turn; the question and the passages with their scores are artifacts."""

    type: ClassVar[str] = "rag_chunks_retrieved"
    count: int
    documents: tuple[str, ...] = ()
    chunks: tuple[str, ...] = ()
    degraded: str = ""


class DocumentAdded(Event, frozen=True, kw_only=True):
    """A document was taken in; `result` is its source (`upload`, `text`, `url`, `wiki`)."""

    type: ClassVar[str] = "knowledge.document.added"
    actor: str
    target: str
    result: str
    sha256: str
    size: int


class DocumentIngested(Event, frozen=True, kw_only=True):
    """A document was read and can be found."""

    type: ClassVar[str] = "knowledge.document.ingested"
    actor: str
    target: str
    chunks: int
    model: str


class DocumentFailed(Event, frozen=True, kw_only=True):
    """A document could not be read or indexed; `result` is the code."""

    type: ClassVar[str] = "knowledge.document.failed"
    actor: str
    target: str
    result: str


class DocumentChanged(Event, frozen=True, kw_only=True):
    """A document's title, tags, owner or rights were changed; `fields` names which."""

    type: ClassVar[str] = "knowledge.document.changed"
    actor: str
    target: str
    fields: tuple[str, ...]
    visibility: str
    audience: tuple[str, ...] = ()
    grants: int = 0


class DocumentRead(Event, frozen=True, kw_only=True):
    """The original of a document was given out."""

    type: ClassVar[str] = "knowledge.document.downloaded"
    actor: str
    target: str


class DocumentDeleted(Event, frozen=True, kw_only=True):
    """A document was removed with its passages and its index."""

    type: ClassVar[str] = "knowledge.document.deleted"
    actor: str
    target: str


class AudienceSet(Event, frozen=True, kw_only=True):
    """An administrator gave an audience tag to exactly so many people."""

    type: ClassVar[str] = "admin.audience.set"
    actor: str
    target: str
    people: int


class PageSaved(Event, frozen=True, kw_only=True):
    """A version of a wiki page was saved; `target` is its topic."""

    type: ClassVar[str] = "knowledge.wiki.saved"
    actor: str
    target: str
    version: int


class Reindexed(Event, frozen=True, kw_only=True):
    """An index with another embedding model is whole and serves from now on."""

    type: ClassVar[str] = "knowledge.reindexed"
    actor: str
    model: str
    items: int
