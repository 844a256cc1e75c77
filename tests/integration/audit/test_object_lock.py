"""Signed heads in a bucket with Object Lock: the copies that not even who owns the bucket can destroy."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from aibox.audit import logs
from aibox.audit.heads import HeadCopies
from aibox.stores.objects import open_objects
from tests.integration.audit.conftest import Bench
from tests.seaweed import s3_client, s3_settings


async def test_each_signed_head_is_locked_and_only_the_newest_name_moves(bench: Bench, s3_endpoint: str) -> None:
    store, owner = open_objects(s3_settings(s3_endpoint, "locked"), Path()), s3_client(s3_endpoint)
    async with store.run():
        copies = HeadCopies(bench.kernel.connections, store, lock_days=400)
        assert await copies.locked_for() == 400
        for _ in range(2):
            turn = await bench.ended()
            await bench.audit.sealer.seal_pending()
            await copies.copy_out(*await logs.all_of(bench.kernel.connections.system))
        keys = [key async for key in store.keys("audit/")]

    assert (await bench.audit.receipt(turn, turn.id)).state == "anchored"
    heads = [key for key in keys if "/heads/" in key]
    assert [key.rpartition("/")[2] for key in heads] == [f"{2:016d}", f"{3:016d}"]
    for version in owner.list_object_versions(Bucket="locked")["Versions"]:
        name, number = version["Key"], version["VersionId"]
        if any(name.endswith(head) for head in heads):
            kept = owner.get_object_retention(Bucket="locked", Key=name, VersionId=number)["Retention"]
            assert kept["RetainUntilDate"] > datetime.now(UTC) + timedelta(days=399)
            with pytest.raises(ClientError, match="AccessDenied"):
                owner.delete_object(Bucket="locked", Key=name, VersionId=number)
        elif name.endswith("/checkpoint"):
            owner.delete_object(Bucket="locked", Key=name, VersionId=number)


async def test_heads_are_copied_without_a_lock_where_the_store_has_none(bench: Bench) -> None:
    copies = HeadCopies(bench.kernel.connections, bench.objects, lock_days=400)
    await bench.ended()
    await bench.audit.sealer.seal_pending()

    await copies.copy_out(*await logs.all_of(bench.kernel.connections.system))

    assert await copies.locked_for() == 0
    assert [key async for key in bench.objects.keys("audit/") if "/heads/" in key]
