"""What a credential opens: tokens, keys, roles, tenants, and how soon a revocation is felt."""

import asyncio
import contextlib
import time
from typing import Any

import asyncpg
import httpx
import pytest
from msgspec.structs import replace

from aibox.core.errors import Forbidden, NotFound, StateUnavailable
from aibox.core.turn import Turn, begin
from aibox.identity import InvalidGrant, LastOwner, SessionRevoked, User
from aibox.identity.secrets import new_api_key
from aibox.identity.signin import principal_of
from tests.integration.identity.house import PASSWORD, TENANT, House


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def access_token(house: House, name: str = "ada") -> str:
    token: str = (await house.tokens(name))["access_token"]
    return token


def turn_of(user: User) -> Turn:
    """A turn as the middleware begins one for that person."""
    return begin(principal_of(user))


async def test_t01_a_private_route_without_credentials_is_refused(house: House) -> None:
    async with house.http() as http:
        answer = await http.get("/v1/auth/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_token")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-aibox-turn-id"] == answer.json()["turn_id"]


async def test_a_public_route_without_credentials_is_anonymous(house: House) -> None:
    async with house.http() as http:
        answer = await http.get("/v1/whoami")
    assert answer.json()["kind"] == "anonymous"
    assert answer.headers["x-aibox-turn-id"] == answer.json()["turn"]


@pytest.mark.parametrize("credential", ["Bearer nonsense", "Bearer ", "Basic YTpi", "nonsense", "Bearer a b"])
async def test_a_wrong_credential_is_refused_even_on_a_public_route(house: House, credential: str) -> None:
    async with house.http(Authorization=credential) as http:
        answer = await http.get("/v1/whoami")
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("text", ["' OR 1=1 --", "*)(uid=*))(|(uid=*", "{{7*7}}", "aibox_' OR 1=1", "aibox_"])
@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key"])
async def test_t29_an_injection_as_bearer_or_key_is_only_a_wrong_one(house: House, header: str, text: str) -> None:
    async with house.http(**{header: f"Bearer {text}" if header == "Authorization" else text}) as http:
        answer = await http.get("/v1/whoami")
    expected = "invalid_api_key" if text.startswith("aibox_") else "invalid_token"
    assert (answer.status_code, answer.json()["code"]) == (401, expected)


async def test_t25_two_credentials_or_one_in_the_query_are_refused(house: House) -> None:
    await house.person()
    token = await access_token(house)
    requests: list[dict[str, Any]] = [
        {"headers": [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]},
        {"headers": [("Authorization", f"Bearer {token}"), ("X-Api-Key", token)]},
        {"headers": [("Authorization", f"Bearer {token}"), ("Cookie", "aibox=x")]},
        {"params": {"access_token": token}},
    ]
    async with house.http() as http:
        codes = [(await http.get("/v1/whoami", **request)).json().get("code") for request in requests]
        named = await http.get("/v1/whoami?topic=access_tokens", headers=bearer(token))
    assert codes == ["invalid_request"] * 4
    assert named.status_code == 200, "another parameter may mention one"


async def test_a_token_of_ours_opens_and_its_key_is_published(house: House) -> None:
    user = await house.person()
    async with house.http(**bearer(await access_token(house))) as http:
        assert (await http.get("/v1/whoami")).json()["id"] == str(user.id)
        assert (await http.get("/v1/auth/verify")).status_code == 204
        assert [key["kty"] for key in (await http.get("/auth/jwks")).json()["keys"]] == ["OKP"]


async def test_t18_a_refresh_token_is_no_access_token(house: House) -> None:
    await house.person()
    refresh = (await house.tokens())["refresh_token"]
    async with house.http(**bearer(refresh)) as http:
        assert (await http.get("/v1/whoami")).status_code == 401


async def test_t31_two_tokens_with_a_long_common_beginning_are_two_people(house: House) -> None:
    ada, eve = await house.person("ada"), await house.person("eve")
    tokens = [await access_token(house, "ada"), await access_token(house, "eve")]
    assert tokens[0][:60] == tokens[1][:60]
    async with house.http() as http:
        for _ in range(2):
            seen = [(await http.get("/v1/whoami", headers=bearer(token))).json()["id"] for token in tokens]
            assert seen == [str(ada.id), str(eve.id)]


async def test_t19_a_suspended_person_is_out_within_a_second_on_every_credential(house: House) -> None:
    user = await house.person()
    token = await access_token(house)
    key = await house.identity.create_key(house.console, user_id=user.id, name="k", scopes=["chat"])
    async with house.browser() as page, house.http() as http:
        await _warm_until_remembered(house, http, token)
        assert (await http.get("/v1/whoami", headers={"X-Api-Key": key})).status_code == 200
        await house.identity.set_status(house.console, user.id, "suspended")
        answers = [
            await http.get("/v1/whoami", headers=bearer(token)),
            await page.get("/v1/whoami"),
            await http.get("/v1/whoami", headers={"X-Api-Key": key}),
        ]
    assert [(a.status_code, a.json()["code"]) for a in answers] == [
        (401, "session_revoked"),
        (401, "session_revoked"),
        (401, "invalid_api_key"),
    ]


async def test_t19_another_replica_hears_of_a_revocation_within_a_second(house: House) -> None:
    """The second replica is another `IdentityService` on the same database: nothing but PostgreSQL tells it."""
    from tests.integration.identity.house import opened

    user = await house.person()
    token = await access_token(house)
    async with opened(house.kernel) as replica, replica.http(**bearer(token)) as http:
        await _warm_until_remembered(replica, http, token)
        await house.identity.set_status(house.console, user.id, "deactivated")
        begun = time.monotonic()
        while (await http.get("/v1/whoami")).status_code == 200:
            assert time.monotonic() - begun < 1.0
            await asyncio.sleep(0.01)


async def test_t19_while_nobody_listens_every_request_asks_the_database(house: House) -> None:
    """The notification is lost here on purpose: the listener is cut off, and the change made behind our back."""
    await house.person()
    token = await access_token(house)
    async with house.http(**bearer(token)) as http:
        await _warm_until_remembered(house, http, token)
        cutting = asyncio.create_task(_cut_listeners(house))
        try:
            owner = await asyncpg.connect(house.kernel.urls.owner)
            await asyncio.sleep(0.2)
            await owner.execute("UPDATE identity.user SET status = 'suspended'")
            await owner.close()
            begun = time.monotonic()
            while (await http.get("/v1/whoami")).status_code == 200:
                assert time.monotonic() - begun < 1.1
                await asyncio.sleep(0.02)
        finally:
            cutting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await cutting


async def test_t19_a_suspended_tenant_is_closed(house: House) -> None:
    await house.person()
    token = await access_token(house)
    owner = await asyncpg.connect(house.kernel.urls.owner)
    await owner.execute("UPDATE identity.tenant SET status = 'suspended'")
    await owner.close()
    async with house.http(**bearer(token)) as http:
        answer = await http.get("/v1/whoami")
    assert (answer.status_code, answer.json()["code"]) == (403, "tenant_not_provisioned")


async def test_a_role_change_is_felt_by_the_next_request(house: House) -> None:
    user = await house.person("ada", "viewer")
    async with house.http(**bearer(await access_token(house))) as http:
        assert (await http.post("/v1/chat")).status_code == 403
        await house.identity.set_roles(house.console, user.id, ["member"])
        assert (await http.post("/v1/chat")).status_code == 200


async def test_a_stream_finds_out_that_its_session_ended(house: House) -> None:
    user = await house.person()
    await house.tokens()
    session = (await house.identity.sessions(turn_of(user)))[0]
    principal = replace(turn_of(user).principal, session_id=str(session.id))
    streaming = begin(principal)
    await house.identity.recheck(streaming)
    await house.identity.set_status(house.console, user.id, "suspended")
    with pytest.raises(SessionRevoked):
        await house.identity.recheck(streaming)


async def test_an_api_key_opens_what_its_scopes_say_by_either_header(house: House) -> None:
    user = await house.person()
    key = await house.identity.create_key(house.console, user_id=user.id, name="k", scopes=["chat"])
    async with house.http() as http:
        for headers in (bearer(key), {"X-Api-Key": key}):
            assert (await http.post("/v1/chat", headers=headers)).status_code == 200
            assert (await http.get("/v1/auth/verify", headers=headers)).status_code == 204
            assert (await http.get("/v1/auth/me", headers=headers)).json()["csrfToken"] is None


@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key"])
async def test_t26_a_limited_key_gets_no_further_by_another_header(house: House, header: str) -> None:
    user = await house.person("ada", "owner")
    key = await house.identity.create_key(house.console, user_id=user.id, name="k", scopes=["models"])
    async with house.http(**{header: key if header == "X-Api-Key" else f"Bearer {key}"}) as http:
        codes = [
            (await http.post("/v1/chat")).json()["code"],
            (await http.get("/v1/admin/users")).json()["code"],
            (await http.post("/v1/auth/keys", json={"name": "x", "scopes": ["admin"]})).json()["code"],
        ]
    assert codes == ["insufficient_scope"] * 3


async def test_a_refused_key_is_told_the_scope_that_it_lacks(house: House) -> None:
    user = await house.person("ada", "owner")
    key = await house.identity.create_key(house.console, user_id=user.id, name="k", scopes=["models"])
    async with house.http(Authorization=f"Bearer {key}") as http:
        chat = await http.post("/v1/chat")
        keys = await http.post("/v1/auth/keys", json={"name": "x", "scopes": ["admin"]})
    assert chat.json()["error"] == "The API key does not have the scope chat, which this needs."
    assert keys.json()["error"] == "This takes a signed-in person, and no API key."


async def test_a_keys_scope_gives_nothing_that_its_owner_has_not(house: House) -> None:
    user = await house.person("ada", "member")
    key = await house.identity.create_key(house.console, user_id=user.id, name="k", scopes=["admin"])
    async with house.http(**bearer(key)) as http:
        answer = await http.get("/v1/admin/users")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("flaw", ["expired", "revoked", "checksum", "unknown", "cut"])
async def test_t30_a_key_that_does_not_stand_is_refused(house: House, flaw: str) -> None:
    user = await house.person()
    key = await house.identity.create_key(house.console, user_id=user.id, name="k", scopes=["chat"])
    match flaw:
        case "expired":
            owner = await asyncpg.connect(house.kernel.urls.owner)
            await owner.execute("UPDATE identity.api_key SET expires_at = now()")
            await owner.close()
        case "revoked":
            await house.identity.revoke_key(house.console, user_id=user.id, key_id=key.split("_")[1])
        case "checksum":
            key = key[:-1] + ("A" if key[-1] != "A" else "B")
        case "unknown":
            key = new_api_key()[1]
        case "cut":
            key = key[:-7]
    async with house.http(**bearer(key)) as http:
        answer = await http.post("/v1/chat")
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_api_key")


async def test_a_keys_secret_is_shown_once_and_stored_as_a_hash(house: House) -> None:
    await house.person()
    async with house.browser() as http:
        made = await http.post("/v1/auth/keys", json={"name": "laptop", "scopes": ["chat", "models"]})
        listed = (await http.get("/v1/auth/keys")).json()["keys"]
        key = made.json()["key"]
        assert made.status_code == 201
        assert made.headers["cache-control"] == "no-store"
        assert [(item["name"], item["scopes"], item["revoked"]) for item in listed] == [
            ("laptop", ["chat", "models"], False)
        ]
        assert "key" not in listed[0]
        assert (await http.delete(f"/v1/auth/keys/{listed[0]['id']}")).status_code == 204
    dump = str(await house.kernel.connections.system.fetch("SELECT * FROM identity.api_key"))
    logged = str(await house.kernel.connections.system.fetch("SELECT data FROM core.event"))
    secret = key.split("_")[2]
    assert secret not in dump + logged
    assert [kind for kind, _ in await house.events("auth.key")] == ["auth.key_created", "auth.key_revoked"]


async def test_someone_elses_keys_do_not_exist_for_one(house: House) -> None:
    ada, eve = await house.person("ada"), await house.person("eve")
    key = await house.identity.create_key(house.console, user_id=ada.id, name="k", scopes=["chat"])
    async with house.browser("eve") as http:
        assert (await http.delete(f"/v1/auth/keys/{key.split('_')[1]}")).status_code == 404
    with pytest.raises(Forbidden):
        await house.identity.keys(turn_of(eve), user_id=ada.id)


@pytest.mark.parametrize("role", ["member", "viewer"])
async def test_p10_a_low_role_is_refused_on_admin_routes_and_the_denial_is_an_event(house: House, role: str) -> None:
    user = await house.person("ada", role)
    async with house.browser() as http:
        answers = [
            await http.get("/v1/admin/users"),
            await http.post("/v1/admin/users", json={"name": "E", "email": "e@example.org", "password": PASSWORD}),
            await http.patch(f"/v1/admin/users/{user.id}", json={"roles": ["owner"]}),
        ]
    assert [(a.status_code, a.json()["code"]) for a in answers] == [(403, "forbidden")] * 3
    denied = await house.events("auth.denied")
    assert [(body["actor"], body["policy"]) for _, body in denied] == [
        (f"user:{user.pseudonym}", "admin.manage_users")
    ] * 3


async def test_p10_a_role_in_ones_own_profile_is_an_unknown_field(house: House) -> None:
    await house.person()
    async with house.browser() as http:
        refused = await http.patch("/v1/auth/me", json={"name": "Ada L.", "roles": ["owner"]})
        taken = await http.patch("/v1/auth/me", json={"name": "Ada L."})
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_field")
    assert (taken.status_code, taken.json()["user"]["displayName"]) == (200, "Ada L.")


async def test_an_admin_can_neither_make_an_owner_nor_touch_one(house: House) -> None:
    owner = await house.person("olga", "owner")
    admin = turn_of(await house.person("adam", "admin"))
    member = await house.person("mia", "member")
    with pytest.raises(Forbidden):
        await house.identity.set_roles(admin, member.id, ["owner"])
    with pytest.raises(Forbidden):
        await house.identity.set_password(admin, owner.id, "quite another passphrase")
    with pytest.raises(Forbidden):
        await house.identity.set_roles(admin, owner.id, ["member"])
    with pytest.raises(Forbidden):
        await house.identity.create_key(admin, user_id=owner.id, name="k", scopes=["admin"])
    assert (await house.identity.set_roles(admin, member.id, ["admin"])).roles == ("admin",)


async def test_the_last_owner_stays_one(house: House) -> None:
    owner = await house.person("olga", "owner")
    with pytest.raises(LastOwner):
        await house.identity.set_roles(house.console, owner.id, ["member"])
    with pytest.raises(LastOwner):
        await house.identity.set_status(house.console, owner.id, "deactivated")


async def test_of_two_owners_who_demote_each_other_at_once_one_remains(house: House) -> None:
    first, second = await house.person("one", "owner"), await house.person("two", "owner")
    results = await asyncio.gather(
        house.identity.set_roles(turn_of(first), second.id, ["member"]),
        house.identity.set_roles(turn_of(second), first.id, ["member"]),
        return_exceptions=True,
    )
    owners = [user for user in await house.identity.users(house.console) if "owner" in user.roles]
    assert len(owners) == 1, results


async def test_people_are_managed_over_http_by_an_admin(house: House) -> None:
    await house.person("adam", "admin")
    async with house.browser("adam") as http:
        body = {"name": "Mia", "email": "Mia@example.org", "password": PASSWORD, "roles": ["viewer"]}
        made = await http.post("/v1/admin/users", json=body)
        again = await http.post("/v1/admin/users", json=body)
        changed = await http.patch(f"/v1/admin/users/{made.json()['id']}", json={"status": "suspended", "name": "M"})
        listed = (await http.get("/v1/admin/users")).json()["users"]
        unknown = await http.get("/v1/admin/users/00000000-0000-7000-8000-00000000ffff")
    assert (made.status_code, made.json()["email"], made.json()["roles"]) == (201, "mia@example.org", ["viewer"])
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert (changed.json()["status"], changed.json()["name"]) == ("suspended", "M")
    assert [user["handle"] for user in listed] == ["adam", "mia"]
    assert unknown.status_code == 404
    assert [kind for kind, _ in await house.events("admin.user")] == [
        "admin.user.created",
        "admin.user.created",
        "admin.user.renamed",
        "admin.user.status_changed",
    ]


async def test_two_people_with_one_local_part_have_two_handles(house: House) -> None:
    made = [
        await house.identity.create_user(
            house.console, name="Ada", email=f"ada@{host}.example", password=PASSWORD, roles=["member"]
        )
        for host in ("a", "b", "c")
    ]
    assert [user.handle for user in made] == ["ada", "ada2", "ada3"]


async def test_p08_another_tenant_in_the_header_is_refused_and_ones_own_passes(house: House) -> None:
    await house.person()
    async with house.http(**bearer(await access_token(house))) as http:
        own = await http.get("/v1/whoami", headers={"X-Tenant-ID": str(TENANT).upper()})
        other = await http.get("/v1/whoami", headers={"X-Tenant-ID": "00000000-0000-7000-8000-0000000000ff"})
    assert own.status_code == 200
    assert (other.status_code, other.json()["code"]) == (403, "tenant_mismatch")


async def test_h01_stripped_identity_headers_are_an_event_once_a_minute(house: House) -> None:
    user = await house.person()
    async with house.http(**bearer(await access_token(house))) as http:
        for _ in range(3):
            answer = await http.get("/v1/whoami", headers={"X-User-Id": "root", "X-Aibox-Principal": "v1.a.b.c"})
            assert answer.json()["id"] == str(user.id)
    assert await house.events("auth.header_stripped") == [
        (
            "auth.header_stripped",
            {"actor": f"user:{user.pseudonym}", "headers": ["x-aibox-principal", "x-user-id"]},
        )
    ]


async def test_a_request_that_records_nothing_leaves_nothing(house: House) -> None:
    await house.person()
    token = await access_token(house)
    before = await house.kernel.connections.system.fetchval("SELECT count(*) FROM core.turn")
    async with house.http(**bearer(token)) as http:
        assert (await http.get("/v1/auth/me")).status_code == 200
    assert await house.kernel.connections.system.fetchval("SELECT count(*) FROM core.turn") == before


async def test_every_turn_that_recorded_something_is_ended_with_its_outcome(house: House) -> None:
    await house.person()
    async with house.browser() as http:
        await http.post("/v1/auth/keys", json={"name": "k", "scopes": ["chat"]})
        await http.get("/v1/admin/users")
    rows = await house.kernel.connections.system.fetch(
        "SELECT t.outcome, array_agg(e.type ORDER BY e.seq) AS types FROM core.turn t JOIN core.event e USING (turn)"
        " WHERE t.state = 'ended' GROUP BY t.turn, t.outcome ORDER BY t.turn"
    )
    ended = {tuple(row["types"]): row["outcome"] for row in rows}
    assert ended["turn_started", "auth.key_created", "turn_sealed"] == "sealed"
    assert ended["turn_started", "auth.denied", "turn_sealed"] == "denied"
    assert ended["turn_started", "auth.login", "turn_sealed"] == "sealed"


async def test_without_the_database_nobody_is_let_in(house: House) -> None:
    await house.person()
    token = await access_token(house)
    house.kernel.connections.system.terminate()
    async with house.http(**bearer(token)) as http:
        answer = await http.get("/v1/whoami")
    assert (answer.status_code, answer.json()["code"]) == (503, StateUnavailable.code)


async def test_a_refresh_token_nobody_gave_out_is_refused(house: House) -> None:
    with pytest.raises(InvalidGrant):
        await house.identity.refresh(house.console, refresh_token="x" * 43)


async def test_a_stranger_to_the_tenant_does_not_exist(house: House) -> None:
    with pytest.raises(NotFound):
        await house.identity.user(house.console, TENANT)


async def _warm_until_remembered(house: House, http: httpx.AsyncClient, token: str) -> None:
    """Ask until the listener is up and the credential is remembered."""
    async with asyncio.timeout(5):
        while not house.identity._standing._known:
            assert (await http.get("/v1/whoami", headers=bearer(token))).status_code == 200
            await asyncio.sleep(0.02)


async def _cut_listeners(house: House) -> None:
    """End every listening session again and again, as a broken network would."""
    admin = await asyncpg.connect(house.kernel.urls.owner.replace("aibox_owner@", "postgres@"))
    try:
        while True:
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND (query LIKE 'LISTEN%' OR query = 'SELECT 1')"
            )
            await asyncio.sleep(0.02)
    finally:
        await admin.close()
