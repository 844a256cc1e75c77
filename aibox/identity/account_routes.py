"""One's own account over HTTP: fresh sign-in, password, second factors, devices and approvals."""

from typing import Any
from uuid import UUID

from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from aibox.core.turn import Turn
from aibox.identity import Account, Enrolment, Factors, Identity
from aibox.identity.challenges import PAIRING_SECONDS
from aibox.identity.routes import FRESH, NO_STORE, PUBLIC, SIGNED_IN, client_of, granted
from aibox.identity.schemas import (
    Approvals,
    ApproveBody,
    CodeBody,
    Devices,
    PairBody,
    Pairing,
    PasskeyBody,
    PasswordBody,
    RecoveryCodes,
    StepUpBody,
)


@post("/v1/auth/step-up/options", opt=SIGNED_IN, status_code=HTTP_200_OK)
async def step_up_options(account: NamedDependency[Account], turn: NamedDependency[Turn]) -> Response[dict[str, Any]]:
    """Options for `navigator.credentials.get`, to confirm by a passkey that it is you."""
    return Response(await account.step_up_options(turn), headers=NO_STORE)


@post("/v1/auth/step-up", opt=SIGNED_IN, status_code=HTTP_204_NO_CONTENT)
async def step_up(
    data: JSONBody[StepUpBody],
    request: Request[Any, Any, Any],
    account: NamedDependency[Account],
    turn: NamedDependency[Turn],
) -> None:
    """Confirm that it is you, for what asks for a sign-in of the last ten minutes."""
    await account.step_up(
        turn,
        method=data.method,
        password=data.password,
        code=data.code,
        assertion=data.assertion,
        client=client_of(request),
    )


@post("/v1/auth/password", opt=SIGNED_IN, status_code=HTTP_200_OK)
async def change_password(
    data: JSONBody[PasswordBody],
    request: Request[Any, Any, Any],
    account: NamedDependency[Account],
    identity: NamedDependency[Identity],
    turn: NamedDependency[Turn],
) -> Response[Any]:
    """Change one's own password: all sessions end, and the answer opens a new one."""
    browser = identity.is_own_page(list(request.scope["headers"]))
    return granted(
        await account.change_password(
            turn, current=data.current, new=data.new, client=client_of(request), browser=browser
        )
    )


@get("/v1/auth/2fa", opt=SIGNED_IN)
async def factors(account: NamedDependency[Account], turn: NamedDependency[Turn]) -> Factors:
    """One's own second factors."""
    return await account.factors(turn)


@post("/v1/auth/2fa/totp", opt=FRESH)
async def begin_totp(account: NamedDependency[Account], turn: NamedDependency[Turn]) -> Response[Enrolment]:
    """A new secret for an authenticator app; it counts once a code of it was confirmed."""
    return Response(await account.begin_totp(turn), headers=NO_STORE)


@post("/v1/auth/2fa/totp/confirm", opt=FRESH, status_code=HTTP_200_OK)
async def confirm_totp(
    data: JSONBody[CodeBody], account: NamedDependency[Account], turn: NamedDependency[Turn]
) -> Response[RecoveryCodes]:
    """Enrol the app by its first code."""
    return Response(RecoveryCodes(await account.confirm_totp(turn, data.code)), headers=NO_STORE)


@delete("/v1/auth/2fa/totp", opt=FRESH)
async def remove_totp(account: NamedDependency[Account], turn: NamedDependency[Turn]) -> None:
    """Remove the authenticator app."""
    await account.remove_totp(turn)


@post("/v1/auth/2fa/recovery-codes", opt=FRESH)
async def new_recovery_codes(account: NamedDependency[Account], turn: NamedDependency[Turn]) -> Response[RecoveryCodes]:
    """Ten new recovery codes; earlier ones are void."""
    return Response(RecoveryCodes(await account.new_recovery_codes(turn)), headers=NO_STORE)


@post("/v1/auth/2fa/passkeys/options", opt=FRESH, status_code=HTTP_200_OK)
async def passkey_options(account: NamedDependency[Account], turn: NamedDependency[Turn]) -> Response[dict[str, Any]]:
    """Options for `navigator.credentials.create`."""
    return Response(await account.passkey_options(turn), headers=NO_STORE)


@post("/v1/auth/2fa/passkeys", opt=FRESH)
async def add_passkey(
    data: JSONBody[PasskeyBody], account: NamedDependency[Account], turn: NamedDependency[Turn]
) -> Response[RecoveryCodes]:
    """Enrol a passkey."""
    made = await account.add_passkey(turn, name=data.name, credential=data.credential)
    return Response(RecoveryCodes(made), headers=NO_STORE)


@delete("/v1/auth/2fa/passkeys/{passkey_id:str}", opt=FRESH)
async def remove_passkey(
    passkey_id: FromPath[str], account: NamedDependency[Account], turn: NamedDependency[Turn]
) -> None:
    """Remove a passkey."""
    await account.remove_passkey(turn, passkey_id)


@get("/v1/auth/devices", opt=SIGNED_IN)
async def devices(account: NamedDependency[Account], turn: NamedDependency[Turn]) -> Devices:
    """One's own paired devices."""
    return Devices(await account.devices(turn))


@delete("/v1/auth/devices/{device_id:uuid}", opt=SIGNED_IN)
async def revoke_device(
    device_id: FromPath[UUID], account: NamedDependency[Account], turn: NamedDependency[Turn]
) -> None:
    """Unpair a device and end its sessions."""
    await account.revoke_device(turn, device_id)


@post("/v1/auth/pair/start", opt=FRESH, status_code=HTTP_200_OK)
async def start_pairing(
    request: Request[Any, Any, Any], account: NamedDependency[Account], turn: NamedDependency[Turn]
) -> Response[Pairing]:
    """A code to type or scan on a new device, once within ten minutes."""
    code = await account.start_pairing(turn)
    page = f"{request.url.scheme}://{request.headers['host']}/pair#code={code}"
    return Response(Pairing(code=code, qr=page, expires_in=PAIRING_SECONDS), headers=NO_STORE)


@post("/v1/auth/pair/complete", opt=PUBLIC, status_code=HTTP_200_OK)
async def complete_pairing(
    data: JSONBody[PairBody], request: Request[Any, Any, Any], account: NamedDependency[Account]
) -> Response[Any]:
    """On the new device: its name and public key for the code."""
    return granted(
        await account.pair(code=data.code, name=data.device_name, public_key=data.public_key, client=client_of(request))
    )


@get("/v1/auth/challenges", opt=SIGNED_IN)
async def approvals(account: NamedDependency[Account], turn: NamedDependency[Turn]) -> Approvals:
    """The sign-ins that wait for one's answer on a paired device."""
    return Approvals(await account.approvals(turn))


@post("/v1/auth/challenges/{challenge_id:str}/approve", opt=SIGNED_IN, status_code=HTTP_204_NO_CONTENT)
async def approve(
    challenge_id: FromPath[str],
    data: JSONBody[ApproveBody],
    account: NamedDependency[Account],
    turn: NamedDependency[Turn],
) -> None:
    """Approve a sign-in by the number that it shows."""
    await account.approve(turn, challenge_id, number=data.number, signature=data.signature)


@post("/v1/auth/challenges/{challenge_id:str}/deny", opt=SIGNED_IN, status_code=HTTP_204_NO_CONTENT)
async def deny(challenge_id: FromPath[str], account: NamedDependency[Account], turn: NamedDependency[Turn]) -> None:
    """Refuse a sign-in."""
    await account.deny(turn, challenge_id)


ROUTES = [
    step_up_options,
    step_up,
    change_password,
    factors,
    begin_totp,
    confirm_totp,
    remove_totp,
    new_recovery_codes,
    passkey_options,
    add_passkey,
    remove_passkey,
    devices,
    revoke_device,
    start_pairing,
    complete_pairing,
    approvals,
    approve,
    deny,
]
