"""`/v1/knowledge`: documents, their rights and passages, and the search in them."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, delete, get, patch, post, put
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody, MultipartBody, QueryParameter
from litestar.response import File
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED, HTTP_204_NO_CONTENT

from aibox.core.errors import TooLarge, revive
from aibox.core.turn import Turn
from aibox.knowledge import Added, Item, Knowledge, Passage, Rights, Stage, Tag, Upload
from aibox.knowledge.schemas import (
    Audience,
    AudienceBody,
    AudienceList,
    ChangeBody,
    GenerationList,
    Ingested,
    ItemList,
    PassageList,
    Results,
    SearchBody,
    ShareBody,
    Shared,
    TextBody,
    UploadForm,
    UrlBody,
    results,
)
from aibox.knowledge.wiki_routes import WikiController

READ = {"policy": "memory.read_own", "scope": "knowledge"}
WRITE = {"policy": "memory.write", "scope": "knowledge"}
READY = ResponseSpec(Ingested, generate_examples=False, description="It was waited for, and can be found")
DELETE = {"policy": "memory.delete", "scope": "knowledge"}
SHARE = {"policy": "memory.share", "scope": "knowledge"}
PEOPLE = {"policy": "admin.manage_users", "scope": "admin"}
MODELS = {"policy": "admin.manage_providers", "scope": "admin"}

UPLOAD_LIMIT = 100 << 20
COPIED = 1 << 20
WAIT_SECONDS = 60.0

Limit = Annotated[int, QueryParameter(ge=1, le=200)]
Wait = Annotated[bool, QueryParameter(description="Answer when the document is indexed, or failed")]


class KnowledgeController(Controller):
    """Documents that the caller may read; others are not there."""

    path = "/v1/knowledge"

    @post(
        "/ingest",
        opt={**WRITE, "media": "multipart/form-data"},
        status_code=HTTP_202_ACCEPTED,
        responses={HTTP_200_OK: READY},
    )
    async def ingest(
        self,
        turn: NamedDependency[Turn],
        knowledge: NamedDependency[Knowledge],
        data: MultipartBody[UploadForm],
        wait: Wait = False,
    ) -> Response[Ingested]:
        """Take a file in. It is read by a job; `stage` tells how far that is."""
        rights = Rights(
            visibility_mode=data.visibility_mode,
            audience_tags=tuple(data.audience_tags),
            user_grants=tuple(data.user_grants),
        )
        with tempfile.TemporaryDirectory(prefix="aibox-upload-") as folder:
            path = Path(folder) / "document"
            await _save(data.file, path)
            upload = Upload(
                path=path,
                name=data.file.filename or "document",
                title=data.title,
                tags=tuple(data.tags),
                rights=rights,
            )
            added = await knowledge.add(turn, upload)
        return await _answer(turn, knowledge, added, wait=wait)

    @post("/ingest/text", opt=WRITE, status_code=HTTP_202_ACCEPTED, responses={HTTP_200_OK: READY})
    async def ingest_text(
        self,
        turn: NamedDependency[Turn],
        knowledge: NamedDependency[Knowledge],
        data: JSONBody[TextBody],
        wait: Wait = False,
    ) -> Response[Ingested]:
        """Take pasted text in, as Markdown."""
        added = await knowledge.add_text(
            turn, title=data.title, content=data.content, tags=data.tags, rights=data.rights
        )
        return await _answer(turn, knowledge, added, wait=wait)

    @post("/ingest/url", opt=WRITE, status_code=HTTP_202_ACCEPTED, responses={HTTP_200_OK: READY})
    async def ingest_url(
        self,
        turn: NamedDependency[Turn],
        knowledge: NamedDependency[Knowledge],
        data: JSONBody[UrlBody],
        wait: Wait = False,
    ) -> Response[Ingested]:
        """Fetch a document through the egress policy and take it in."""
        added = await knowledge.add_url(turn, url=data.url, title=data.title, tags=data.tags, rights=data.rights)
        return await _answer(turn, knowledge, added, wait=wait)

    @get("/items", opt=READ)
    async def list_items(
        self,
        turn: NamedDependency[Turn],
        knowledge: NamedDependency[Knowledge],
        limit: Limit = 50,
        cursor: FromQuery[UUID | None] = None,
        q: Annotated[str, QueryParameter(max_length=300, description="Part of the title")] = "",
        tag: FromQuery[list[Tag] | None] = None,
        stage: FromQuery[Stage | None] = None,
        archived: FromQuery[bool] = False,
    ) -> ItemList:
        """The newest first."""
        found = await knowledge.items(
            turn, limit=limit + 1, before=cursor, text=q, tags=tag or (), stage=stage, archived=archived
        )
        shown = list(found[:limit])
        return ItemList(items=shown, next_cursor=str(shown[-1].id) if len(found) > limit else None)

    @get("/items/{item_id:uuid}", opt=READ)
    async def get_item(
        self, turn: NamedDependency[Turn], knowledge: NamedDependency[Knowledge], item_id: FromPath[UUID]
    ) -> Item:
        """One document, with its stage and progress."""
        return await knowledge.item(turn, item_id)

    @patch("/items/{item_id:uuid}", opt=WRITE)
    async def change_item(
        self,
        turn: NamedDependency[Turn],
        knowledge: NamedDependency[Knowledge],
        item_id: FromPath[UUID],
        data: JSONBody[ChangeBody],
    ) -> Item:
        """Change title, tags, owner, rights or archive. New rights hold from the next search on."""
        return await knowledge.change(turn, item_id, data.change)

    @post("/items/share", opt=SHARE, status_code=HTTP_200_OK)
    async def share_items(
        self, turn: NamedDependency[Turn], knowledge: NamedDependency[Knowledge], data: JSONBody[ShareBody]
    ) -> Shared:
        """Give several documents the same rights: all of them, or none when one is not the caller's to share."""
        rights = Rights(
            visibility_mode=data.visibility_mode, audience_tags=data.audience_tags, user_grants=data.user_grants
        )
        shared = await knowledge.share(turn, data.item_ids, rights, confirm_tenant_wide=data.confirm_tenant_wide)
        return Shared(items=list(shared))

    @delete("/items/{item_id:uuid}", opt=DELETE)
    async def delete_item(
        self, turn: NamedDependency[Turn], knowledge: NamedDependency[Knowledge], item_id: FromPath[UUID]
    ) -> None:
        """Remove the document, its passages, its index and its original."""
        await knowledge.delete(turn, item_id)

    @get("/items/{item_id:uuid}/original", opt=READ)
    async def original(
        self, turn: NamedDependency[Turn], knowledge: NamedDependency[Knowledge], item_id: FromPath[UUID]
    ) -> File:
        """The document as it came, always as a download."""
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="aibox-original-"))
        try:
            item = await knowledge.original(turn, item_id, folder / "document")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return File(
            folder / "document",
            filename=Path(item.name).name or "document",
            media_type="application/octet-stream",
            content_disposition_type="attachment",
            background=BackgroundTask(asyncio.to_thread, shutil.rmtree, folder, ignore_errors=True),
        )

    @get("/items/{item_id:uuid}/chunks", opt=READ)
    async def list_chunks(
        self,
        turn: NamedDependency[Turn],
        knowledge: NamedDependency[Knowledge],
        item_id: FromPath[UUID],
        limit: Limit = 50,
        cursor: Annotated[int, QueryParameter(ge=0, description="The number of the first passage")] = 0,
    ) -> PassageList:
        """The document's passages in order."""
        found = await knowledge.passages(turn, item_id, begin=cursor, limit=limit + 1)
        shown = list(found[:limit])
        return PassageList(passages=shown, next_cursor=str(shown[-1].n + 1) if len(found) > limit else None)

    @get("/items/{item_id:uuid}/chunks/{chunk_id:uuid}", opt=READ)
    async def get_chunk(
        self,
        turn: NamedDependency[Turn],
        knowledge: NamedDependency[Knowledge],
        item_id: FromPath[UUID],
        chunk_id: FromPath[UUID],
    ) -> Passage:
        """One passage, as citations name it."""
        return await knowledge.passage(turn, item_id, chunk_id)

    @post("/items/{item_id:uuid}/retry", opt=WRITE, status_code=HTTP_202_ACCEPTED)
    async def retry(
        self, turn: NamedDependency[Turn], knowledge: NamedDependency[Knowledge], item_id: FromPath[UUID]
    ) -> Ingested:
        """Read a failed document once more."""
        return _ingested(await knowledge.retry(turn, item_id))

    @post("/search", opt=READ, status_code=HTTP_200_OK)
    async def search(
        self, turn: NamedDependency[Turn], knowledge: NamedDependency[Knowledge], data: JSONBody[SearchBody]
    ) -> Results:
        """By meaning and by words, best first, with the reasons."""
        return results(await knowledge.search(turn, data.query, limit=data.limit, tags=data.tags))

    @get("/audiences", opt=PEOPLE)
    async def list_audiences(self, turn: NamedDependency[Turn], knowledge: NamedDependency[Knowledge]) -> AudienceList:
        """Who has which audience tag."""
        found = await knowledge.audiences(turn)
        return AudienceList(audiences=[Audience(tag=tag, user_ids=list(users)) for tag, users in found.items()])

    @put("/audiences/{tag:str}", opt=PEOPLE, status_code=HTTP_204_NO_CONTENT)
    async def set_audience(
        self,
        turn: NamedDependency[Turn],
        knowledge: NamedDependency[Knowledge],
        tag: FromPath[Tag],
        data: JSONBody[AudienceBody],
    ) -> None:
        """Give an audience tag to exactly these people."""
        await knowledge.set_audience(turn, tag, data.user_ids)

    @get("/generations", opt=MODELS)
    async def list_generations(
        self, turn: NamedDependency[Turn], knowledge: NamedDependency[Knowledge]
    ) -> GenerationList:
        """The indexes: which serves, and how far the next one is."""
        return GenerationList(generations=list(await knowledge.generations(turn)))

    @post("/reindex", opt=MODELS, status_code=HTTP_202_ACCEPTED)
    async def reindex(self, turn: NamedDependency[Turn], knowledge: NamedDependency[Knowledge]) -> GenerationList:
        """Begin an index with the embedding model that is set now, if it is another; the old one serves meanwhile."""
        return GenerationList(generations=list(await knowledge.reindex(turn)))


async def _save(file: UploadFile, path: Path) -> None:
    """Write the upload to `path` piece by piece. Raises `TooLarge`."""
    size = 0
    with path.open("wb") as target:
        while piece := await file.read(COPIED):
            size += len(piece)
            if size > UPLOAD_LIMIT:
                raise TooLarge(f"The document is larger than {UPLOAD_LIMIT >> 20} MiB.")
            await asyncio.to_thread(target.write, piece)
    await file.close()


async def _answer(turn: Turn, knowledge: Knowledge, added: Added, *, wait: bool) -> Response[Ingested]:
    if not wait:
        return Response(_ingested(added), status_code=HTTP_202_ACCEPTED)
    item = await knowledge.wait(turn, added.item.id, seconds=WAIT_SECONDS)
    if item.error is not None:
        raise revive(item.error.code, item.error.sentence)
    status = HTTP_200_OK if item.stage == "indexed" else HTTP_202_ACCEPTED
    return Response(_ingested(Added(item=item, job_id=added.job_id)), status_code=status)


def _ingested(added: Added) -> Ingested:
    item = added.item
    return Ingested(
        document_id=item.id,
        title=item.title,
        stage=item.stage,
        chunks_indexed=item.chunks if item.stage == "indexed" else 0,
        jobId=added.job_id,
        item=item,
    )


ROUTES: list[type[Controller]] = [KnowledgeController, WikiController]
