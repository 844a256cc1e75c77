"""Access tokens of other issuers at the door: the rows of identity.md's table T that a second issuer has a part in."""

import asyncio
import base64
import hashlib
import json
import time
import warnings
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID, uuid4

import pytest
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, RSAKey
from msgspec.structs import replace

from aibox.core.errors import BootRefused
from aibox.core.turn import begin
from aibox.identity import Issuer, SessionRevoked, Settings, TenancySettings
from aibox.identity.issuers import Issuers
from aibox.identity.service import IdentityService
from tests.conftest import Kernel
from tests.integration.identity.house import BASE, TENANT, House, opened
from tests.integration.identity.idp import Idp, serving


@pytest.fixture
async def idp() -> AsyncGenerator[Idp]:
    async with serving() as idp:
        yield idp


@pytest.fixture
async def trusting(kernel: Kernel, idp: Idp) -> AsyncGenerator[House]:
    """A house that trusts the issuer."""
    async with opened(kernel, settings=Settings(additional_issuers=(idp.row,))) as house:
        yield house


async def seen(house: House, token: str, **headers: str) -> tuple[int, str | None]:
    """(status, code or id) of a request with this token."""
    async with house.http(Authorization=f"Bearer {token}", **headers) as http:
        answer = await http.get("/v1/whoami")
    body = answer.json()
    return answer.status_code, body.get("code", body.get("id"))


def let_the_next_unknown_kid_fetch(house: House, idp: Idp) -> None:
    """As if half a minute had passed."""
    keys = house.identity._issuers._keys[idp.url]
    keys._asked_unknown = keys._tried = float("-inf")


async def test_a_token_shaped_as_keycloak_makes_it_opens_with_the_mapped_role(trusting: House, idp: Idp) -> None:
    async with trusting.http(Authorization=f"Bearer {idp.keycloak_token()}") as http:
        answer = await http.get("/v1/whoami")
        me = (await http.get("/v1/auth/me")).json()
    assert (answer.status_code, answer.json()["roles"]) == (200, ["member"])
    assert (me["user"]["displayName"], me["user"]["email"]) == ("Ada Lovelace", "ada@example.org")
    created = await trusting.events("admin.user.created")
    assert [body["roles"] for _, body in created] == [["member"]]


async def test_a_token_shaped_as_entra_makes_it_opens_by_its_group(kernel: Kernel, idp: Idp) -> None:
    async with opened(kernel, settings=Settings(additional_issuers=(idp.entra,))) as house:
        assert (await seen(house, idp.entra_token()))[0] == 200
        assert await seen(house, idp.entra_token("x", groups=["other"])) == (403, "role_not_mapped")
        assert await seen(house, idp.entra_token(scp=None)) == (401, "wrong_token_type")  # an ID token has no `scp`


async def test_the_issuers_role_change_reaches_the_person_at_the_next_token(trusting: House, idp: Idp) -> None:
    await seen(trusting, idp.keycloak_token())
    owner = idp.keycloak_token(realm_access={"roles": ["tenant_admin"]})
    async with trusting.http(Authorization=f"Bearer {owner}") as http:
        assert (await http.get("/v1/whoami")).json()["roles"] == ["owner"]
    assert [body["roles"] for _, body in await trusting.events("admin.user.roles_changed")] == [["owner"]]


async def test_of_ten_first_requests_at_once_one_adds_the_person(trusting: House, idp: Idp) -> None:
    tokens = [idp.keycloak_token() for _ in range(10)]
    answers = await asyncio.gather(*(seen(trusting, token) for token in tokens))
    assert {status for status, _ in answers} == {200}
    assert len({who for _, who in answers}) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aud": ["account"]}, "invalid_audience"),
        ({"aud": None}, "invalid_audience"),
        ({"azp": "another-client"}, "invalid_audience"),
        ({"typ": "ID"}, "wrong_token_type"),
        ({"typ": "Refresh"}, "wrong_token_type"),
        ({"typ": "Logout"}, "wrong_token_type"),
        ({"exp": int(time.time()) + 7200}, "invalid_token"),
        ({"exp": int(time.time()) - 60, "iat": int(time.time()) - 300}, "token_expired"),
        ({"sub": None}, "invalid_token"),
        ({"sub": "a\nb"}, "invalid_token"),
        ({"realm_access": {"roles": []}}, "role_not_mapped"),
    ],
)
async def test_t13_t14_t18_a_signed_token_that_does_not_fit_is_refused(
    trusting: House, idp: Idp, changes: dict[str, Any], code: str
) -> None:
    assert (await seen(trusting, idp.keycloak_token(**changes)))[1] == code


@pytest.mark.parametrize("suffix", ["/", ".evil.example", "/realms/other"])
async def test_t15_an_unknown_issuer_is_never_fetched(trusting: House, idp: Idp, suffix: str) -> None:
    assert await seen(trusting, idp.keycloak_token(iss=idp.url + suffix)) == (401, "invalid_issuer")
    assert idp.fetches == 0


async def test_t04_an_alg_off_the_issuers_list_is_refused_before_anything_is_fetched(trusting: House, idp: Idp) -> None:
    claims = jwt.decode(idp.keycloak_token(), idp.keys[0]).claims
    private = idp.keys[0].as_dict(private=True)
    signer = RSAKey.import_key({name: value for name, value in private.items() if name != "alg"})
    token = jwt.encode({"alg": "PS256", "kid": signer.kid, "typ": "JWT"}, claims, signer, algorithms=["PS256"])
    assert await seen(trusting, token) == (401, "invalid_token")
    assert idp.fetches == 0


async def test_t16_one_issuers_key_does_not_sign_for_another(kernel: Kernel, idp: Idp) -> None:
    """Both call their key `k0`; each is asked for its own."""
    async with serving() as other:
        other.keys = [RSAKey.generate_key(2048, {"kid": "k0", "use": "sig"})]
        rows = (idp.row, replace(other.row, alias="other"))
        async with opened(kernel, settings=Settings(additional_issuers=rows)) as house:
            assert (await seen(house, other.keycloak_token()))[0] == 200
            assert await seen(house, idp.keycloak_token(iss=other.url)) == (401, "invalid_token")
            assert await seen(house, other.keycloak_token(iss=idp.url)) == (401, "invalid_token")


async def test_t17_the_same_subject_and_e_mail_of_a_second_issuer_is_another_person(kernel: Kernel, idp: Idp) -> None:
    async with serving() as other:
        rows = (idp.row, replace(other.row, alias="other"))
        async with opened(kernel, settings=Settings(additional_issuers=rows)) as house:
            local = await house.person("ada")
            first = (await seen(house, idp.keycloak_token()))[1]
            second = (await seen(house, other.keycloak_token()))[1]
            assert len({str(local.id), first, second}) == 3
            async with house.http(Authorization=f"Bearer {other.keycloak_token()}") as http:
                answer = await http.delete(f"/v1/auth/sessions/{uuid4()}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_t19_a_suspended_person_of_an_issuer_is_out(trusting: House, idp: Idp) -> None:
    token = idp.keycloak_token()
    user = UUID((await seen(trusting, token))[1])
    await trusting.identity.set_status(trusting.console, user, "suspended")
    assert await seen(trusting, token) == (401, "session_revoked")


async def test_t19_signing_a_person_out_ends_the_tokens_of_before_and_not_those_of_after(
    trusting: House, idp: Idp
) -> None:
    old = idp.keycloak_token()
    user = UUID((await seen(trusting, old))[1])
    await trusting.identity.sign_out_everywhere(trusting.console, user)
    assert await seen(trusting, old) == (401, "session_revoked")
    assert (await seen(trusting, idp.keycloak_token(iat=int(time.time()) + 2)))[0] == 200


async def test_t19_a_back_channel_logout_ends_what_came_from_that_session(trusting: House, idp: Idp) -> None:
    token = idp.keycloak_token()
    assert (await seen(trusting, token))[0] == 200
    events: dict[str, dict[str, str]] = {"http://schemas.openid.net/event/backchannel-logout": {}}
    logout = idp.keycloak_token(typ="Logout", events=events)
    async with trusting.http() as http:
        wrong = await http.post("/v1/auth/backchannel-logout", data={"logout_token": token})
        heard = await http.post("/v1/auth/backchannel-logout", data={"logout_token": logout})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "wrong_token_type")
    assert heard.status_code == 200
    assert await seen(trusting, token) == (401, "session_revoked")
    assert (await seen(trusting, idp.keycloak_token(sid="s-2")))[0] == 200


async def test_t20_a_stream_of_an_issuers_token_ends_with_its_person(trusting: House, idp: Idp) -> None:
    principal = await trusting.identity.authenticate(
        [(b"authorization", f"Bearer {idp.keycloak_token()}".encode())], "GET", "/v1/whoami"
    )
    assert principal is not None
    streaming = begin(principal)
    await trusting.identity.recheck(streaming)
    await trusting.identity.set_status(trusting.console, principal.id, "suspended")
    with pytest.raises(SessionRevoked):
        await trusting.identity.recheck(streaming)


async def test_t21_a_new_key_opens_at_once_and_a_removed_one_does_not(trusting: House, idp: Idp) -> None:
    assert (await seen(trusting, idp.keycloak_token()))[0] == 200
    old = idp.rotate()
    assert (await seen(trusting, idp.keycloak_token()))[0] == 200
    assert (await seen(trusting, idp.keycloak_token(key=old)))[0] == 200, "in grace"
    idp.rotate(keep=False)
    let_the_next_unknown_kid_fetch(trusting, idp)
    assert (await seen(trusting, idp.keycloak_token()))[0] == 200
    assert await seen(trusting, idp.keycloak_token(key=old)) == (401, "invalid_token")


async def test_t22_a_thousand_random_kids_cost_the_issuer_one_fetch(trusting: House, idp: Idp) -> None:
    assert (await seen(trusting, idp.keycloak_token()))[0] == 200
    before = idp.fetches
    head, body, signature = idp.keycloak_token().split(".")
    tokens = []
    for n in range(1000):
        header = json.dumps({"alg": "RS256", "kid": f"random-{n}", "typ": "JWT"}).encode()
        tokens.append(f"{base64.urlsafe_b64encode(header).rstrip(b'=').decode()}.{body}.{signature}")
    answers = await asyncio.gather(*(seen(trusting, token) for token in tokens))
    assert set(answers) == {(401, "invalid_token")}
    assert idp.fetches - before == 1
    assert head not in tokens


@pytest.mark.parametrize("mode", ["500", "302", "html", "huge", "many", "empty"])
async def test_t23_an_issuer_that_misbehaves_leaves_the_old_keys_and_without_any_is_503(
    trusting: House, idp: Idp, mode: str
) -> None:
    idp.mode = mode
    assert await seen(trusting, idp.keycloak_token()) == (503, "idp_unavailable")
    idp.mode = "good"
    let_the_next_unknown_kid_fetch(trusting, idp)
    assert (await seen(trusting, idp.keycloak_token()))[0] == 200
    idp.mode = mode
    keys = trusting.identity._issuers._keys[idp.url]
    keys._fetched -= 700  # no longer fresh
    keys._tried = float("-inf")
    assert (await seen(trusting, idp.keycloak_token()))[0] == 200, "old keys are good for a day"
    keys._fetched -= 25 * 3600
    assert await seen(trusting, idp.keycloak_token()) == (503, "idp_unavailable")


async def test_t23_an_issuer_that_does_not_answer_is_given_up_after_five_seconds(trusting: House, idp: Idp) -> None:
    idp.mode = "slow"
    begun = time.monotonic()
    assert await seen(trusting, idp.keycloak_token()) == (503, "idp_unavailable")
    assert time.monotonic() - begun >= 5
    assert await seen(trusting, idp.keycloak_token()) == (503, "idp_unavailable")
    assert idp.fetches == 1, "the next tries wait half a minute"


async def test_t23_a_key_set_with_dangerous_keys_keeps_the_good_one_only(trusting: House, idp: Idp) -> None:
    good = idp.keys[0]
    warnings.simplefilter("ignore", SecurityWarning)
    weak = RSAKey.generate_key(1024, {"kid": "weak", "use": "sig"})
    for_encryption = RSAKey.import_key({**good.as_dict(private=False), "kid": "enc", "use": "enc"})
    idp.keys = [good, weak, for_encryption]
    assert (await seen(trusting, idp.keycloak_token()))[0] == 200
    assert await seen(trusting, idp.keycloak_token(key=weak)) == (401, "invalid_token")
    assert set(trusting.identity._issuers._keys[idp.url]._keys) == {"k0"}


async def test_t27_a_token_whose_sign_in_is_old_or_unsaid_makes_no_key(trusting: House, idp: Idp) -> None:
    body = {"name": "k", "scopes": ["chat"]}
    for auth_time, expected in ((int(time.time()) - 5, 201), (int(time.time()) - 700, 401), (None, 401)):
        async with trusting.http(Authorization=f"Bearer {idp.keycloak_token(auth_time=auth_time)}") as http:
            answer = await http.post("/v1/auth/keys", json=body)
        assert answer.status_code == expected
    assert answer.json()["code"] == "insufficient_user_authentication"
    assert "insufficient_user_authentication" in answer.headers["www-authenticate"]


# --- T24: proof of possession ---


class Client:
    """A client with a key of its own, which signs each request."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256")

    def token(self, idp: Idp) -> str:
        return idp.keycloak_token(cnf={"jkt": self.key.thumbprint()})

    def proof(self, token: str, nonce: str, **changes: Any) -> str:
        digest = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        claims = {
            "htm": "GET",
            "htu": f"{BASE}/v1/whoami",
            "iat": int(time.time()),
            "jti": str(uuid4()),
            "ath": digest,
            "nonce": nonce,
            **changes,
        }
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.as_dict(private=False)}
        return jwt.encode(header, claims, self.key, algorithms=["ES256"])


async def proven(house: House, token: str, *proofs: str, scheme: str = "DPoP") -> tuple[int, str | None, str | None]:
    headers = [("Authorization", f"{scheme} {token}"), *(("DPoP", proof) for proof in proofs)]
    async with house.http() as http:
        answer = await http.get("/v1/whoami", headers=headers)
    return answer.status_code, answer.json().get("code"), answer.headers.get("dpop-nonce")


async def test_t24_a_bound_token_opens_with_a_proof_made_with_our_nonce_once(trusting: House, idp: Idp) -> None:
    client = Client()
    token = client.token(idp)
    status, code, nonce = await proven(trusting, token, client.proof(token, "none"))
    assert (status, code) == (401, "use_dpop_nonce")
    assert nonce is not None
    proof = client.proof(token, nonce)
    assert (await proven(trusting, token, proof))[0] == 200
    assert (await proven(trusting, token, proof))[1] == "invalid_dpop_proof", "replayed"


@pytest.mark.parametrize(
    "changes",
    [
        {"htm": "POST"},
        {"htu": f"{BASE}/v1/auth/me"},
        {"htu": "https://evil.example/v1/whoami"},
        {"ath": "x"},
        {"ath": None},
        {"jti": ""},
        {"jti": 1},
        {"jti": "x" * 300},
    ],
)
async def test_t24_a_proof_of_another_request_is_refused(trusting: House, idp: Idp, changes: dict[str, Any]) -> None:
    client = Client()
    token = client.token(idp)
    nonce = (await proven(trusting, token, client.proof(token, "")))[2] or ""
    assert (await proven(trusting, token, client.proof(token, nonce, **changes)))[1] == "invalid_dpop_proof"


async def test_t24_a_missing_second_stale_or_foreign_proof_is_refused(trusting: House, idp: Idp) -> None:
    client, thief = Client(), Client()
    token = client.token(idp)
    nonce = (await proven(trusting, token, client.proof(token, "")))[2] or ""
    old = trusting.identity._proofs._nonces()
    trusting.identity._proofs._clock = lambda: time.time() + 900
    stale = await proven(trusting, token, client.proof(token, old[0]))
    trusting.identity._proofs._clock = time.time
    codes = [
        (await proven(trusting, token))[1],
        (await proven(trusting, token, scheme="Bearer"))[1],
        (await proven(trusting, token, client.proof(token, nonce), client.proof(token, nonce)))[1],
        (await proven(trusting, token, thief.proof(token, nonce)))[1],
        (await proven(trusting, token, client.proof(token, nonce), scheme="Bearer"))[1],
        (await proven(trusting, idp.keycloak_token(), client.proof(token, nonce)))[1],
        (await proven(trusting, token, "nonsense"))[1],
    ]
    assert codes == ["invalid_dpop_proof"] * 7
    assert stale[1] == "use_dpop_nonce"


# --- tenants ---


async def test_in_multi_the_claim_names_the_tenant_and_an_unmapped_one_is_refused(kernel: Kernel, idp: Idp) -> None:
    tenancy = TenancySettings(mode="multi")
    async with opened(kernel, tenancy=tenancy) as first:
        acme = await first.identity.create_tenant(first.console, "Acme")
    row = replace(idp.row, tenant_rule="claim", tenant_claim="org", tenants={"acme": acme, "gone": uuid4()})
    async with opened(kernel, settings=Settings(additional_issuers=(row,)), tenancy=tenancy) as house:
        async with house.http(Authorization=f"Bearer {idp.keycloak_token(org='acme')}") as http:
            assert (await http.get("/v1/auth/me")).json()["user"]["tenantId"] == str(acme)
        assert await seen(house, idp.keycloak_token(org="other")) == (403, "tenant_not_provisioned")
        assert await seen(house, idp.keycloak_token(org="gone")) == (403, "tenant_not_provisioned")
        assert await seen(house, idp.keycloak_token()) == (403, "tenant_not_provisioned")


async def test_in_single_what_the_token_says_of_a_tenant_is_ignored(kernel: Kernel, idp: Idp) -> None:
    settings = Settings(additional_issuers=(replace(idp.row, tenant_rule="claim", tenant_claim="org"),))
    bearer = f"Bearer {idp.keycloak_token(org='other')}"
    async with opened(kernel, settings=settings) as house, house.http(Authorization=bearer) as http:
        assert (await http.get("/v1/auth/me")).json()["user"]["tenantId"] == str(TENANT)


# --- boot ---

GOOD = Issuer(iss="https://id.example", jwks_url="https://id.example/jwks")


@pytest.mark.parametrize(
    "row",
    [
        replace(GOOD, iss="http://id.example"),
        replace(GOOD, jwks_url="http://id.example/jwks"),
        replace(GOOD, token_url="ftp://id.example"),
        replace(GOOD, audiences=()),
        replace(GOOD, clients=()),
        replace(GOOD, algs=()),
        replace(GOOD, algs=("HS256",)),
        replace(GOOD, algs=("none",)),
        replace(GOOD, typ="id_token"),
        replace(GOOD, typ_claim=""),
        replace(GOOD, roles={"x": "god"}),
        replace(GOOD, default_role="god"),
    ],
)
def test_b03_a_row_that_says_too_little_does_not_start(row: Issuer) -> None:
    with pytest.raises(BootRefused) as refused:
        Issuers([row], None, TenancySettings(), production=False)  # type: ignore[arg-type]
    assert refused.value.code == "boot_bad_issuer"


def test_b03_an_issuer_on_loopback_may_be_plain_outside_production_only() -> None:
    row = replace(GOOD, iss="http://127.0.0.1:8081/realms/aibox", jwks_url="http://localhost:8081/certs")
    Issuers([row], None, TenancySettings(), production=False)  # type: ignore[arg-type]
    with pytest.raises(BootRefused):
        Issuers([row], None, TenancySettings(), production=True)  # type: ignore[arg-type]


def test_b03_two_rows_with_one_issuer_do_not_start() -> None:
    with pytest.raises(BootRefused):
        Issuers([GOOD, GOOD], None, TenancySettings(), production=False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "production", "code"),
    [
        (Settings(enabled=False), False, "boot_no_auth"),
        (Settings(enabled=False, allow_disabled=True), True, "boot_no_auth"),
        (Settings(password=replace(Settings().password, login=False)), False, "boot_no_auth"),
        (Settings(password=replace(Settings().password, ropc=True)), False, "boot_login_method"),
        (
            Settings(issuer="https://id.example", password=replace(Settings().password, ropc=True)),
            False,
            "boot_login_method",
        ),
    ],
)
def test_b01_b10_a_door_without_a_lock_or_without_a_key_does_not_start(
    kernel: Kernel, settings: Settings, production: bool, code: str
) -> None:
    with pytest.raises(BootRefused) as refused:
        IdentityService(
            settings,
            TenancySettings(),
            db=kernel.db,
            connections=kernel.connections,
            log=kernel.log,
            rings=kernel.rings,
            keys=kernel.keys,
            http=None,  # type: ignore[arg-type]
            cache=None,  # type: ignore[arg-type]
            mail=None,  # type: ignore[arg-type]
            base_url="https://ai.example",
            production=production,
        )
    assert refused.value.code == code


async def test_with_sign_in_switched_off_every_caller_is_an_anonymous_member(kernel: Kernel) -> None:
    async with opened(kernel, settings=Settings(enabled=False, allow_disabled=True)) as house, house.http() as http:
        assert (await http.get("/v1/whoami")).json()["roles"] == ["member"]
        assert (await http.get("/v1/auth/me")).json()["user"]["handle"] == "anonymous"
        assert (await http.get("/v1/admin/users")).status_code == 403
        assert (await http.get("/v1/auth/status")).json()["auth"]["allowAnonymous"] is True
