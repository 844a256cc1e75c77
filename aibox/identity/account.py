"""What people do with their own account: second factors, devices, approvals, password, and proving it is them again."""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from sqlalchemy import select, text

from aibox.core.db import Database
from aibox.core.errors import NotFound, ValidationFailed
from aibox.core.eventlog import EventLog
from aibox.core.turn import Turn, begin, system_turn, uuid7
from aibox.identity import (
    ChallengeInvalid,
    Client,
    Device,
    DevicePaired,
    DeviceRevoked,
    Enrolment,
    Factors,
    Grant,
    InvalidCredentials,
    InvalidGrant,
    InvalidRequest,
    Method,
    PushAnswered,
    PushRequest,
    TokenGrant,
    User,
)
from aibox.identity.accounts import Accounts, actor, announce
from aibox.identity.challenges import Nonces, Pairings, Pushes, SignIns
from aibox.identity.factors import SecondFactors
from aibox.identity.models import DeviceRow
from aibox.identity.sessions import Opening, Sessions, origin_artifact
from aibox.identity.signin import SignIn, principal_of
from aibox.identity.standing import Standing
from aibox.identity.throttle import Throttle

PUSH_DOMAIN = b"aibox-push/1\n"
"""What a device signs begins with this, then the request's id, a line feed, and the number."""

_AMR: dict[str, str] = {"totp": "otp", "webauthn": "hwk", "recovery": "kba", "password": "pwd"}


class AccountService:
    """The `Account` of the turn's person."""

    def __init__(
        self,
        *,
        db: Database,
        log: EventLog,
        accounts: Accounts,
        sessions: Sessions,
        standing: Standing,
        signin: SignIn,
        throttle: Throttle,
        factors: SecondFactors,
        waiting: SignIns,
        pushes: Pushes,
        pairings: Pairings,
        nonces: Nonces,
    ) -> None:
        self._db = db
        self._log = log
        self._accounts = accounts
        self._sessions = sessions
        self._standing = standing
        self._signin = signin
        self._throttle = throttle
        self._factors = factors
        self._waiting = waiting
        self._pushes = pushes
        self._pairings = pairings
        self._nonces = nonces

    # Proving it again

    async def step_up_options(self, turn: Turn) -> dict[str, Any]:
        challenge, options = await self._factors.request(turn, await self._me(turn))
        await self._nonces.keep("step-up", _session(turn), challenge)
        return options

    async def step_up(
        self,
        turn: Turn,
        *,
        method: Method | None,
        password: str | None,
        code: str | None,
        assertion: Mapping[str, Any] | None,
        client: Client,
    ) -> None:
        session, user = UUID(_session(turn)), await self._me(turn)
        enrolled = await self._factors.usable(turn, user.id)
        if method is None or method == "push":
            if enrolled:
                raise InvalidRequest("Use one of your second factors.")  # a password alone proves less than the sign-in
            await self._check_password(turn, user, password or "", client)
            await self._sessions.step_up(turn, session, method="pwd")
            return
        if method not in enrolled:
            raise ChallengeInvalid()
        await self._waiting.attempt_code(user.tenant, user.id)
        match method:
            case "totp":
                await self._factors.check_totp(turn, user, code or "")
            case "recovery":
                await self._factors.check_recovery(turn, user, code or "")
            case "webauthn":
                challenge = await self._nonces.take("step-up", str(session))
                await self._factors.check_passkey(turn, user, assertion=dict(assertion or {}), challenge=challenge)
        await self._sessions.step_up(turn, session, method=_AMR[method])

    async def change_password(self, turn: Turn, *, current: str, new: str, client: Client, browser: bool) -> Grant:
        user = await self._me(turn)
        await self._check_password(turn, user, current, client)
        await self._accounts.set_password(turn, user.id, new)
        opening = Opening(method="password", client=client, amr=turn.principal.amr or ("pwd",))
        return await self._signin.open(user, opening, browser=browser)

    # Second factors

    async def factors(self, turn: Turn) -> Factors:
        return await self._factors.of(turn, await self._me(turn))

    async def begin_totp(self, turn: Turn) -> Enrolment:
        return await self._factors.begin_totp(turn, await self._me(turn))

    async def confirm_totp(self, turn: Turn, code: str) -> list[str]:
        user = await self._me(turn)
        await self._waiting.attempt_code(user.tenant, user.id)
        return await self._factors.confirm_totp(turn, user, code)

    async def remove_totp(self, turn: Turn) -> None:
        await self._factors.remove_totp(turn, await self._me(turn))

    async def new_recovery_codes(self, turn: Turn) -> list[str]:
        return await self._factors.new_recovery_codes(turn, await self._me(turn))

    async def passkey_options(self, turn: Turn) -> dict[str, Any]:
        challenge, options = await self._factors.registration(turn, await self._me(turn))
        await self._nonces.keep("passkey", _session(turn), challenge)
        return options

    async def add_passkey(self, turn: Turn, *, name: str, credential: Mapping[str, Any]) -> list[str]:
        challenge = await self._nonces.take("passkey", _session(turn))
        user = await self._me(turn)
        return await self._factors.register(turn, user, name=name, credential=dict(credential), challenge=challenge)

    async def remove_passkey(self, turn: Turn, passkey_id: str) -> None:
        await self._factors.remove_passkey(turn, await self._me(turn), passkey_id)

    # Devices

    async def start_pairing(self, turn: Turn) -> str:
        return await self._pairings.begin(turn.tenant, turn.principal.id)

    async def pair(self, *, code: str, name: str, public_key: str, client: Client) -> TokenGrant:
        if not 1 <= len(name.strip()) <= 100 or not name.isprintable():
            raise ValidationFailed(fields=[{"field": "device_name", "error": "Write a name of 1 to 100 characters."}])
        key = _device_key(public_key)
        tenant, user_id = await self._pairings.redeem(code, client)
        user = await self._accounts.one(system_turn(tenant), user_id)
        if user.status != "active":
            raise InvalidGrant()
        turn = begin(principal_of(user))
        device_id = uuid7()
        async with self._db.work(turn) as work:
            work.session.add(
                DeviceRow(
                    tenant=tenant,
                    id=device_id,
                    user_id=user_id,
                    name=name.strip(),
                    public_key=key,
                    created_at=datetime.now(UTC),
                    revoked_at=None,
                )
            )
            origin = origin_artifact(client)
            work.record(DevicePaired(actor=actor(turn), device=str(device_id), artifacts=(origin,)))
        await self._log.end(turn, "sealed")
        opening = Opening(method="pairing", client=client, amr=("swk",), device=device_id)
        grant = await self._signin.open(user, opening, browser=False)
        assert isinstance(grant, TokenGrant)
        return grant

    async def devices(self, turn: Turn) -> list[Device]:
        query = (
            select(DeviceRow)
            .where(
                DeviceRow.tenant == turn.tenant,
                DeviceRow.user_id == turn.principal.id,
                DeviceRow.revoked_at.is_(None),
            )
            .order_by(DeviceRow.created_at.desc())
            .limit(200)
        )
        async with self._db.read(turn) as session:
            rows = await session.scalars(query)
            return [Device(id=row.id, name=row.name, created_at=row.created_at) for row in rows]

    async def revoke_device(self, turn: Turn, device_id: UUID) -> None:
        async with self._db.work(turn) as work:
            row = await work.session.get(DeviceRow, (turn.tenant, device_id))
            if row is None or row.user_id != turn.principal.id or row.revoked_at is not None:
                raise NotFound()
            row.revoked_at = datetime.now(UTC)
            await work.session.execute(
                text(
                    "UPDATE identity.session SET revoked_at = now()"
                    " WHERE tenant = :tenant AND device = :device AND revoked_at IS NULL"
                ),
                {"tenant": turn.tenant, "device": device_id},
            )
            work.record(DeviceRevoked(actor=actor(turn), device=str(device_id)))
            await announce(work.session, turn.principal.id)
        self._standing.forget(turn.principal.id)

    # Approvals

    async def approvals(self, turn: Turn) -> list[PushRequest]:
        pending = await self._pushes.pending(turn.tenant, turn.principal.id)
        return [] if pending is None else [pending]

    async def approve(self, turn: Turn, request_id: str, *, number: str, signature: str) -> None:
        device, key = await self._device(turn)
        push = await self._pushes.open(turn.tenant, turn.principal.id, request_id)
        signed = PUSH_DOMAIN + f"{push.id}\n{push.number}".encode()
        is_right = number == push.number and _is_signature(key, signature, signed)
        await self._pushes.answer(push, "approved" if is_right else "wrong")
        result = "approved" if is_right else "wrong"
        await self._log.log(turn, PushAnswered(actor=actor(turn), device=str(device), result=result))
        if not is_right:
            raise ChallengeInvalid("The number or the device's signature was wrong; begin the sign-in again.")

    async def deny(self, turn: Turn, request_id: str) -> None:
        device, _ = await self._device(turn)
        push = await self._pushes.open(turn.tenant, turn.principal.id, request_id)
        await self._pushes.answer(push, "denied")
        await self._log.log(turn, PushAnswered(actor=actor(turn), device=str(device), result="denied"))

    async def _device(self, turn: Turn) -> tuple[UUID, bytes]:
        """The paired device that speaks, and its key. Only a device answers: raises `ChallengeInvalid`."""
        device_id = await self._sessions.device_of(turn)
        if device_id is None:
            raise ChallengeInvalid("Only a paired device can answer.")
        async with self._db.read(turn) as session:
            row = await session.get(DeviceRow, (turn.tenant, device_id))
        if row is None or row.revoked_at is not None:
            raise ChallengeInvalid("Only a paired device can answer.")
        return device_id, row.public_key

    async def _me(self, turn: Turn) -> User:
        return await self._accounts.one(turn, turn.principal.id)

    async def _check_password(self, turn: Turn, user: User, password: str, client: Client) -> None:
        if user.issuer:
            raise InvalidRequest("Your password is your sign-in service's; sign in there again.")
        await self._throttle.attempt(user.handle, client.address)
        if await self._accounts.verified(turn, user.handle, password) is None:
            raise InvalidCredentials("The password is wrong.")
        await self._throttle.succeeded(user.handle, client.address)


def _session(turn: Turn) -> str:
    if turn.principal.session_id is None:
        raise InvalidRequest("Sign in for this: a key or another service's token has no session here.")
    return turn.principal.session_id


def _device_key(text: str) -> bytes:
    """The public key of a device: 32 bytes of Ed25519, or 65 of a P-256 point, as WebCrypto exports them."""
    try:
        key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        if len(key) == 32:
            Ed25519PublicKey.from_public_bytes(key)
            return key
        if len(key) == 65:
            EllipticCurvePublicKey.from_encoded_point(SECP256R1(), key)
            return key
    except (ValueError, binascii.Error):
        pass
    raise ValidationFailed(
        fields=[{"field": "public_key", "error": "Send an Ed25519 key or a P-256 point, base64url."}]
    )


def _is_signature(key: bytes, signature: str, message: bytes) -> bool:
    try:
        tag = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
        if len(key) == 32:
            Ed25519PublicKey.from_public_bytes(key).verify(tag, message)
        elif len(tag) == 64:
            r, s = int.from_bytes(tag[:32]), int.from_bytes(tag[32:])
            point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), key)
            point.verify(encode_dss_signature(r, s), message, ECDSA(SHA256()))
        else:
            return False
    except (ValueError, binascii.Error, InvalidSignature):
        return False
    return True
