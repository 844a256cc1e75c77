"""`/v1/knowledge/wiki`: pages by topic, their versions, and what changed between them."""

from typing import Annotated

from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from aibox.core.turn import Turn
from aibox.knowledge import Page, Wiki
from aibox.knowledge.schemas import PageBody, PageDiff, PageList, VersionList

READ = {"policy": "memory.read_own", "scope": "knowledge"}
WRITE = {"policy": "memory.write", "scope": "knowledge"}
DELETE = {"policy": "memory.delete", "scope": "knowledge"}
CHANGED = ResponseSpec(Page, generate_examples=False, description="The page's next version")

Version = Annotated[int, QueryParameter(ge=1)]


class WikiController(Controller):
    """Pages that the caller may read; others are not there."""

    path = "/v1/knowledge/wiki"

    @post(opt=WRITE, status_code=HTTP_201_CREATED, responses={HTTP_200_OK: CHANGED})
    async def save(
        self, turn: NamedDependency[Turn], wiki: NamedDependency[Wiki], data: JSONBody[PageBody]
    ) -> Response[Page]:
        """Make a page (201), or its next version after `base_version` (200), which must be the newest (else 409)."""
        page = await wiki.save(turn, topic=data.topic, content=data.content, base_version=data.base_version)
        return Response(page, status_code=HTTP_201_CREATED if page.version == 1 else HTTP_200_OK)

    @get(opt=READ)
    async def list_pages(self, turn: NamedDependency[Turn], wiki: NamedDependency[Wiki]) -> PageList:
        """All pages by topic."""
        return PageList(pages=list(await wiki.pages(turn)))

    @get("/{topic:str}", opt=READ)
    async def get_page(
        self,
        turn: NamedDependency[Turn],
        wiki: NamedDependency[Wiki],
        topic: FromPath[str],
        version: FromQuery[int | None] = None,
    ) -> Page:
        """The newest version, or an older one."""
        return await wiki.page(turn, topic, version=version)

    @get("/{topic:str}/versions", opt=READ)
    async def versions(
        self, turn: NamedDependency[Turn], wiki: NamedDependency[Wiki], topic: FromPath[str]
    ) -> VersionList:
        """Who saved which version when, the newest first."""
        return VersionList(versions=list(await wiki.versions(turn, topic)))

    @get("/{topic:str}/diff", opt=READ)
    async def diff(
        self,
        turn: NamedDependency[Turn],
        wiki: NamedDependency[Wiki],
        topic: FromPath[str],
        old: Version,
        new: Version,
    ) -> PageDiff:
        """What changed between two versions."""
        return PageDiff(old=old, new=new, diff=await wiki.diff(turn, topic, old=old, new=new))

    @delete("/{topic:str}", opt=DELETE)
    async def remove(self, turn: NamedDependency[Turn], wiki: NamedDependency[Wiki], topic: FromPath[str]) -> None:
        """Delete the page with all its versions."""
        await wiki.remove(turn, topic)
