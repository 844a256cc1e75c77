"""The compatible entry at the root: Windows accounts by NTLM, and passwords."""

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from aibox.core.turn import Turn
from aibox.identity import Identity, InvalidRequest, WindowsSignIn
from aibox.identity.routes import OR_PENDING, PUBLIC, client_of, granted
from aibox.identity.schemas import LoginBody


@post("/egauth/ntlm", opt=PUBLIC, status_code=HTTP_200_OK, responses=OR_PENDING)
async def ntlm(
    request: Request[Any, Any, Any],
    identity: NamedDependency[Identity],
    windows: NamedDependency[WindowsSignIn],
    turn: NamedDependency[Turn],
) -> Response[Any]:
    """Sign in with a Windows account: two requests on one connection, each with `Authorization: NTLM …`."""
    browser = identity.is_own_page(list(request.scope["headers"]))
    return granted(
        await windows.ntlm(
            turn, _message(request), client=client_of(request), connection=_connection(request), browser=browser
        )
    )


@post("/egauth/login", opt=PUBLIC, status_code=HTTP_200_OK, responses=OR_PENDING)
async def login(
    data: JSONBody[LoginBody],
    request: Request[Any, Any, Any],
    identity: NamedDependency[Identity],
    windows: NamedDependency[WindowsSignIn],
    turn: NamedDependency[Turn],
) -> Response[Any]:
    """Sign in by password: a Windows account where NTLM is on, else a local one."""
    browser = identity.is_own_page(list(request.scope["headers"]))
    return granted(
        await windows.password(
            turn,
            username=data.username,
            password=data.password,
            tenant=data.tenant,
            client=client_of(request),
            browser=browser,
        )
    )


ROUTES = [ntlm, login]


def _message(request: Request[Any, Any, Any]) -> str | None:
    """The NTLM message of a request; None without one. Raises `InvalidRequest` for several, or another scheme."""
    sent = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if not sent:
        return None
    scheme, _, message = sent[0].decode("latin-1").strip().partition(" ")
    if len(sent) > 1 or scheme.upper() != "NTLM":
        raise InvalidRequest("Send one Authorization header, with the scheme NTLM.")
    return message.strip()


def _connection(request: Request[Any, Any, Any]) -> str:
    """Which TCP connection this is: address and port, or behind a listed proxy the address of who is behind it."""
    peer = request.scope.get("client")
    return "local" if peer is None else f"{peer[0]} {peer[1]}"
