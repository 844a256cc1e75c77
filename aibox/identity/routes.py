"""Sign-in, and one's own account, sessions and keys over HTTP: decode, call, encode."""

import html
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response.base import ASGIResponse
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED, HTTP_204_NO_CONTENT, HTTP_302_FOUND

from aibox.core.errors import AIBoxError
from aibox.core.turn import Turn
from aibox.identity import (
    ANY_SCOPE,
    Client,
    Grant,
    Identity,
    InvalidRequest,
    Pending,
    Tenants,
    TokenGrant,
    WebGrant,
    WindowsSignIn,
)
from aibox.identity.roles import permission_object
from aibox.identity.schemas import (
    AuthStatus,
    Config,
    Idp,
    KeyBody,
    Keys,
    LoginBody,
    Me,
    NewKey,
    Offered,
    PasskeyChallenge,
    PasskeySignInBody,
    ProfileBody,
    RefreshBody,
    SecondFactorBody,
    Sessions,
    SetupBody,
    SignedIn,
    key_view,
    person,
    session_view,
)

PUBLIC = {"policy": "public"}
SIGNED_IN = {"policy": "signed-in"}
ANY_CREDENTIAL = {"policy": "signed-in", "scope": ANY_SCOPE}
FRESH = {"policy": "signed-in", "fresh": True}
OR_PENDING = {
    HTTP_202_ACCEPTED: ResponseSpec(Pending, generate_examples=False, description="A second factor is asked for")
}
NO_STORE = {"Cache-Control": "no-store"}
PAGE_HEADERS = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"}
FORM = "application/x-www-form-urlencoded"


@get("/v1/auth/config", opt=PUBLIC)
async def config(identity: NamedDependency[Identity], windows: NamedDependency[WindowsSignIn]) -> Config:
    """What the sign-in page shows."""
    return Config(
        password_login_enabled=identity.offers_password(),
        setup_required=await identity.setup_required(),
        passkey_login_enabled=identity.offers_passkey(),
        windows_login_enabled=windows.is_on(),
        tenant_asked=identity.is_multi(),
    )


@get("/v1/auth/status", opt=PUBLIC)
async def status(identity: NamedDependency[Identity]) -> AuthStatus:
    """What older clients ask before they show a sign-in."""
    has_entra = any(row.iss.startswith("https://login.microsoftonline.com/") for row in identity.issuers())
    return AuthStatus(auth=Offered(allow_anonymous=identity.allows_anonymous(), entra_configured=has_entra))


@get("/v1/auth/idps", opt=PUBLIC)
async def idps(identity: NamedDependency[Identity]) -> list[Idp]:
    """The other services that one can sign in with."""
    return [Idp(alias=row.alias, display_name=row.name) for row in identity.issuers()]


@post("/v1/auth/setup", opt=PUBLIC, status_code=HTTP_200_OK, responses=OR_PENDING)
async def setup(
    data: JSONBody[SetupBody],
    request: Request[Any, Any, Any],
    identity: NamedDependency[Identity],
    turn: NamedDependency[Turn],
) -> Response[Any]:
    """The first owner, by the one-use link."""
    browser = identity.is_own_page(list(request.scope["headers"]))
    return granted(
        await identity.redeem_setup(
            turn,
            token=data.token,
            name=data.name,
            email=data.email,
            password=data.password,
            client=client_of(request),
            browser=browser,
        )
    )


@post("/v1/auth/login", opt=PUBLIC, status_code=HTTP_200_OK, responses=OR_PENDING)
async def login(
    data: JSONBody[LoginBody],
    request: Request[Any, Any, Any],
    identity: NamedDependency[Identity],
    turn: NamedDependency[Turn],
) -> Response[Any]:
    """Sign in: a page of ours gets the cookie, anyone else the tokens."""
    browser = identity.is_own_page(list(request.scope["headers"]))
    return granted(
        await identity.sign_in(
            turn,
            username=data.username,
            password=data.password,
            tenant=data.tenant,
            client=client_of(request),
            browser=browser,
        )
    )


@post("/v1/auth/login/2fa", opt=PUBLIC, status_code=HTTP_200_OK, responses=OR_PENDING)
async def second_factor(
    data: JSONBody[SecondFactorBody],
    request: Request[Any, Any, Any],
    identity: NamedDependency[Identity],
    turn: NamedDependency[Turn],
) -> Response[Any]:
    """The second factor of a pending sign-in. 202 while a device is asked: ask again."""
    identity.is_own_page(list(request.scope["headers"]))
    return granted(
        await identity.second_factor(
            turn,
            token=data.challenge_token,
            method=data.method,
            code=data.code,
            assertion=data.assertion,
            client=client_of(request),
        )
    )


@post("/v1/auth/passkey/options", opt=PUBLIC, status_code=HTTP_200_OK)
async def passkey_challenge(identity: NamedDependency[Identity]) -> Response[PasskeyChallenge]:
    """Begin a sign-in by a passkey alone."""
    token, options = await identity.passkey_options()
    return Response(PasskeyChallenge(challenge_token=token, webauthn=options), headers=NO_STORE)


@post("/v1/auth/passkey", opt=PUBLIC, status_code=HTTP_200_OK, responses=OR_PENDING)
async def sign_in_by_passkey(
    data: JSONBody[PasskeySignInBody],
    request: Request[Any, Any, Any],
    identity: NamedDependency[Identity],
    turn: NamedDependency[Turn],
) -> Response[Any]:
    """Sign in by a passkey that names its person: both factors at once."""
    browser = identity.is_own_page(list(request.scope["headers"]))
    return granted(
        await identity.sign_in_by_passkey(
            turn, token=data.challenge_token, assertion=data.assertion, client=client_of(request), browser=browser
        )
    )


@get("/v1/auth/login", opt=PUBLIC, status_code=HTTP_302_FOUND)
async def begin_sso(
    identity: NamedDependency[Identity], idp: FromQuery[str], redirect: FromQuery[str] = "/"
) -> Response[None]:
    """Send the browser to another sign-in service."""
    address, cookie = await identity.begin_sso(idp, redirect)
    headers = {**NO_STORE, "Location": address, "Set-Cookie": cookie}
    return Response(None, status_code=HTTP_302_FOUND, headers=headers)


@get("/v1/auth/callback", opt=PUBLIC, media_type="text/html")
async def complete_sso(
    request: Request[Any, Any, Any],
    identity: NamedDependency[Identity],
    turn: NamedDependency[Turn],
    as_sent: Annotated[str, QueryParameter(name="state", description="As we sent it")] = "",
    code: Annotated[str, QueryParameter(description="The authorization code")] = "",
    iss: Annotated[str, QueryParameter(description="Whose answer it is (RFC 9207)")] = "",
) -> ASGIResponse:
    """Where another sign-in service sends the browser back.

    Answers a page that goes on, for `Strict` cookies do not come along with a redirect from another site.
    """
    pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    try:
        if len({name for name, _ in pairs}) < len(pairs):
            raise InvalidRequest("The answer of the sign-in service can be read in two ways.")
        grant, page, ended = await identity.complete_sso(
            turn, dict(pairs), list(request.scope["headers"]), client_of(request)
        )
    except AIBoxError as error:
        if not request.accept.accepts("text/html") or "text/html" not in request.headers.get("accept", ""):
            raise
        return _refused(error, turn)
    if isinstance(grant, Pending):
        page = _second_step(grant, page)
    cookies = [ended, grant.cookie] if isinstance(grant, WebGrant) else [ended]
    headers = [*NO_STORE.items(), *PAGE_HEADERS.items(), *(("Set-Cookie", cookie) for cookie in cookies)]
    return ASGIResponse(body=_going_on(page), media_type="text/html", headers=headers)


@post("/v1/auth/backchannel-logout", opt={**PUBLIC, "media": FORM}, status_code=HTTP_200_OK)
async def backchannel_logout(request: Request[Any, Any, Any], identity: NamedDependency[Identity]) -> Response[None]:
    """An issuer says that one of its sessions is over (OpenID Connect Back-Channel Logout)."""
    form = dict(parse_qsl((await request.body()).decode("latin-1"), keep_blank_values=True))
    if "logout_token" not in form:
        raise InvalidRequest("Send logout_token.")
    await identity.hear_logout(form["logout_token"])
    return Response(None, status_code=HTTP_200_OK, headers=NO_STORE)


@post("/v1/auth/refresh", opt=PUBLIC, status_code=HTTP_200_OK)
async def refresh(
    data: JSONBody[RefreshBody], identity: NamedDependency[Identity], turn: NamedDependency[Turn]
) -> Response[Any]:
    """A new pair of tokens; the old refresh token is spent."""
    return granted(await identity.refresh(turn, refresh_token=data.refresh_token))


@post("/v1/auth/logout", opt=SIGNED_IN, status_code=HTTP_204_NO_CONTENT)
async def logout(identity: NamedDependency[Identity], turn: NamedDependency[Turn]) -> Response[None]:
    """End this session."""
    await identity.sign_out(turn)
    return Response(None, status_code=HTTP_204_NO_CONTENT, headers={"Set-Cookie": identity.expired_cookie()})


@get("/v1/auth/me", opt=ANY_CREDENTIAL)
async def me(
    identity: NamedDependency[Identity], tenants: NamedDependency[Tenants], turn: NamedDependency[Turn]
) -> Response[Me]:
    """Who the caller is, what they may do, and which other tenant they have entered."""
    return Response(await _me(identity, tenants, turn), headers=NO_STORE)


@patch("/v1/auth/me", opt=SIGNED_IN)
async def rename(
    data: JSONBody[ProfileBody],
    identity: NamedDependency[Identity],
    tenants: NamedDependency[Tenants],
    turn: NamedDependency[Turn],
) -> Response[Me]:
    """Change one's own name."""
    await identity.rename(turn, turn.principal.id, data.name)
    return Response(await _me(identity, tenants, turn), headers=NO_STORE)


@get("/v1/auth/verify", opt=ANY_CREDENTIAL, status_code=HTTP_204_NO_CONTENT)
async def verify() -> None:
    """204 when the credential is good."""


@get("/v1/auth/verify/fresh", opt=FRESH, status_code=HTTP_204_NO_CONTENT)
async def verify_fresh() -> None:
    """204 when the sign-in is fresh: asked before a download, whose refusal a browser would save as the file."""


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


@post("/v1/auth/keys", opt=FRESH)
async def create_key(
    data: JSONBody[KeyBody], identity: NamedDependency[Identity], turn: NamedDependency[Turn]
) -> Response[NewKey]:
    """A new API key, shown this once."""
    key = await identity.create_key(
        turn,
        user_id=turn.principal.id,
        name=data.name,
        scopes=data.scopes,
        days=data.days,
        models=data.models,
        budget_usd=data.budget_usd,
    )
    return Response(NewKey(key), headers=NO_STORE)


@delete("/v1/auth/keys/{key_id:str}", opt=SIGNED_IN)
async def revoke_key(key_id: FromPath[str], identity: NamedDependency[Identity], turn: NamedDependency[Turn]) -> None:
    """Revoke one of one's own API keys."""
    await identity.revoke_key(turn, user_id=turn.principal.id, key_id=key_id)


@get(["/auth/jwks", "/egauth/jwks"], opt=PUBLIC)
async def jwks(identity: NamedDependency[Identity]) -> Response[dict[str, Any]]:
    """The public keys of our access tokens."""
    return Response(identity.jwks(), headers={"Cache-Control": "max-age=300"})


ROUTES = [
    config,
    status,
    idps,
    setup,
    login,
    second_factor,
    passkey_challenge,
    sign_in_by_passkey,
    begin_sso,
    complete_sso,
    backchannel_logout,
    refresh,
    logout,
    me,
    rename,
    verify,
    verify_fresh,
    sessions,
    end_session,
    keys,
    create_key,
    revoke_key,
    jwks,
]


def granted(grant: Grant | Pending) -> Response[Any]:
    """What a sign-in answers: tokens, a cookie, or 202 and what is still to be shown."""
    match grant:
        case Pending():
            body = {name: value for name, value in msgspec.to_builtins(grant).items() if value is not None}
            return Response(body, status_code=HTTP_202_ACCEPTED, headers=NO_STORE)
        case TokenGrant():
            body = msgspec.to_builtins(grant)
            if not grant.recovery_codes:
                del body["recovery_codes"]
            return Response(body, headers=NO_STORE)
        case WebGrant():
            signed_in = SignedIn(
                user=person(grant.user),
                csrf_token=grant.csrf_token,
                recovery_codes=list(grant.recovery_codes) or msgspec.UNSET,
            )
            return Response(signed_in, headers={**NO_STORE, "Set-Cookie": grant.cookie})


def _refused(error: AIBoxError, turn: Turn) -> ASGIResponse:
    """The refusal of a browser's sign-in as a page for its person: the sign-in page, which knows the code.

    The sentence itself does not go along, or anyone's link could put words on our page.
    """
    fragment = urlencode({"refused": error.code, "turn": str(turn.id)})
    headers = [*NO_STORE.items(), *PAGE_HEADERS.items(), *error.headers.items()]
    page = _going_on(f"/sign-in#{fragment}")
    return ASGIResponse(body=page, status_code=error.status, media_type="text/html", headers=headers)


def _second_step(pending: Pending, page: str) -> str:
    """Where the second factor is shown before `page`. The fragment carries the pending sign-in: it reaches no log."""
    fragment = urlencode({"pending": msgspec.json.encode(pending)})
    return f"/sign-in?{urlencode({'next': page})}#{fragment}"


def _going_on(page: str) -> bytes:
    """A page without script that goes to `page` at once."""
    target = html.escape(page, quote=True)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>AIBox</title>'
        f'<meta http-equiv="refresh" content="0;url={target}"></head>'
        f'<body><p><a href="{target}">Go on</a></p></body></html>'
    ).encode()


async def _me(identity: Identity, tenants: Tenants, turn: Turn) -> Me:
    principal = turn.principal
    return Me(
        user=person(await identity.user(turn, principal.id)),
        roles=list(principal.roles),
        permissions=permission_object(principal.permissions, principal.limits),
        csrf_token=identity.csrf_token(turn),
        visiting=await tenants.visited(turn),
    )


def client_of(request: Request[Any, Any, Any]) -> Client:
    """The address the Guard found, and what the client calls itself."""
    peer = request.scope.get("client")
    return Client(address=peer[0] if peer else "local", agent=request.headers.get("user-agent", ""))
