"""A person's second factors: authenticator app, passkeys, and recovery codes."""

import base64
import binascii
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.connections import LOST, Connections
from aibox.core.db import Database, Work
from aibox.core.errors import Conflict, NotFound, StateUnavailable, ValidationFailed
from aibox.core.keys import DataKeys
from aibox.core.turn import Turn
from aibox.identity import (
    ChallengeInvalid,
    Enrolment,
    FactorEnrolled,
    FactorRemoved,
    Factors,
    FactorsReset,
    Method,
    MfaSettings,
    Passkey,
    User,
    WebauthnFailed,
    ceremonies,
)
from aibox.identity import totp as codes
from aibox.identity.accounts import actor, reach
from aibox.identity.models import PasskeyRow, RecoveryCodeRow, TotpRow
from aibox.identity.secrets import digest

RECOVERY_CODES = 10
MAX_PASSKEYS = 20
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without what reads like another
_FIELD = "totp"


class SecondFactors:
    """Enrols, checks and removes factors. `turn` is a turn of the person, or of the system in their tenant."""

    def __init__(
        self,
        db: Database,
        keys: DataKeys,
        policy: MfaSettings,
        base_url: str,
        connections: Connections,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._db = db
        self._connections = connections
        self._keys = keys
        self._policy = policy.policy
        self._origin = base_url
        self._rp_id = urlsplit(base_url).hostname or "localhost"
        self._clock = clock

    def required(self, user: User) -> bool:
        """Whether the policy asks this person for a second factor, enrolled or not. An admin is who administers."""
        return self._policy == "required" or (self._policy == "admins" and bool(user.permissions.admin))

    async def usable(self, turn: Turn, user_id: UUID) -> tuple[Method, ...]:
        """What the person can show at a sign-in; nothing where second factors are off."""
        if self._policy == "off":
            return ()
        async with self._db.read(turn) as session:
            found = await _enrolled(session, turn, user_id)
        methods: list[Method] = []
        if found.totp:
            methods.append("totp")
        if found.passkeys:
            methods.append("webauthn")
        if methods and found.recovery_codes_left:
            methods.append("recovery")
        return tuple(methods)

    async def of(self, turn: Turn, user: User) -> Factors:
        """What the person has enrolled."""
        async with self._db.read(turn) as session:
            found = await _enrolled(session, turn, user.id)
        return Factors(
            policy=self._policy,
            totp=found.totp,
            passkeys=found.passkeys,
            recovery_codes_left=found.recovery_codes_left,
            required=self.required(user),
        )

    # Authenticator app

    async def begin_totp(self, turn: Turn, user: User) -> Enrolment:
        """A new secret, which counts once a code of it was shown. Raises `Conflict` while one is enrolled."""
        secret = codes.new_secret()
        key = await self._keys.of(user.tenant, user.pseudonym)
        sealed = key.seal(secret, owner=str(user.id), field=_FIELD)
        async with self._db.work(turn) as work:
            row = await work.session.get(TotpRow, (user.tenant, user.id), with_for_update=True)
            if row is not None and row.confirmed_at is not None:
                raise Conflict("An authenticator app is enrolled already; remove it first.")
            await work.session.merge(
                TotpRow(tenant=user.tenant, user_id=user.id, sealed=sealed, confirmed_at=None, last_step=0)
            )
        return Enrolment(secret=codes.base32(secret), uri=codes.address(secret, account=user.email or user.handle))

    async def confirm_totp(self, turn: Turn, user: User, code: str) -> list[str]:
        """Enrol the app by its first code; the recovery codes, when there were none. Raises `ChallengeInvalid`."""
        async with self._db.work(turn) as work:
            row = await work.session.get(TotpRow, (user.tenant, user.id), with_for_update=True)
            if row is None or row.confirmed_at is not None:
                raise ChallengeInvalid("Begin again: there is no app waiting to be confirmed.")
            await self._spend(row, user, code)
            row.confirmed_at = datetime.now(UTC)
            work.record(FactorEnrolled(actor=actor(turn), method="totp"))
            return await _first_codes(work, turn, user)

    async def check_totp(self, turn: Turn, user: User, code: str) -> None:
        """Spend a code. Raises `ChallengeInvalid`."""
        async with self._db.work(turn) as work:
            row = await work.session.get(TotpRow, (user.tenant, user.id), with_for_update=True)
            if row is None or row.confirmed_at is None:
                raise ChallengeInvalid()
            await self._spend(row, user, code)

    async def _spend(self, row: TotpRow, user: User, code: str) -> None:
        key = await self._keys.named(user.tenant, row.sealed.split(":")[1])
        if key is None:
            raise ChallengeInvalid()  # the person's key was destroyed, and with it the secret
        secret = key.open(row.sealed, owner=str(user.id), field=_FIELD)
        step = codes.matching_step(secret, code.strip(), now=self._clock(), after=row.last_step)
        if step is None:
            raise ChallengeInvalid()
        row.last_step = step

    async def remove_totp(self, turn: Turn, user: User) -> None:
        async with self._db.work(turn) as work:
            row = await work.session.get(TotpRow, (user.tenant, user.id))
            if row is None:
                raise NotFound()
            await work.session.delete(row)
            work.record(FactorRemoved(actor=actor(turn), method="totp"))

    # Recovery codes

    async def new_recovery_codes(self, turn: Turn, user: User) -> list[str]:
        """Ten new codes, shown this once; earlier ones are void. Raises `Conflict` without another factor."""
        async with self._db.work(turn) as work:
            found = await _enrolled(work.session, turn, user.id)
            if not found.totp and not found.passkeys:
                raise Conflict("Enrol an authenticator app or a passkey first.")
            return await _replace_codes(work, turn, user)

    async def check_recovery(self, turn: Turn, user: User, code: str) -> None:
        """Spend a recovery code. Raises `ChallengeInvalid`."""
        folded = code.strip().upper().replace(" ", "").replace("-", "")
        async with self._db.work(turn) as work:
            row = await work.session.get(RecoveryCodeRow, (user.tenant, user.id, digest(folded)), with_for_update=True)
            if row is None or row.used_at is not None:
                raise ChallengeInvalid()
            row.used_at = datetime.now(UTC)

    # Passkeys

    async def registration(self, turn: Turn, user: User) -> tuple[bytes, dict[str, Any]]:
        """(challenge, options for `navigator.credentials.create`)."""
        known = await self._passkey_ids(turn, user)
        if len(known) >= MAX_PASSKEYS:
            raise Conflict(f"There are {MAX_PASSKEYS} passkeys already; remove one first.")
        person = (user.id.bytes, user.email or user.handle, user.name)
        return ceremonies.registration(self._rp_id, person, known)

    async def register(
        self, turn: Turn, user: User, *, name: str, credential: dict[str, Any], challenge: bytes
    ) -> list[str]:
        """Enrol a passkey; the recovery codes, when there were none. Raises `WebauthnFailed`."""
        if not 1 <= len(name.strip()) <= 100 or not name.isprintable():
            raise ValidationFailed(fields=[{"field": "name", "error": "Write a name of 1 to 100 characters."}])
        verified = ceremonies.registered(self._rp_id, self._origin, credential, challenge)
        async with self._db.work(turn) as work:
            if await work.session.get(PasskeyRow, (user.tenant, verified.id)) is not None:
                raise Conflict("This passkey is enrolled already.")
            work.session.add(
                PasskeyRow(
                    tenant=user.tenant,
                    id=verified.id,
                    user_id=user.id,
                    name=name.strip(),
                    public_key=verified.public_key,
                    sign_count=verified.sign_count,
                    created_at=datetime.now(UTC),
                    used_at=None,
                )
            )
            work.record(FactorEnrolled(actor=actor(turn), method="passkey"))
            return await _first_codes(work, turn, user)

    async def request(self, turn: Turn, user: User) -> tuple[bytes, dict[str, Any]]:
        """(challenge, options for `navigator.credentials.get`)."""
        return ceremonies.request(self._rp_id, await self._passkey_ids(turn, user))

    def discoverable(self) -> tuple[bytes, dict[str, Any]]:
        """(challenge, options) for whoever has a passkey of this place: the passkey says whose it is."""
        return ceremonies.request(self._rp_id)

    async def owner(self, assertion: dict[str, Any]) -> tuple[UUID, UUID]:
        """(tenant, person) whom an unverified answer to `discoverable` names. Raises `WebauthnFailed`.

        Both the passkey's id and the person must fit: anyone may register another's id as their own elsewhere.
        """
        response = assertion.get("response")
        handle = response.get("userHandle") if isinstance(response, dict) else None
        user = _handle(handle)
        query = "SELECT tenant, user_id FROM identity.passkey WHERE id = $1 AND user_id = $2"
        try:
            row = await self._connections.system.fetchrow(query, _credential_id(assertion), user)
        except LOST as error:
            raise StateUnavailable() from error
        if row is None:
            raise WebauthnFailed()
        return row["tenant"], row["user_id"]

    async def check_passkey(self, turn: Turn, user: User, *, assertion: dict[str, Any], challenge: bytes) -> None:
        """Verify what a passkey of the person signed; its counter must not go back. Raises `WebauthnFailed`."""
        async with self._db.work(turn) as work:
            row = await work.session.get(PasskeyRow, (user.tenant, _credential_id(assertion)), with_for_update=True)
            if row is None or row.user_id != user.id:
                raise WebauthnFailed()
            row.sign_count = ceremonies.asserted(
                self._rp_id, self._origin, assertion, challenge, public_key=row.public_key, sign_count=row.sign_count
            )
            row.used_at = datetime.now(UTC)

    async def remove_passkey(self, turn: Turn, user: User, passkey_id: str) -> None:
        async with self._db.work(turn) as work:
            row = await work.session.get(PasskeyRow, (user.tenant, _unb64(passkey_id)))
            if row is None or row.user_id != user.id:
                raise NotFound()
            await work.session.delete(row)
            work.record(FactorRemoved(actor=actor(turn), method="passkey"))

    async def reset(self, turn: Turn, user_id: UUID) -> None:
        """Remove all factors of a person whom the caller manages."""
        async with self._db.work(turn) as work:
            person = await reach(work.session, turn, user_id)
            for kind in (TotpRow, PasskeyRow, RecoveryCodeRow):
                await work.session.execute(delete(kind).where(kind.tenant == turn.tenant, kind.user_id == user_id))
            work.record(FactorsReset(actor=actor(turn), target=person.pseudonym))

    async def _passkey_ids(self, turn: Turn, user: User) -> list[bytes]:
        query = select(PasskeyRow.id).where(PasskeyRow.tenant == user.tenant, PasskeyRow.user_id == user.id)
        async with self._db.read(turn) as session:
            return list(await session.scalars(query))


async def _enrolled(session: AsyncSession, turn: Turn, user_id: UUID) -> Factors:
    confirmed = await session.scalar(
        select(TotpRow.confirmed_at).where(TotpRow.tenant == turn.tenant, TotpRow.user_id == user_id)
    )
    passkeys = await session.scalars(
        select(PasskeyRow)
        .where(PasskeyRow.tenant == turn.tenant, PasskeyRow.user_id == user_id)
        .order_by(PasskeyRow.created_at)
    )
    left = await session.scalar(
        select(func.count())
        .select_from(RecoveryCodeRow)
        .where(
            RecoveryCodeRow.tenant == turn.tenant,
            RecoveryCodeRow.user_id == user_id,
            RecoveryCodeRow.used_at.is_(None),
        )
    )
    return Factors(
        policy="",
        totp=confirmed is not None,
        passkeys=tuple(
            Passkey(id=_b64(row.id), name=row.name, created_at=row.created_at, used_at=row.used_at) for row in passkeys
        ),
        recovery_codes_left=left or 0,
        required=False,
    )


async def _first_codes(work: Work, turn: Turn, user: User) -> list[str]:
    await work.session.flush()
    found = await _enrolled(work.session, turn, user.id)
    return [] if found.recovery_codes_left else await _replace_codes(work, turn, user)


async def _replace_codes(work: Work, turn: Turn, user: User) -> list[str]:
    """Eighty random bits each: not to be guessed, so a plain digest says nothing."""
    fresh = ["".join(secrets.choice(_ALPHABET) for _ in range(16)) for _ in range(RECOVERY_CODES)]
    await work.session.execute(
        delete(RecoveryCodeRow).where(RecoveryCodeRow.tenant == user.tenant, RecoveryCodeRow.user_id == user.id)
    )
    work.session.add_all(
        RecoveryCodeRow(tenant=user.tenant, user_id=user.id, digest=digest(code), used_at=None) for code in fresh
    )
    work.record(FactorEnrolled(actor=actor(turn), method="recovery"))
    return ["-".join(code[n : n + 4] for n in range(0, 16, 4)) for code in fresh]


def _credential_id(assertion: dict[str, Any]) -> bytes:
    raw = assertion.get("rawId", assertion.get("id"))
    if not isinstance(raw, str):
        raise WebauthnFailed()
    try:
        return _unb64(raw)
    except NotFound:
        raise WebauthnFailed() from None


def _handle(handle: object) -> UUID:
    try:
        return UUID(bytes=_unb64(handle) if isinstance(handle, str) else b"")
    except (NotFound, ValueError):
        raise WebauthnFailed() from None


def _unb64(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        raise NotFound() from None


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
