"""The tools `knowledge_search`, `wiki_read` and `wiki_write`: the team's documents, with the reader's rights."""

from typing import Annotated

from msgspec import Meta, Struct

from aibox.core.turn import Turn
from aibox.knowledge import MAX_QUERY
from aibox.runtime.tools import Result, Services, Tool

Topic = Annotated[str, Meta(min_length=1, max_length=200, description="The page's topic, such as `release-checklist`")]


class SearchArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    query: Annotated[str, Meta(min_length=1, max_length=MAX_QUERY, description="What to look for")]
    limit: Annotated[int, Meta(ge=1, le=10)] = 5


class ReadArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    topic: Topic


class WriteArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    topic: Topic
    content: Annotated[str, Meta(min_length=1, description="The whole page in Markdown")]
    base_version: Annotated[
        int | None, Meta(description="The version that was read and is changed here; none for a new page")
    ] = None


async def _search(services: Services, turn: Turn, given: SearchArguments) -> Result:
    return Result(found=(await services.knowledge.search(turn, given.query, limit=given.limit)).found)


async def _read(services: Services, turn: Turn, given: ReadArguments) -> Result:
    page = await services.wiki.page(turn, given.topic)
    return Result({"topic": page.topic, "title": page.title, "version": page.version, "content": page.content})


async def _write(services: Services, turn: Turn, given: WriteArguments) -> Result:
    page = await services.wiki.save(turn, topic=given.topic, content=given.content, base_version=given.base_version)
    return Result({"topic": page.topic, "version": page.version})


TOOLS = (
    Tool(
        name="knowledge_search",
        description="Search the workspace's documents and wiki. Name a passage that you use by its number, as [1].",
        arguments=SearchArguments,
        act=_search,
        needs=("memory.read_own",),
        scope="knowledge",
    ),
    Tool(
        name="wiki_read",
        description="Read a page of the workspace's wiki.",
        arguments=ReadArguments,
        act=_read,
        needs=("memory.read_own",),
        scope="knowledge",
    ),
    Tool(
        name="wiki_write",
        description="Write a page of the workspace's wiki, or its next version. The user is asked first.",
        arguments=WriteArguments,
        act=_write,
        needs=("memory.write",),
        scope="knowledge",
        asks=True,
    ),
)
