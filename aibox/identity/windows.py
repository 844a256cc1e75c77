"""Signing in with a Windows account: NTLMv2 over TLS with channel binding, and the compatible entry by password.

AIBox ends no TLS itself, so what a client's channel must be bound to is the certificate of the server in front, named
by `auth.ntlm.certificate` (docs/decisions/2026-11-ntlm-binding.md).
"""

import base64
import binascii
import secrets
import time
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from aibox.core.errors import AIBoxError, BootRefused
from aibox.core.turn import Turn
from aibox.identity import (
    Client,
    Grant,
    InvalidCredentials,
    Issuer,
    MethodDisabled,
    MissingToken,
    NtlmChallenge,
    NtlmRefused,
    NtlmSettings,
    Pending,
    Settings,
    TenancySettings,
    ntlm,
)
from aibox.identity.challenges import Handshake, Handshakes
from aibox.identity.federation import Federation
from aibox.identity.issuers import WINDOWS, Vouched
from aibox.identity.ntlm import MAX_MESSAGE, Authenticate, NtlmError
from aibox.identity.sessions import Opening
from aibox.identity.signin import SignIn
from aibox.identity.throttle import Throttle
from aibox.identity.winbind import Proven, Verifier

log = structlog.get_logger("aibox.identity.windows")

SCHEME = "NTLM"


class WindowsAccounts:
    """The `WindowsSignIn`. Without `verifier` NTLM is off, and its entry takes passwords of local accounts."""

    def __init__(
        self,
        settings: Settings,
        tenancy: TenancySettings,
        *,
        signin: SignIn,
        federation: Federation,
        throttle: Throttle,
        handshakes: Handshakes,
        verifier: Verifier | None,
        base_url: str,
    ) -> None:
        """Raises `BootRefused` (`boot_login_method`, B10) for NTLM that could be relayed."""
        self._certificates = None if verifier is None else Certificates(_checked(settings.ntlm, base_url))
        self._verifier = verifier
        self._tenancy = tenancy
        self._signin = signin
        self._federation = federation
        self._throttle = throttle
        self._handshakes = handshakes
        self._url = urlsplit(base_url)
        self._row = Issuer(iss=WINDOWS, jwks_url="", alias="windows", default_role=settings.default_role)

    def is_on(self) -> bool:
        return self._verifier is not None

    async def ntlm(
        self, turn: Turn, message: str | None, *, client: Client, connection: str, browser: bool
    ) -> Grant | Pending:
        if self._verifier is None:
            raise MethodDisabled()
        if message is None:
            raise MissingToken("Sign in with NTLM.", headers=_offer())
        refused = NtlmRefused(headers=_offer())
        try:
            sent = _decoded(message)
            if ntlm.kind_of(sent) == 1:
                raise await self._challenge(self._verifier, sent, client, connection)
            answer = ntlm.authenticate(sent)
        except NtlmError as why:
            log.info("identity.ntlm_unread", reason=str(why))
            raise refused from None
        account = f"{answer.domain}\\{answer.account}"
        await self._throttle.attempt(account, client.address)
        try:
            proven = await self._proven(self._verifier, answer, connection)
        except NtlmError as why:
            log.warning("identity.ntlm_refused", reason=str(why))  # the client is told none of it
            await self._signin.failed(turn, refused, client)
            raise refused from None
        await self._throttle.succeeded(account, client.address)
        return await self._enter(turn, proven, answer.domain, answer.account, "ntlm", "wia", client, browser=browser)

    async def password(
        self, turn: Turn, *, username: str, password: str, tenant: str | None, client: Client, browser: bool
    ) -> Grant | Pending:
        if self._verifier is None:
            return await self._signin.by_password(
                turn,
                username=username,
                password=password,
                tenant=tenant,
                client=client,
                browser=browser,
                door="egauth",
            )
        await self._throttle.attempt(username, client.address)
        domain, _, account = username.rpartition("\\")
        domain = domain or (await self._verifier.target()).domain
        proven = None
        if ntlm.is_person(domain, account) and "\x00" not in password:
            proven = await self._verifier.password(domain, account, password)
        if proven is None:
            await self._signin.failed(turn, InvalidCredentials(), client)
            raise InvalidCredentials()
        await self._throttle.succeeded(username, client.address)
        return await self._enter(turn, proven, domain, account, "password", "pwd", client, browser=browser)

    async def _challenge(self, verifier: Verifier, first: bytes, client: Client, connection: str) -> NtlmChallenge:
        flags = ntlm.offered(first)
        handle, nonce = secrets.token_hex(16), secrets.token_bytes(8)
        second = ntlm.challenge(await verifier.target(), flags, nonce, handle=handle, now=time.time())
        handshake = Handshake(nonce=nonce, first=first, second=second, connection=connection)
        await self._handshakes.keep(handle, handshake, address=client.address)
        return NtlmChallenge(headers=_offer(second))

    async def _proven(self, verifier: Verifier, answer: Authenticate, connection: str) -> Proven:
        """Whose type 3 message this is. Raises `NtlmError` for whatever could make it another's (L07)."""
        assert self._certificates is not None
        given = await self._handshakes.take(ntlm.handle_of(answer))
        if given is None:
            raise NtlmError("no challenge of ours that is still open")
        if given.connection != connection or not ntlm.repeats(answer, ntlm.pairs_of(given.second)):
            raise NtlmError("a challenge of another connection, or an altered one")
        if not ntlm.is_bound(answer, self._certificates.bindings()):
            raise NtlmError("no channel binding, or another's")
        if not ntlm.is_for(answer, self._url.hostname or "", self._url.port or 443):
            raise NtlmError("another target")
        proven = await verifier.response(answer.domain, answer.account, challenge=given.nonce, response=answer.response)
        if proven is None:
            raise NtlmError("a wrong password or an unknown account")
        if not ntlm.is_whole(answer, given.first, given.second, proven.key):
            raise NtlmError("messages that were altered on the way")
        return proven

    async def _enter(
        self,
        turn: Turn,
        proven: Proven,
        domain: str,
        account: str,
        method: str,
        amr: str,
        client: Client,
        *,
        browser: bool,
    ) -> Grant | Pending:
        now = int(time.time())
        vouched = Vouched(
            iss=WINDOWS,
            subject=proven.sid,
            tenant=self._tenancy.single_tenant_id,
            email="",
            name=f"{domain}\\{account}",
            handle=account,
            row=self._row,
            claims={},
            sid="",
            issued=now,
            expires=now,
            signed_in=now,
            amr=(amr,),
        )
        try:
            user = await self._federation.user(vouched)
            if user.status != "active":
                raise InvalidCredentials("This account is not active.")
        except AIBoxError as error:
            await self._signin.failed(turn, error, client)
            raise
        opening = Opening(method=method, client=client, amr=(amr,), issuer=WINDOWS, door="egauth")
        return await self._signin.proceed(user, opening, browser=browser)


class Certificates:
    """The bindings of the certificates in a PEM file, read again when the file has changed."""

    def __init__(self, path: Path) -> None:
        """Raises `BootRefused` for a file that holds none."""
        self._path = path
        try:
            self._seen = self._stamp()
            self._bindings = ntlm.bindings_of(path.read_bytes())
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise BootRefused(
                "boot_login_method", f"Set AIBOX_AUTH_NTLM_CERTIFICATE to a PEM file: {path} does not do ({reason})."
            ) from None

    def bindings(self) -> tuple[bytes, ...]:
        """Those of now. A file that cannot be read while it is being replaced leaves those before."""
        try:
            if (stamp := self._stamp()) != self._seen:
                self._bindings = ntlm.bindings_of(self._path.read_bytes())
                self._seen = stamp
        except (OSError, ValueError) as error:
            log.warning("identity.ntlm_certificate_unread", error=type(error).__name__)
        return self._bindings

    def _stamp(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size


def _checked(settings: NtlmSettings, base_url: str) -> Path:
    """The certificate's path. Raises `BootRefused` for NTLM without a channel binding."""
    if settings.channel_binding != "required":
        raise BootRefused(
            "boot_login_method",
            "Set AIBOX_AUTH_NTLM_CHANNEL_BINDING=required: without it a Windows sign-in could be relayed.",
        )
    if urlsplit(base_url).scheme != "https":
        raise BootRefused("boot_login_method", "Set AIBOX_PUBLIC_URL to an https:// address: NTLM is bound to TLS.")
    if not settings.certificate:
        raise BootRefused(
            "boot_login_method",
            "Set AIBOX_AUTH_NTLM_CERTIFICATE: NTLM is bound to the certificate of the TLS in front.",
        )
    return Path(settings.certificate)


def _decoded(message: str) -> bytes:
    if len(message) > MAX_MESSAGE * 4 // 3 + 4:
        raise NtlmError("a message that is too long")
    try:
        return base64.b64decode(message, validate=True)
    except (binascii.Error, ValueError):
        raise NtlmError("a message that is not base64") from None


def _offer(message: bytes | None = None) -> dict[str, str]:
    """NTLM and nothing weaker to fall back to."""
    return {"WWW-Authenticate": SCHEME if message is None else f"{SCHEME} {base64.b64encode(message).decode()}"}
