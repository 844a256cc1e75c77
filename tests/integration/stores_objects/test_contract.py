"""The contract of `Objects`, run against a folder and, where SeaweedFS is installed, against a real S3 server."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from aibox.core.errors import BootRefused, StateUnavailable
from aibox.stores import ObjectChanged, ObjectMissing, Objects, ObjectsSettings
from aibox.stores.objects import open_objects
from tests.installation import free_port
from tests.seaweed import s3_client, s3_settings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ObjectVersionTypeDef


@pytest.fixture(params=["file", "s3"])
async def objects(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Objects]:
    if request.param == "file":
        store = open_objects(ObjectsSettings(), tmp_path)
    else:
        endpoint = request.getfixturevalue("s3_endpoint")
        settings = s3_settings(endpoint, "bucket")
        store = open_objects(settings, tmp_path)
    async with store.run():
        yield store


async def test_what_was_put_is_read_back_with_its_tag(objects: Objects) -> None:
    etag = await objects.put("tenant/checkpoint", b"tree size 7")

    found = await objects.get("tenant/checkpoint")

    assert (found.data, found.etag) == (b"tree size 7", etag)


async def test_the_same_key_again_replaces_the_object_whole(objects: Objects) -> None:
    await objects.put("page", b"a long first version")
    await objects.put("page", b"short")

    assert (await objects.get("page")).data == b"short"


async def test_an_absent_key_is_missing_and_deleting_it_is_no_error(objects: Objects) -> None:
    await objects.put("here", b"x")
    await objects.delete("here")
    await objects.delete("here")

    with pytest.raises(ObjectMissing):
        await objects.get("here")


async def test_of_two_that_create_the_same_key_the_second_is_refused(objects: Objects) -> None:
    await objects.put("lock", b"first", if_absent=True)

    with pytest.raises(ObjectChanged):
        await objects.put("lock", b"second", if_absent=True)

    assert (await objects.get("lock")).data == b"first"


async def test_a_write_with_an_outdated_tag_is_refused(objects: Objects) -> None:
    read = await objects.put("head", b"1")
    newer = await objects.put("head", b"2", if_match=read)

    with pytest.raises(ObjectChanged):
        await objects.put("head", b"3", if_match=read)

    assert await objects.get("head") == type(await objects.get("head"))(data=b"2", etag=newer)


async def test_a_tag_matches_nothing_when_the_object_is_gone(objects: Objects) -> None:
    etag = await objects.put("head", b"1")
    await objects.delete("head")

    with pytest.raises(ObjectChanged):
        await objects.put("head", b"2", if_match=etag)


async def test_of_ten_concurrent_creators_one_wins(objects: Objects) -> None:
    results = await asyncio.gather(
        *(objects.put("leader", str(n).encode(), if_absent=True) for n in range(10)), return_exceptions=True
    )

    winners = [n for n, result in enumerate(results) if isinstance(result, str)]
    assert len(winners) == 1
    assert (await objects.get("leader")).data == str(winners[0]).encode()
    assert all(isinstance(result, str | ObjectChanged) for result in results)


async def test_keys_are_listed_sorted_by_prefix(objects: Objects) -> None:
    for key in ("tile/1", "tile/0/x001", "tile/0/000", "wiki/Über uns.md", "wiki"):
        await objects.put(key, b"")

    assert [key async for key in objects.keys("tile/0/")] == ["tile/0/000", "tile/0/x001"]
    assert [key async for key in objects.keys("wi")] == ["wiki", "wiki/Über uns.md"]
    assert [key async for key in objects.keys("none/")] == []
    assert [key async for key in objects.keys("tile/../")] == []


async def test_a_key_may_be_the_folder_of_another(objects: Objects) -> None:
    await objects.put("a", b"page")
    await objects.put("a/b", b"sub-page")
    await objects.put("a=", b"looks like a file name")

    assert [(await objects.get(key)).data for key in ("a", "a/b", "a=")] == [
        b"page",
        b"sub-page",
        b"looks like a file name",
    ]


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../secret", "a/../b", "a//b", "a/", "./a", "a\x00b", "a\\b", "é" * 101]
)
async def test_a_key_that_leaves_the_folder_is_refused(objects: Objects, key: str) -> None:
    with pytest.raises(ValueError, match="object key"):
        await objects.put(key, b"x")
    with pytest.raises(ValueError, match="object key"):
        await objects.get(key)


async def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    store = open_objects(ObjectsSettings(url=f"file:{tmp_path / 'o'}"), tmp_path)
    async with store.run():
        shutil.rmtree(tmp_path / "o")
        (tmp_path / "o").write_text("a file where the folder was")

        with pytest.raises(StateUnavailable):
            await store.put("a", b"x")


async def test_an_interrupted_write_leaves_neither_an_object_nor_a_draft(tmp_path: Path) -> None:
    store = open_objects(ObjectsSettings(), tmp_path)
    async with store.run():
        await store.put("head", b"1")
        with pytest.raises(ObjectChanged):
            await store.put("head", b"2", if_match="another")

        assert list((tmp_path / "objects" / ".drafts").iterdir()) == []
        assert [key async for key in store.keys("")] == ["head"]


async def test_an_s3_server_that_is_away_is_unavailable() -> None:
    store = open_objects(
        ObjectsSettings(url="s3://bucket", endpoint=f"http://127.0.0.1:{free_port()}", access_key="a", secret_key="b"),
        Path(),
    )
    async with store.run():
        with pytest.raises(StateUnavailable):
            await store.put("a", b"x", if_absent=True)


async def test_what_is_to_be_kept_cannot_be_destroyed_by_who_owns_the_bucket(s3_endpoint: str) -> None:
    store, owner = open_objects(s3_settings(s3_endpoint, "locked"), Path()), s3_client(s3_endpoint)
    async with store.run():
        assert await store.can_keep()
        await store.put("heads/7", b"seven entries", if_absent=True, keep_days=30)

    (version,) = [one for one in _versions(owner, "locked") if one["Key"].endswith("heads/7")]
    kept = owner.get_object_retention(Bucket="locked", Key=version["Key"])["Retention"]
    assert kept["Mode"] == "COMPLIANCE"
    assert timedelta(days=29) < kept["RetainUntilDate"] - datetime.now(UTC) <= timedelta(days=30)
    with pytest.raises(ClientError, match="AccessDenied"):
        owner.delete_object(
            Bucket="locked", Key=version["Key"], VersionId=version["VersionId"], BypassGovernanceRetention=True
        )
    found = owner.get_object(Bucket="locked", Key=version["Key"], VersionId=version["VersionId"])
    assert found["Body"].read() == b"seven entries"


async def test_a_bucket_without_object_lock_and_a_folder_keep_nothing(objects: Objects) -> None:
    assert not await objects.can_keep()


async def test_a_bucket_that_cannot_be_asked_is_not_taken_for_one_without_a_lock() -> None:
    settings = ObjectsSettings(
        url="s3://locked", endpoint=f"http://127.0.0.1:{free_port()}", access_key="a", secret_key="b"
    )
    store = open_objects(settings, Path())
    async with store.run():
        with pytest.raises(StateUnavailable):
            await store.can_keep()


async def test_a_folder_does_not_promise_to_keep(tmp_path: Path) -> None:
    store = open_objects(ObjectsSettings(), tmp_path)
    async with store.run():
        with pytest.raises(ValueError, match="keep nothing"):
            await store.put("a", b"x", keep_days=1)


def test_an_unknown_scheme_refuses_the_start() -> None:
    with pytest.raises(BootRefused) as refused:
        open_objects(ObjectsSettings(url="ftp://host"), Path())

    assert refused.value.code == "boot_objects"


def _versions(owner: "S3Client", bucket: str) -> list["ObjectVersionTypeDef"]:
    return owner.list_object_versions(Bucket=bucket)["Versions"]
