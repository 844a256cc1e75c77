"""Sessions: a browser's cookie, or the family of a client's access and refresh tokens."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from msgspec import Struct
from sqlalchemy import select, text

from aibox.core.connections import LOST, Connections
from aibox.core.db import Database, Work
from aibox.core.errors import NotFound, StateUnavailable
from aibox.core.eventlog import EventLog
from aibox.core.events import Artifact, json_artifact
from aibox.core.keyring import Ring
from aibox.core.turn import Turn, begin, uuid7
from aibox.identity import (
    Client,
    Door,
    InvalidGrant,
    RefreshReused,
    Session,
    SessionKind,
    SessionRevoked,
    SignedIn,
    SignedOut,
    SteppedUp,
    TokenGrant,
    User,
    WebGrant,
)
from aibox.identity.accounts import actor, announce
from aibox.identity.credentials import Credentials
from aibox.identity.models import RefreshTokenRow, SessionRow
from aibox.identity.secrets import csrf_tokens, digest, new_secret
from aibox.identity.standing import Standing
from aibox.identity.tokens import AccessTokens
from aibox.identity.web import Web

AGENT_LENGTH = 200


class Opening(Struct, frozen=True, kw_only=True):
    """How a session came to be: by which method, at which entry, from where, proved how (RFC 8176), by whose word."""

    method: str
    client: Client
    amr: tuple[str, ...]
    issuer: str = ""
    issuer_sid: str = ""
    device: UUID | None = None
    door: Door = "auth"


class Sessions:
    """Opens, refreshes and ends sessions. `turn` is a turn of the person whose sessions they are."""

    def __init__(
        self,
        db: Database,
        connections: Connections,
        log: EventLog,
        credentials: Credentials,
        standing: Standing,
        tokens: AccessTokens,
        web: Web,
        cookies: Ring,
        *,
        life: timedelta,
    ) -> None:
        self._db = db
        self._connections = connections
        self._log = log
        self._credentials = credentials
        self._standing = standing
        self._tokens = tokens
        self._web = web
        self._cookies = cookies
        self._life = life

    async def open_web(self, turn: Turn, user: User, opening: Opening) -> WebGrant:
        """A browser's session: a new secret at each sign-in, so none can be planted beforehand."""
        secret = new_secret()
        async with self._db.work(turn) as work:
            session_id = self._add(work, turn, "web", opening, secret=secret)
        return WebGrant(
            user=user,
            cookie=self._web.cookie(secret, seconds=int(self._life.total_seconds())),
            csrf_token=csrf_tokens(self._cookies, session_id)[0],
        )

    async def open_tokens(self, turn: Turn, opening: Opening) -> TokenGrant:
        """A client's or device's session: an access token, and the first refresh token of its family."""
        kind: SessionKind = "token" if opening.device is None else "device"
        async with self._db.work(turn) as work:
            session_id = self._add(work, turn, kind, opening, secret=None)
            await work.session.flush()
            refresh = self._add_refresh(work, turn, session_id, expires=datetime.now(UTC) + self._life)
        return self._grant(turn, session_id, refresh, door=opening.door)

    async def refresh(self, refresh_token: str) -> TokenGrant:
        """A new pair; the old refresh token is spent. Raises `InvalidGrant`."""
        found = await self._family(refresh_token)
        try:
            principal = (await self._credentials.session(found)).principal
        except SessionRevoked:
            raise InvalidGrant() from None
        turn = begin(principal)
        async with self._db.work(turn) as work:
            token = await work.session.scalar(
                select(RefreshTokenRow)
                .where(RefreshTokenRow.tenant == turn.tenant, RefreshTokenRow.digest == digest(refresh_token))
                .with_for_update()
            )
            if token is None or token.expires_at <= datetime.now(UTC):
                raise InvalidGrant()
            is_reused = token.used_at is not None
            if is_reused:
                await _end(work, turn, found)
                work.record(RefreshReused(target=principal.pseudonym, session=str(found)))
            else:
                token.used_at = datetime.now(UTC)
                fresh = self._add_refresh(work, turn, found, expires=token.expires_at)
        if is_reused:
            self._standing.forget(principal.id)
            await self._log.end(turn, "denied")
            raise InvalidGrant()
        return self._grant(turn, found, fresh)

    async def end(self, turn: Turn, session_id: UUID) -> None:
        """End one of the caller's sessions. Raises `NotFound`."""
        async with self._db.work(turn) as work:
            row = await work.session.get(SessionRow, (turn.tenant, session_id))
            if row is None or row.user_id != turn.principal.id or row.revoked_at is not None:
                raise NotFound()
            await _end(work, turn, session_id)
            work.record(SignedOut(actor=actor(turn), session=str(session_id)))
        self._standing.forget(turn.principal.id)

    async def open_ones(self, turn: Turn) -> list[Session]:
        """The caller's sessions that have not ended, newest first."""
        query = (
            select(SessionRow)
            .where(
                SessionRow.tenant == turn.tenant,
                SessionRow.user_id == turn.principal.id,
                SessionRow.revoked_at.is_(None),
                SessionRow.expires_at > datetime.now(UTC),
            )
            .order_by(SessionRow.created_at.desc())
            .limit(200)
        )
        async with self._db.read(turn) as session:
            return [_session(row) for row in await session.scalars(query)]

    async def step_up(self, turn: Turn, session_id: UUID, *, method: str) -> None:
        """The person just proved again, by `method`, that it is them: the session is fresh."""
        async with self._db.work(turn) as work:
            row = await work.session.get(SessionRow, (turn.tenant, session_id))
            if row is None or row.user_id != turn.principal.id or row.revoked_at is not None:
                raise NotFound()
            row.auth_time = datetime.now(UTC)
            row.amr = sorted({*row.amr, method})
            work.record(SteppedUp(actor=actor(turn), method=method, session=str(session_id)))
            await announce(work.session, turn.principal.id)
        self._standing.forget(turn.principal.id)

    async def device_of(self, turn: Turn) -> UUID | None:
        """The paired device that the turn's session belongs to."""
        if turn.principal.session_id is None:
            return None
        query = select(SessionRow.device).where(
            SessionRow.tenant == turn.tenant, SessionRow.id == UUID(turn.principal.session_id)
        )
        async with self._db.read(turn) as session:
            return await session.scalar(query)

    def _add(self, work: Work, turn: Turn, kind: SessionKind, opening: Opening, *, secret: str | None) -> UUID:
        session_id, now = uuid7(), datetime.now(UTC)
        work.session.add(
            SessionRow(
                tenant=turn.tenant,
                id=session_id,
                user_id=turn.principal.id,
                kind=kind,
                digest=None if secret is None else digest(secret),
                agent=opening.client.agent[:AGENT_LENGTH].replace("\x00", ""),
                created_at=now,
                seen_at=now,
                expires_at=now + self._life,
                revoked_at=None,
                # A device is no fresh sign-in of its person: it was paired by a code.
                auth_time=now if kind != "device" else datetime.fromtimestamp(0, UTC),
                amr=list(opening.amr),
                issuer=opening.issuer,
                issuer_sid=opening.issuer_sid,
                device=opening.device,
            )
        )
        origin = origin_artifact(opening.client)
        work.record(SignedIn(actor=actor(turn), method=opening.method, session=str(session_id), artifacts=(origin,)))
        return session_id

    def _add_refresh(self, work: Work, turn: Turn, session_id: UUID, *, expires: datetime) -> str:
        """A refresh token of the family. Rotation does not lengthen the family's life."""
        secret = new_secret()
        work.session.add(
            RefreshTokenRow(
                tenant=turn.tenant, digest=digest(secret), session_id=session_id, expires_at=expires, used_at=None
            )
        )
        return secret

    def _grant(self, turn: Turn, session_id: UUID, refresh: str, *, door: Door = "auth") -> TokenGrant:
        access = self._tokens.issue(user=turn.principal.id, session=session_id, door=door)
        return TokenGrant(access_token=access, refresh_token=refresh, expires_in=self._tokens.life)

    async def _family(self, refresh_token: str) -> UUID:
        """The session that a refresh token belongs to; the token names no tenant, so the system's role looks."""
        try:
            found: UUID | None = await self._connections.system.fetchval(
                "SELECT session_id FROM identity.refresh_token WHERE digest = $1", digest(refresh_token)
            )
        except LOST as error:
            raise StateUnavailable() from error
        if found is None:
            raise InvalidGrant()
        return found


def origin_artifact(client: Client) -> Artifact:
    """Address and user agent, which are personal and so stand in no event."""
    return json_artifact({"ipAddress": client.address, "userAgent": client.agent[:AGENT_LENGTH]})


async def _end(work: Work, turn: Turn, session_id: UUID) -> None:
    await work.session.execute(
        text("UPDATE identity.session SET revoked_at = now() WHERE tenant = :tenant AND id = :id"),
        {"tenant": turn.tenant, "id": session_id},
    )
    await announce(work.session, turn.principal.id)


def _session(row: SessionRow) -> Session:
    return Session(
        id=row.id,
        kind=row.kind,  # type: ignore[arg-type] # the table's CHECK says so
        agent=row.agent,
        created_at=row.created_at,
        seen_at=row.seen_at,
        expires_at=row.expires_at,
    )
