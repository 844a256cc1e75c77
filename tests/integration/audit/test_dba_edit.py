"""The page docs/dba-edit.md, run: each edit that it shows is made, and the check must answer what the page says."""

import re
from pathlib import Path

import asyncpg
import pytest

import aibox
from aibox.audit import Verification
from aibox.core import connections
from aibox.core.connections import Urls
from aibox.core.turn import begin
from aibox.stores.objects.files import FileObjects
from aibox.stores.postgres import open_postgres
from tests.integration.audit.conftest import AUDITOR, Bench
from tests.integration.audit.test_failures import folder, opened
from tests.integration.audit.test_sealing import execute_as_owner

__all__ = ["folder"]

PAGE = (Path(aibox.__file__).parents[1] / "docs" / "dba-edit.md").read_text()
EDITS = re.findall(r"## ([^\n]+)\n\n```sql\n(.*?)\n```\n\n    ([^\n]+)\n", PAGE, re.DOTALL)
(FORKED,) = re.findall(r"## A forked copy\n.*?\n    ([^\n]+)\n", PAGE, re.DOTALL)


def said(found: Verification) -> str:
    assert found.first_bad is not None, "the check found nothing"
    return f"entry {found.first_bad.idx}: {found.first_bad.reason}"


def test_the_page_shows_four_edits_by_statement() -> None:
    assert [title for title, _, _ in EDITS] == ["One byte", "One order", "One deletion", "A truncated tail"]


@pytest.mark.parametrize(("title", "statement", "answer"), EDITS, ids=[title for title, _, _ in EDITS])
async def test_the_check_names_the_row_that_was_edited(bench: Bench, title: str, statement: str, answer: str) -> None:
    await bench.many(7)
    await bench.audit.sealer.seal_pending()
    assert await bench.trail.verify(begin(AUDITOR)) == Verification(ok=True, checked=8, total=8)

    await execute_as_owner(bench, statement)

    assert said(await bench.trail.verify(begin(AUDITOR))) == answer, title


async def test_a_forked_copy_is_told_by_the_heads_outside(folder: Path) -> None:
    objects = FileObjects(folder / "objects")
    async with open_postgres(connections.Settings(), folder) as urls, objects.run():
        async with opened(urls, folder, objects) as first:
            await first.many(7)
            await first.audit.sealer.seal_pending()
        admin = await asyncpg.connect(urls.owner.replace("aibox_owner@/aibox", "postgres@/postgres"))
        await admin.execute("CREATE DATABASE fork TEMPLATE aibox OWNER aibox_owner")
        await admin.close()
        other = Urls(**{role: getattr(urls, role).replace("/aibox?", "/fork?") for role in ("app", "system", "owner")})
        async with opened(urls, folder, objects) as first, opened(other, folder, objects) as second:
            for one in (first, second):
                await one.audit.sealer.seal_pending()
                await one.ended()
                await one.audit.sealer.seal_pending()
            await first.audit.copy_heads_out()

            assert said(await second.trail.verify(begin(AUDITOR))) == FORKED
