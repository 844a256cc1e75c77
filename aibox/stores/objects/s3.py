"""Objects in an S3 bucket (Amazon's, MinIO, SeaweedFS), by boto3 in threads, with conditional writes."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from aibox.core.errors import StateUnavailable
from aibox.stores import ObjectChanged, ObjectMissing, ObjectsSettings, StoredObject
from aibox.stores.objects.keys import require_key

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef, PutObjectRequestTypeDef

log = structlog.get_logger("aibox.stores.objects.s3")

LOST_THE_RACE = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
MISSING = {"NoSuchKey", "404"}
WITHOUT_LOCK = {"ObjectLockConfigurationNotFoundError", "NotImplemented", "MethodNotAllowed"}
"""What a bucket answers that has no Object Lock, and a server that knows none."""

COPIED = 1 << 20
"""Bytes of a file that are in memory at a time."""

T = TypeVar("T")


class S3Objects:
    """`Objects` under `prefix` of `bucket`, which must exist. An S3 `put` is durable and atomic by itself."""

    def __init__(self, settings: ObjectsSettings, *, bucket: str, prefix: str = "") -> None:
        self._settings = settings
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client: S3Client | None = None
        self._once: S3Client | None = None
        """Never repeats a request: a conditional write whose answer was lost would meet itself and lose."""
        self._locks: bool | None = None
        """Whether the bucket has Object Lock, which it has from its making or never; None until it was asked."""

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        self._client = await asyncio.to_thread(self._connect, attempts=3)
        self._once = await asyncio.to_thread(self._connect, attempts=1)
        try:
            yield
        finally:
            self._client.close()
            self._once.close()
            self._client = self._once = None

    async def put(
        self, key: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False, keep_days: int = 0
    ) -> str:
        request: PutObjectRequestTypeDef = {"Bucket": self._bucket, "Key": self._key(key), "Body": data}
        if if_match is not None:
            request["IfMatch"] = if_match
        if if_absent:
            request["IfNoneMatch"] = "*"
        if keep_days:
            request["ObjectLockMode"] = "COMPLIANCE"
            request["ObjectLockRetainUntilDate"] = datetime.now(UTC) + timedelta(days=keep_days)
        try:
            answer = await self._call(lambda client: client.put_object(**request), once=if_absent or bool(if_match))
        except ObjectMissing:  # what `IfMatch` answers when there is nothing to match
            raise ObjectChanged() from None
        return answer["ETag"]

    async def can_keep(self) -> bool:
        if self._locks is None:
            self._locks = await self._call(self._has_object_lock)
        return self._locks

    def _has_object_lock(self, client: "S3Client") -> bool:
        from botocore.exceptions import ClientError  # noqa: PLC0415 - see `_connect`

        try:
            answer = client.get_object_lock_configuration(Bucket=self._bucket)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in WITHOUT_LOCK:
                return False
            raise
        return answer["ObjectLockConfiguration"].get("ObjectLockEnabled") == "Enabled"

    async def get(self, key: str) -> StoredObject:
        name = self._key(key)

        def read(client: "S3Client") -> StoredObject:
            answer = client.get_object(Bucket=self._bucket, Key=name)
            return StoredObject(data=answer["Body"].read(), etag=answer["ETag"])

        return await self._call(read)

    async def put_file(self, key: str, path: Path) -> None:
        name = self._key(key)

        def write(client: "S3Client") -> None:
            with path.open("rb") as file:
                client.put_object(Bucket=self._bucket, Key=name, Body=file)

        await self._call(write)

    async def get_file(self, key: str, path: Path) -> None:
        name = self._key(key)

        def read(client: "S3Client") -> None:
            answer = client.get_object(Bucket=self._bucket, Key=name)
            with path.open("wb") as file:
                shutil.copyfileobj(answer["Body"], file, COPIED)

        await self._call(read)

    async def delete(self, key: str) -> None:
        name = self._key(key)
        with contextlib.suppress(ObjectMissing):
            await self._call(lambda client: client.delete_object(Bucket=self._bucket, Key=name))

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        after = ""
        while True:
            page = await self._call(partial(self._page, prefix=self._prefix + prefix, after=after))
            names = [item["Key"] for item in page.get("Contents", [])]
            for name in names:
                yield name.removeprefix(self._prefix)
            if not names or not page["IsTruncated"]:
                return
            after = names[-1]

    def _page(self, client: "S3Client", *, prefix: str, after: str) -> "ListObjectsV2OutputTypeDef":
        return client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, StartAfter=after)

    def _key(self, key: str) -> str:
        return self._prefix + require_key(key)

    def _connect(self, *, attempts: int) -> "S3Client":
        import boto3  # noqa: PLC0415 - a third of a second, and off the event loop here
        from botocore.config import Config  # noqa: PLC0415

        client: S3Client = boto3.client(
            "s3",
            endpoint_url=self._settings.endpoint or None,
            region_name=self._settings.region,
            aws_access_key_id=self._settings.access_key or None,
            aws_secret_access_key=self._settings.secret_key or None,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path" if self._settings.endpoint else "auto"},
                connect_timeout=5,
                read_timeout=30,
                retries={"mode": "standard", "max_attempts": attempts},
            ),
        )
        return client

    async def _call(self, act: Callable[["S3Client"], T], *, once: bool = False) -> T:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - see `_connect`

        client = self._once if once else self._client
        if client is None:
            raise StateUnavailable("The object store is not open.")
        try:
            return await asyncio.to_thread(act, client)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in MISSING:
                raise ObjectMissing() from None
            if code in LOST_THE_RACE:
                raise ObjectChanged() from None
            log.error("objects.refused", code=code, bucket=self._bucket)
            raise StateUnavailable(f"The object store refused: {code}.") from error
        except BotoCoreError as error:
            raise StateUnavailable(f"The object store cannot be reached: {type(error).__name__}.") from error
