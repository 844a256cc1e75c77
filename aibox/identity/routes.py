"""Sign-in, sessions, keys and people over HTTP: decode, call, encode."""

from typing import Any
from uuid import UUID

from litestar import Request, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from aibox.core.turn import Turn
from aibox.identity import ANY_SCOPE, Client, Identity, TokenGrant, WebGrant
from aibox.identity.roles import permission_object
from aibox.identity.schemas import (
    Config,
    KeyBody,
    Keys,
    LoginBody,
    Me,
    NewKey,
    ProfileBody,
    RefreshBody,
    Sessions,
    SetupBody,
    SignedIn,
    UserBody,
    UserPatch,
    Users,
    UserView,
    key_view,
    person,
    session_view,
    user_view,
)

PUBLIC = {"policy": "public"}
SIGNED_IN = {"policy": "signed-in"}
ANY_CREDENTIAL = {"policy": "signed-in", "scope": ANY_SCOPE}
MANAGE_USERS = {"policy": "admin.manage_users", "scope": "admin"}

NO_STORE = {"Cache-Control": "no-store"}


@get("/v1/auth/config", opt=PUBLIC)
async def config(identity: NamedDependency[Identity]) -> Config:
    """What the sign-in page shows."""
    return Config(password_login_enabled=True, setup_required=await identity.setup_required())


@post("/v1/auth/setup", opt=PUBLIC, status_code=HTTP_200_OK)
async def setup(
    data: JSONBody[SetupBody],
    request: Request[Any, Any, Any],
    identity: NamedDependency[Identity],
    turn: NamedDependency[Turn],
) -> Response[Any]:
    """The first owner, by the one-use link."""
    browser = identity.is_own_page(list(request.scope["headers"]))
    return _granted(
        await identity.redeem_setup(
            turn,
            token=data.token,
            name=data.name,
            email=data.email,
            password=data.password,
            client=_client(request),
            browser=browser,
        )
    )


@post("/v1/auth/login", opt=PUBLIC, status_code=HTTP_200_OK)
async def login(
    data: JSONBody[LoginBody],
    request: Request[Any, Any, Any],
    identity: NamedDependency[Identity],
    turn: NamedDependency[Turn],
) -> Response[Any]:
    """Sign in: a page of ours gets the cookie, anyone else the tokens."""
    browser = identity.is_own_page(list(request.scope["headers"]))
    return _granted(
        await identity.sign_in(
            turn, username=data.username, password=data.password, client=_client(request), browser=browser
        )
    )


@post("/v1/auth/refresh", opt=PUBLIC, status_code=HTTP_200_OK)
async def refresh(
    data: JSONBody[RefreshBody], identity: NamedDependency[Identity], turn: NamedDependency[Turn]
) -> Response[Any]:
    """A new pair of tokens; the old refresh token is spent."""
    return Response(await identity.refresh(turn, refresh_token=data.refresh_token), headers=NO_STORE)


@post("/v1/auth/logout", opt=SIGNED_IN, status_code=HTTP_204_NO_CONTENT)
async def logout(identity: NamedDependency[Identity], turn: NamedDependency[Turn]) -> Response[None]:
    """End this session."""
    await identity.sign_out(turn)
    return Response(None, status_code=HTTP_204_NO_CONTENT, headers={"Set-Cookie": identity.expired_cookie()})


@get("/v1/auth/me", opt=ANY_CREDENTIAL)
async def me(identity: NamedDependency[Identity], turn: NamedDependency[Turn]) -> Response[Me]:
    """Who the caller is, and what they may do."""
    return Response(await _me(identity, turn), headers=NO_STORE)


@patch("/v1/auth/me", opt=SIGNED_IN)
async def rename(
    data: JSONBody[ProfileBody], identity: NamedDependency[Identity], turn: NamedDependency[Turn]
) -> Response[Me]:
    """Change one's own name."""
    await identity.rename(turn, turn.principal.id, data.name)
    return Response(await _me(identity, turn), headers=NO_STORE)


@get("/v1/auth/verify", opt=ANY_CREDENTIAL, status_code=HTTP_204_NO_CONTENT)
async def verify() -> None:
    """204 when the credential is good."""


@get("/v1/auth/sessions", opt=SIGNED_IN)
async def sessions(identity: NamedDependency[Identity], turn: NamedDependency[Turn]) -> Sessions:
    """One's own open sessions."""
    current = turn.principal.session_id
    return Sessions([session_view(session, current=current) for session in await identity.sessions(turn)])


@delete("/v1/auth/sessions/{session_id:uuid}", opt=SIGNED_IN)
async def end_session(
    session_id: FromPath[UUID], identity: NamedDependency[Identity], turn: NamedDependency[Turn]
) -> None:
    """End one of one's own sessions."""
    await identity.revoke_session(turn, session_id)


@get("/v1/auth/keys", opt=SIGNED_IN)
async def keys(identity: NamedDependency[Identity], turn: NamedDependency[Turn]) -> Keys:
    """One's own API keys."""
    return Keys([key_view(key) for key in await identity.keys(turn, user_id=turn.principal.id)])


@post("/v1/auth/keys", opt=SIGNED_IN)
async def create_key(
    data: JSONBody[KeyBody], identity: NamedDependency[Identity], turn: NamedDependency[Turn]
) -> Response[NewKey]:
    """A new API key, shown this once."""
    key = await identity.create_key(turn, user_id=turn.principal.id, name=data.name, scopes=data.scopes, days=data.days)
    return Response(NewKey(key), headers=NO_STORE)


@delete("/v1/auth/keys/{key_id:str}", opt=SIGNED_IN)
async def revoke_key(key_id: FromPath[str], identity: NamedDependency[Identity], turn: NamedDependency[Turn]) -> None:
    """Revoke one of one's own API keys."""
    await identity.revoke_key(turn, user_id=turn.principal.id, key_id=key_id)


@get("/auth/jwks", opt=PUBLIC)
async def jwks(identity: NamedDependency[Identity]) -> Response[dict[str, Any]]:
    """The public keys of our access tokens."""
    return Response(identity.jwks(), headers={"Cache-Control": "max-age=300"})


@get("/v1/admin/users", opt=MANAGE_USERS)
async def users(identity: NamedDependency[Identity], turn: NamedDependency[Turn]) -> Users:
    """Everyone in the tenant."""
    return Users([user_view(user) for user in await identity.users(turn)])


@post("/v1/admin/users", opt=MANAGE_USERS)
async def create_user(
    data: JSONBody[UserBody], identity: NamedDependency[Identity], turn: NamedDependency[Turn]
) -> UserView:
    """Add a person."""
    return user_view(
        await identity.create_user(turn, name=data.name, email=data.email, password=data.password, roles=data.roles)
    )


@get("/v1/admin/users/{user_id:uuid}", opt=MANAGE_USERS)
async def user(user_id: FromPath[UUID], identity: NamedDependency[Identity], turn: NamedDependency[Turn]) -> UserView:
    """One person."""
    return user_view(await identity.user(turn, user_id))


@patch("/v1/admin/users/{user_id:uuid}", opt=MANAGE_USERS)
async def change_user(
    user_id: FromPath[UUID], data: JSONBody[UserPatch], identity: NamedDependency[Identity], turn: NamedDependency[Turn]
) -> UserView:
    """Change a person's name, roles or status; what is absent stays."""
    if data.name is not None:
        await identity.rename(turn, user_id, data.name)
    if data.roles is not None:
        await identity.set_roles(turn, user_id, data.roles)
    if data.status is not None:
        await identity.set_status(turn, user_id, data.status)
    return user_view(await identity.user(turn, user_id))


ROUTES = [
    config,
    setup,
    login,
    refresh,
    logout,
    me,
    rename,
    verify,
    sessions,
    end_session,
    keys,
    create_key,
    revoke_key,
    jwks,
    users,
    create_user,
    user,
    change_user,
]


def _granted(grant: WebGrant | TokenGrant) -> Response[Any]:
    if isinstance(grant, TokenGrant):
        return Response(grant, headers=NO_STORE)
    body = SignedIn(user=person(grant.user), csrf_token=grant.csrf_token)
    return Response(body, headers={**NO_STORE, "Set-Cookie": grant.cookie})


async def _me(identity: Identity, turn: Turn) -> Me:
    principal = turn.principal
    return Me(
        user=person(await identity.user(turn, principal.id)),
        roles=list(principal.roles),
        permissions=permission_object(principal.permissions, principal.limits),
        csrf_token=identity.csrf_token(turn),
    )


def _client(request: Request[Any, Any, Any]) -> Client:
    """The address the Guard found, and what the client calls itself."""
    peer = request.scope.get("client")
    return Client(address=peer[0] if peer else "local", agent=request.headers.get("user-agent", ""))
