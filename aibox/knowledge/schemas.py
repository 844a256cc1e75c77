"""Requests and responses of the knowledge routes that differ from the values."""

from typing import Annotated, Literal
from uuid import UUID

from litestar.datastructures import UploadFile
from msgspec import UNSET, Meta, Struct, UnsetType

from aibox.knowledge import (
    MAX_QUERY,
    MAX_TITLE,
    Change,
    Found,
    Generation,
    Item,
    PageSummary,
    PageVersion,
    Passage,
    Rights,
    Scores,
    Search,
    Stage,
    Tag,
    Visibility,
)

Title = Annotated[str, Meta(min_length=1, max_length=MAX_TITLE)]
Tags = Annotated[tuple[Tag, ...], Meta(max_length=50)]
Grants = Annotated[tuple[UUID, ...], Meta(max_length=500)]


class RightsBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tags and rights that a new document has from the beginning."""

    tags: Tags = ()
    visibility_mode: Visibility = "private"
    audience_tags: Tags = ()
    user_grants: Grants = ()

    @property
    def rights(self) -> Rights:
        return Rights(
            visibility_mode=self.visibility_mode, audience_tags=self.audience_tags, user_grants=self.user_grants
        )


class TextBody(RightsBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Text to take in, as Markdown."""

    title: Title
    content: Annotated[str, Meta(min_length=1, max_length=5_000_000)]


class UrlBody(RightsBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document to fetch; without a title it has its own."""

    url: Annotated[str, Meta(min_length=1, max_length=2000)]
    title: Annotated[str, Meta(max_length=MAX_TITLE)] = ""


class UploadForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file to take in; without a title it has its own, else its name. Lists are fields that come several times."""

    file: UploadFile
    title: Annotated[str, Meta(max_length=MAX_TITLE)] = ""
    tags: Annotated[list[Tag], Meta(max_length=50)] = []
    visibility_mode: Visibility = "private"
    audience_tags: Annotated[list[Tag], Meta(max_length=50)] = []
    user_grants: Annotated[list[UUID], Meta(max_length=500)] = []


class Ingested(Struct, frozen=True, kw_only=True):
    """A document that was taken in; `jobId` names the job that reads it."""

    document_id: UUID
    title: str
    stage: Stage
    chunks_indexed: int
    jobId: UUID
    item: Item


class ItemList(Struct, frozen=True, kw_only=True):
    """A page of items; `next_cursor` is null on the last."""

    items: list[Item]
    next_cursor: str | None = None


class ChangeBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is absent stays."""

    title: Title | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    owner_user_id: UUID | UnsetType = UNSET
    visibility_mode: Visibility | UnsetType = UNSET
    audience_tags: Tags | UnsetType = UNSET
    user_grants: Grants | UnsetType = UNSET

    @property
    def change(self) -> Change:
        return Change(**{name: getattr(self, name) for name in self.__struct_fields__})


class ShareBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rights that all of these documents shall have."""

    item_ids: Annotated[tuple[UUID, ...], Meta(min_length=1, max_length=500)]
    visibility_mode: Visibility
    audience_tags: Tags = ()
    user_grants: Grants = ()
    confirm_tenant_wide: bool = False


class Shared(Struct, frozen=True, kw_only=True):
    """The documents with their new rights."""

    items: list[Item]


class PassageList(Struct, frozen=True, kw_only=True):
    """Passages of a document in order; `next_cursor` is null on the last page."""

    passages: list[Passage]
    next_cursor: str | None = None


class SearchBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question to the documents; with tags, only documents that have one of them."""

    query: Annotated[str, Meta(min_length=1, max_length=MAX_QUERY)]
    limit: Annotated[int, Meta(ge=1, le=50)] = 8
    tags: Tags = ()


class Result(Struct, frozen=True, kw_only=True):
    """A passage that was found. `score` is from 0 to 1, `rationale` and `scores` say why."""

    document_id: UUID
    chunk_id: UUID
    title: str
    text: str
    section: str
    page: int | None
    score: float
    rationale: str
    scores: Scores


class Results(Struct, frozen=True, kw_only=True):
    """What was found, best first. `degraded` names the part of the search that did not answer."""

    results: list[Result]
    degraded: Literal["", "meaning", "words", "rerank"] = ""


class AudienceBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who has the tag."""

    user_ids: Annotated[tuple[UUID, ...], Meta(max_length=5000)]


class Audience(Struct, frozen=True, kw_only=True):
    """A tag and who has it."""

    tag: str
    user_ids: list[UUID]


class AudienceList(Struct, frozen=True, kw_only=True):
    """All tags; a person's roles are tags of theirs too."""

    audiences: list[Audience]


class GenerationList(Struct, frozen=True, kw_only=True):
    """The tenant's indexes, the newest first."""

    generations: list[Generation]


class PageBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page or its next version: `base_version` is the version that was changed, absent for a new page."""

    topic: Annotated[str, Meta(min_length=1, max_length=200)]
    content: Annotated[str, Meta(min_length=1, max_length=1_000_000)]
    base_version: Annotated[int, Meta(ge=1)] | None = None


class PageList(Struct, frozen=True, kw_only=True):
    pages: list[PageSummary]


class VersionList(Struct, frozen=True, kw_only=True):
    versions: list[PageVersion]


class PageDiff(Struct, frozen=True, kw_only=True):
    """What changed between two versions, as a unified diff."""

    old: int
    new: int
    diff: str


def results(search: Search) -> Results:
    """A search as the API shows it."""
    return Results(results=[_result(found) for found in search.found], degraded=search.degraded)


def _result(found: Found) -> Result:
    return Result(
        document_id=found.passage.document_id,
        chunk_id=found.passage.chunk_id,
        title=found.title,
        text=found.passage.text,
        section=found.passage.section,
        page=found.passage.page,
        score=found.score,
        rationale=found.rationale,
        scores=found.scores,
    )
