"""RFC 3161 time stamps of heads: an authority of its own says that a head, and all under it, was there at a time.

What is stamped is the head's text, the three lines that the log signs with Ed25519. A stamp is a file beside the
receipt, the authority's answer as it came, so that `openssl ts -verify` can judge it too. The library is loaded by
the first of them.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import structlog
from cryptography import x509

from aibox.audit import Settings, logs, notes
from aibox.audit.logs import Log
from aibox.core.connections import LOST, Connections
from aibox.core.errors import BootRefused, StateUnavailable, ValidationFailed
from aibox.core.http import Broken, Client, Unreachable
from aibox.core.tasks import beside

log = structlog.get_logger("aibox.audit.timestamps")

ANSWER_SECONDS = 20.0
MAX_ANSWER = 64 * 1024
MEDIA_TYPE = "application/timestamp-reply"


class StampError(Exception):
    """A time stamp that does not hold; the text says why."""


def read_roots(path: Path) -> list[x509.Certificate]:
    """The certificates in a PEM file; raises StampError."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as why:
        raise StampError(f"{path} holds no certificates ({why})") from None


def stamped_at(reply: bytes, message: bytes, roots: list[x509.Certificate], *, nonce: int | None = None) -> datetime:
    """The time that the answer states for `message`, by an authority under one of `roots`; raises StampError."""
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response  # noqa: PLC0415 - see above

    try:
        answer = decode_timestamp_response(reply)
        builder = VerifierBuilder(roots=list(roots), nonce=nonce)
        builder.build().verify_message(answer, message)
    except (VerificationError, ValueError) as why:
        raise StampError(f"the time stamp does not hold: {why}") from None
    return answer.tst_info.gen_time.astimezone(UTC)


class Timestamps:
    """Has the newest head of each log stamped every so often. Any number of replicas may; a head has one stamp."""

    def __init__(self, settings: Settings, connections: Connections, http: Client) -> None:
        self._url = settings.timestamp_url
        self._seconds = settings.timestamp_seconds
        self._connections = connections
        self._http = http
        if self._url and not settings.timestamp_roots:
            raise BootRefused("boot_settings", "AIBOX_AUDIT_TIMESTAMP_URL needs AIBOX_AUDIT_TIMESTAMP_ROOTS beside it.")
        try:
            self._roots = read_roots(Path(settings.timestamp_roots)) if self._url else []
        except StampError as why:
            raise BootRefused("boot_settings", f"AIBOX_AUDIT_TIMESTAMP_ROOTS: {why}.") from None

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Have heads stamped until the block ends."""
        if not self._url:
            yield
            return
        async with beside(tasks, {"audit.stamp": self._work()}):
            yield

    async def stamp(self) -> None:
        """Have every log's newest head stamped, where the last stamp is old enough."""
        for row in await self._connections.system.fetch(UNSTAMPED, float(self._seconds)):
            head = Log(**row)
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._stamp(head)
            except TimeoutError:
                log.warning("audit.not_stamped", log=head.origin, reason="the authority did not answer in time")
            except (StampError, Unreachable, Broken, ValidationFailed) as why:
                log.warning("audit.not_stamped", log=head.origin, reason=str(why))

    async def _stamp(self, head: Log) -> None:
        assert head.checkpoint is not None  # the query asks for it
        from rfc3161_client import HashAlgorithm, TimestampRequestBuilder  # noqa: PLC0415 - see above

        text = notes.parse_checkpoint(head.checkpoint).body.encode()
        asked = TimestampRequestBuilder().data(text).hash_algorithm(HashAlgorithm.SHA256).build()
        headers = {"Content-Type": "application/timestamp-query"}
        reply = await self._http.send("POST", self._url, headers=headers, body=asked.as_bytes())
        try:
            data = await reply.whole(limit=MAX_ANSWER)
        finally:
            reply.close()
        if reply.status != 200:
            raise StampError(f"the authority answered {reply.status}")
        at = await asyncio.to_thread(stamped_at, data, text, self._roots, nonce=asked.nonce)
        await self._connections.system.execute(KEEP, head.origin, head.size, head.tenant, at, data)

    async def _work(self) -> None:
        while True:
            try:
                await self.stamp()
            except (*LOST, StateUnavailable, asyncpg.PostgresError) as error:
                log.warning("audit.stamp_failed", error=type(error).__name__)
            await asyncio.sleep(self._seconds)


NO_NEW_STAMP = """
NOT EXISTS (
    SELECT 1 FROM audit.stamp s
    WHERE s.origin = l.origin AND (s.size = l.size OR s.at > now() - make_interval(secs => $1))
)
"""
UNSTAMPED = f"{logs.SELECT_LOGS} l WHERE checkpoint IS NOT NULL AND {NO_NEW_STAMP}"
KEEP = """
INSERT INTO audit.stamp (origin, size, tenant, at, reply) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
"""
