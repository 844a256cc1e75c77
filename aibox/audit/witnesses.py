"""Asks the configured witnesses to cosign the logs' newest heads, and keeps the cosignatures (tlog-witness)."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Self

import asyncpg
import msgspec
import structlog

from aibox.audit import Settings, logs, merkle, notes
from aibox.audit.logs import Log
from aibox.audit.notes import WITNESS_ALGORITHMS, Checkpoint, NoteError, VerifierKey
from aibox.audit.witness import SIZE_TYPE, request
from aibox.core.connections import LOST, Connections
from aibox.core.errors import BootRefused, StateUnavailable, ValidationFailed
from aibox.core.http import Broken, Client, Unreachable
from aibox.core.tasks import beside

log = structlog.get_logger("aibox.audit.witnesses")

ANSWER_SECONDS = 15.0
MAX_ANSWER = 64 * 1024


class Refusal(Exception):
    """A witness did not cosign; the text says why, in words fit for the server's log."""


class Known(msgspec.Struct, frozen=True):
    """A witness: where it listens, and the keys whose cosignatures count."""

    url: str
    keys: tuple[VerifierKey, ...]

    @property
    def name(self) -> str:
        return self.keys[0].name

    @classmethod
    def parse(cls, text: str) -> Self:
        """`URL VKEY` or `URL VKEY VKEY`; raises BootRefused."""
        url, *vkeys = text.split() or [""]
        try:
            keys = tuple(map(VerifierKey.parse, vkeys))
        except NoteError as why:
            raise BootRefused("boot_settings", f"A witness in AIBOX_AUDIT_WITNESSES has {why}.") from None
        names = {key.name for key in keys}
        if len(names) != 1 or not all(key.algorithm in WITNESS_ALGORITHMS for key in keys):
            raise BootRefused(
                "boot_settings", "A witness is a URL and its verifier keys, as aibox-witness prints them."
            )
        return cls(url.rstrip("/"), keys)


class Witnesses:
    """Those configured. Any number of replicas may ask: the same head gets the same cosignatures."""

    def __init__(self, settings: Settings, connections: Connections, http: Client) -> None:
        self.known = tuple(Known.parse(text) for text in settings.witnesses)
        self.quorum = settings.witness_quorum
        if self.known and self.quorum > len({witness.name for witness in self.known}):
            raise BootRefused("boot_settings", "AIBOX_AUDIT_WITNESS_QUORUM asks for more witnesses than there are.")
        self._seconds = settings.witness_seconds
        self._connections = connections
        self._http = http
        self.refusals: dict[str, str] = {}
        """Why a witness did not cosign lately, by its name; `aibox doctor` shows them."""

    @property
    def vkeys(self) -> tuple[str, ...]:
        """The verifier keys of all of them."""
        return tuple(sorted(str(key) for witness in self.known for key in witness.keys))

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Ask for cosignatures of new heads until the block ends."""
        if not self.known:
            yield
            return
        async with beside(tasks, {"audit.witness": self._work()}):
            yield

    async def ask(self) -> None:
        """Have every log's newest head cosigned that is not yet, by all witnesses at once."""
        for head in [Log(**row) for row in await self._connections.system.fetch(UNWITNESSED)]:
            await asyncio.gather(*[self._ask(witness, head) for witness in self.known])
            await self._count(head)

    async def ahead(self) -> dict[str, str]:
        """Logs of which a witness has cosigned more entries than are here, and the reason; who is silent says nothing.

        It is asked to cosign the newest head again, as one that goes on from itself: another size is what it has.
        """
        heads = await logs.all_of(self._connections.system)
        found: dict[str, str] = {}
        for told in await asyncio.gather(*[self._ahead(witness, heads) for witness in self.known]):
            found |= told
        return found

    async def _ahead(self, witness: Known, heads: Sequence[Log]) -> dict[str, str]:
        found: dict[str, str] = {}
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                for head in heads:
                    status, answer = await self._send(witness, head, head.size)
                    if status == 409 and (size := _size(answer)) > head.size:
                        found[head.origin] = f"{witness.name} has cosigned {size} entries, the database has {head.size}"
        except (TimeoutError, Refusal, Unreachable, Broken) as why:
            log.warning("audit.witness_not_asked", witness=witness.name, reason=str(why) or "it did not answer in time")
        return found

    async def _ask(self, witness: Known, head: Log) -> None:
        """A witness that does not answer keeps no other from cosigning: that is told, and it is asked again later."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._cosign(witness, head)
            self.refusals.pop(witness.name, None)
        except TimeoutError:
            self._tell(witness, head, "it did not answer in time")
        except (Refusal, Unreachable, Broken, NoteError, ValidationFailed) as why:
            self._tell(witness, head, str(why))

    def _tell(self, witness: Known, head: Log, reason: str) -> None:
        if self.refusals.get(witness.name) != reason:
            log.warning("audit.not_witnessed", witness=witness.name, log=head.origin, reason=reason)
        self.refusals[witness.name] = reason

    async def _cosign(self, witness: Known, head: Log) -> None:
        assert head.checkpoint is not None  # the query asks for it
        vkeys = [str(key) for key in witness.keys]
        last = await self._connections.system.fetchval(LAST, head.origin, vkeys) or 0
        if last == head.size:
            return
        status, answer = await self._send(witness, head, last)
        if status == 409:
            size = _size(answer)
            if size < last:
                log.error("audit.witness_rolled_back", witness=witness.name, log=head.origin, had=last, has=size)
            if size > head.size:
                raise Refusal(f"it has cosigned a head of {size} entries, and this log has {head.size}")
            status, answer = await self._send(witness, head, size)
        if status != 200:
            raise Refusal(f"it answered {status}: {answer[:200].strip()}")
        await self._keep(witness, head, notes.parse_checkpoint(head.checkpoint), answer)

    async def _send(self, witness: Known, head: Log, old: int) -> tuple[int, str]:
        plan = merkle.consistency_plan(old, head.size) if old else []
        stored = await logs.nodes(self._connections.system, head.origin, plan)
        body = request(old, merkle.answer(plan, stored), head.checkpoint or "")
        reply = await self._http.send("POST", f"{witness.url}/add-checkpoint", body=body)
        try:
            answer = await reply.whole(limit=MAX_ANSWER)
        finally:
            reply.close()
        if reply.status == 409 and reply.content_type != SIZE_TYPE:
            raise Refusal("it answered 409 without a size")
        return reply.status, answer.decode("utf-8", "replace")

    async def _keep(self, witness: Known, head: Log, signed: Checkpoint, answer: str) -> None:
        """Store what verifies. Lines by keys that are not configured are left out, as C2SP has it."""
        lines = answer.splitlines()
        kept = []
        for key in witness.keys:
            for line in lines:
                with contextlib.suppress(NoteError):
                    notes.verify_cosignature(signed, key, line)
                    kept.append((head.origin, head.size, str(key), head.tenant, f"{line}\n"))
                    break
        if not kept:
            raise Refusal("its answer holds no cosignature by a key that is configured for it")
        await self._connections.system.executemany(KEEP, kept)

    async def _count(self, head: Log) -> None:
        """When enough have cosigned the head, its receipts are `witnessed`."""
        count = await self._connections.system.fetchval(COUNT, head.origin, head.size)
        if count >= self.quorum:
            await self._connections.system.execute(WITNESSED, head.origin, head.size)

    async def _work(self) -> None:
        while True:
            try:
                await self.ask()
            except (*LOST, StateUnavailable, asyncpg.PostgresError) as error:
                log.warning("audit.witness_failed", error=type(error).__name__)
            await asyncio.sleep(self._seconds)


def _size(answer: str) -> int:
    text = answer.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 16:
        raise Refusal("it answered 409 without a size")
    return int(text)


UNWITNESSED = f"{logs.SELECT_LOGS} WHERE witnessed < size AND checkpoint IS NOT NULL"
LAST = "SELECT max(size) FROM audit.cosignature WHERE origin = $1 AND vkey = ANY ($2)"
KEEP = """
INSERT INTO audit.cosignature (origin, size, vkey, tenant, line) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
"""
COUNT = """
SELECT count(DISTINCT split_part(vkey, '+', 1)) FROM audit.cosignature WHERE origin = $1 AND size = $2
"""
WITNESSED = "UPDATE audit.log SET witnessed = greatest(witnessed, $2) WHERE origin = $1"
