"""Signing in and out over HTTP: the setup link, passwords, the browser's cookie, tokens, and their limits."""

import asyncio
import re

import pytest
from sqlalchemy import Engine, event

from aibox.identity.accounts import Accounts
from aibox.identity.passwords import Passwords
from tests.integration.identity.house import BASE, PASSWORD, TENANT, House

OWNER = {"name": "Ada", "email": "Ada@Example.org", "password": PASSWORD}


async def token(house: House) -> str:
    link = await house.identity.setup_link(house.console)
    assert link is not None
    return link.partition("#token=")[2]


async def test_the_setup_link_makes_the_owner_and_signs_them_in(house: House) -> None:
    link = await house.identity.setup_link(house.console)
    assert link is not None
    assert re.fullmatch(r"http://localhost:8080/setup#token=[A-Za-z0-9_-]{43}", link)
    async with house.http(Origin=BASE) as http:
        assert (await http.get("/v1/auth/config")).json() == {
            "passwordLoginEnabled": True,
            "setupRequired": True,
            "passkeyLoginEnabled": True,
            "windowsLoginEnabled": False,
            "tenantAsked": False,
        }
        answer = await http.post("/v1/auth/setup", json={"token": link.partition("#token=")[2], **OWNER})
        assert answer.status_code == 200
        me = (await http.get("/v1/auth/me")).json()
        assert (await http.get("/v1/auth/config")).json()["setupRequired"] is False
    assert me["user"] == {
        "id": answer.json()["user"]["id"],
        "handle": "ada",
        "email": "ada@example.org",
        "displayName": "Ada",
        "tenantId": str(TENANT),
    }
    assert me["roles"] == ["owner"]
    assert me["permissions"]["admin"]["manage_tenant"] is True
    assert me["csrfToken"] == answer.json()["csrfToken"]
    assert await house.identity.setup_link(house.console) is None


async def test_l03_a_setup_link_works_once(house: House) -> None:
    link = await token(house)
    async with house.http() as http:
        assert (await http.post("/v1/auth/setup", json={"token": link, **OWNER})).status_code == 200
        again = await http.post("/v1/auth/setup", json={"token": link, **OWNER, "email": "eve@example.org"})
    assert (again.status_code, again.json()["code"]) == (401, "challenge_invalid")
    assert len(await house.identity.users(house.console)) == 1


async def test_l03_of_ten_uses_at_once_one_makes_the_owner(house: House) -> None:
    link = await token(house)
    async with house.http() as http:
        bodies = [{"token": link, **OWNER, "email": f"u{n}@example.org"} for n in range(10)]
        answers = await asyncio.gather(*(http.post("/v1/auth/setup", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200, *[401] * 9]
    assert len(await house.identity.users(house.console)) == 1


async def test_l03_a_new_start_voids_the_link_printed_before(house: House) -> None:
    first, second = await token(house), await token(house)
    async with house.http() as http:
        refused = await http.post("/v1/auth/setup", json={"token": first, **OWNER})
        taken = await http.post("/v1/auth/setup", json={"token": second, **OWNER})
    assert (refused.json()["code"], taken.status_code) == ("challenge_invalid", 200)


async def test_l03_a_setup_link_is_void_after_24_hours(house: House) -> None:
    link = await token(house)
    await _as_owner(house, "UPDATE identity.setup_link SET expires_at = expires_at - interval '24 hours'")
    async with house.http() as http:
        refused = await http.post("/v1/auth/setup", json={"token": link, **OWNER})
    assert (refused.status_code, refused.json()["code"]) == (401, "challenge_invalid")


async def test_the_setup_link_survives_a_form_with_mistakes(house: House) -> None:
    link = await token(house)
    async with house.http() as http:
        wrong = await http.post(
            "/v1/auth/setup", json={"token": link, "name": "", "email": "x", "password": "12345678"}
        )
        right = await http.post("/v1/auth/setup", json={"token": link, **OWNER})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "validation_failed")
    assert [field["field"] for field in wrong.json()["fields"]] == ["name", "email", "password"]
    assert right.status_code == 200


async def test_only_a_hash_of_the_setup_link_is_stored(house: House) -> None:
    link = await token(house)
    stored = await _as_owner(house, "SELECT encode(digest, 'escape') FROM identity.setup_link WHERE used_at IS NULL")
    assert link not in str(stored)


async def test_a_page_of_ours_gets_a_cookie_and_no_token(house: House) -> None:
    await house.person()
    async with house.http(Origin=BASE) as http:
        answer = await http.post("/v1/auth/login", json={"username": "ada@example.org", "password": PASSWORD})
    assert answer.status_code == 200
    assert set(answer.json()) == {"user", "csrfToken"}
    cookie = answer.headers["set-cookie"]
    assert re.fullmatch(r"aibox=[A-Za-z0-9_-]{43}; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict", cookie)


async def test_a_client_without_origin_gets_tokens_and_no_cookie(house: House) -> None:
    await house.person()
    async with house.http() as http:
        answer = await http.post("/v1/auth/login", json={"username": "ada", "password": PASSWORD})
        granted = answer.json()
        me = await http.get("/v1/auth/me", headers={"Authorization": f"Bearer {granted['access_token']}"})
    assert set(granted) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 900)
    assert "set-cookie" not in answer.headers
    assert (me.json()["user"]["handle"], me.json()["csrfToken"] is not None) == ("ada", True)


async def test_each_sign_in_has_a_new_session(house: House) -> None:
    await house.person()
    async with house.browser() as first, house.browser() as second:
        assert first.cookies["aibox"] != second.cookies["aibox"]


@pytest.mark.parametrize("username", ["ada@example.org", "nobody@example.org", "' OR 1=1 --", "a\x00b", "\ud800"])
async def test_l01_unknown_user_and_bad_password_look_the_same(house: House, username: str) -> None:
    await house.person()
    async with house.http() as http:
        body = b'{"username":%s,"password":"wrong password"}' % _json(username)
        answer = await http.post("/v1/auth/login", content=body, headers={"Content-Type": "application/json"})
    if username == "\ud800":
        assert answer.status_code == 400  # a lone surrogate is no JSON text
        return
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert {**answer.json(), "turn_id": None} == {
        "error": "E-mail or password is wrong.",
        "code": "invalid_credentials",
        "turn_id": None,
    }


class Counting(Passwords):
    """Passwords whose work is written down: the parameters of each hash that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.work: list[str] = []

    def _matches(self, password: str, stored: str) -> bool:
        self.work.append(stored.rsplit("$", 2)[0])
        return super()._matches(password, stored)


async def test_l01_an_unknown_user_costs_the_work_of_a_bad_password(house: House) -> None:
    """One query and one hash, whoever is named. `make bench-door` measures the time of it."""
    user, away = await house.person(), await house.person("grace")
    await house.identity.set_status(house.console, away.id, "suspended")
    passwords = Counting()
    accounts = Accounts(house.kernel.db, passwords, house.identity._standing)
    work = []
    statements: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        await accounts.verified(house.console, user.email, "wrong password")  # makes the dummy hash
        for name in (user.email, user.handle, "nobody@example.org", away.email, "nobody\x00", "ada' --"):
            passwords.work.clear()
            statements.clear()
            assert await accounts.verified(house.console, name, "wrong password") is None
            work.append(([*passwords.work], [*statements]))
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert work[0][0] == ["$argon2id$v=19$m=19456,t=2,p=1"]
    assert sum("identity" in statement for statement in work[0][1]) == 1
    assert all(one == work[0] for one in work)


async def test_l02_the_sixth_try_on_an_account_waits_even_with_the_right_password(house: House) -> None:
    await house.person()
    async with house.http() as http:
        for n in range(5):
            spoofed = {"X-Forwarded-For": f"198.51.100.{n}"}
            body = {"username": "ada@example.org", "password": "wrong password"}
            assert (await http.post("/v1/auth/login", json=body, headers=spoofed)).status_code == 401
        blocked = await http.post("/v1/auth/login", json={"username": "ADA@example.org", "password": PASSWORD})
    assert (blocked.status_code, blocked.json()["code"]) == (429, "rate_limited")
    assert 0 < int(blocked.headers["retry-after"]) <= 900


async def test_l02_an_account_that_does_not_exist_is_limited_alike(house: House) -> None:
    async with house.http() as http:
        body = {"username": "nobody@example.org", "password": "wrong password"}
        statuses = [(await http.post("/v1/auth/login", json=body)).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]


async def test_l02_of_twenty_guesses_at_once_five_are_judged(house: House) -> None:
    await house.person()
    async with house.http() as http:
        body = {"username": "ada@example.org", "password": "wrong password"}
        answers = await asyncio.gather(*(http.post("/v1/auth/login", json=body) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 15


async def test_l02_the_51st_failure_of_an_address_waits_and_successes_do_not_count(house: House) -> None:
    await house.person()
    async with house.http() as http:
        good = {"username": "ada@example.org", "password": PASSWORD}
        for _ in range(3):
            assert (await http.post("/v1/auth/login", json=good)).status_code == 200
        for n in range(50):
            body = {"username": f"nobody{n}@example.org", "password": "wrong password"}
            assert (await http.post("/v1/auth/login", json=body)).status_code == 401
        assert (await http.post("/v1/auth/login", json=good)).status_code == 429


async def test_a_right_password_forgets_the_failures_before_it(house: House) -> None:
    await house.person()
    async with house.http() as http:
        for password in ["wrong password"] * 4 + [PASSWORD] + ["wrong password"] * 4 + [PASSWORD]:
            answer = await http.post("/v1/auth/login", json={"username": "ada@example.org", "password": password})
            assert answer.status_code == (200 if password == PASSWORD else 401)


async def test_a_suspended_person_cannot_sign_in_and_hears_no_more_than_a_stranger(house: House) -> None:
    user = await house.person()
    await house.identity.set_status(house.console, user.id, "suspended")
    async with house.http() as http:
        answer = await http.post("/v1/auth/login", json={"username": "ada@example.org", "password": PASSWORD})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:8081", "null", "https://localhost:8080"])
async def test_l12_a_login_from_a_foreign_page_is_refused(house: House, origin: str) -> None:
    await house.person()
    async with house.http(Origin=origin) as http:
        answer = await http.post("/v1/auth/login", json={"username": "ada@example.org", "password": PASSWORD})
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
    assert "set-cookie" not in answer.headers


async def test_l12_a_login_that_the_browser_calls_cross_site_is_refused(house: House) -> None:
    await house.person()
    async with house.http(**{"Sec-Fetch-Site": "cross-site"}) as http:
        answer = await http.post("/v1/auth/login", json={"username": "ada@example.org", "password": PASSWORD})
    assert answer.json()["code"] == "csrf_failed"


@pytest.mark.parametrize(
    "change",
    [
        {"X-CSRF-Token": None},
        {"X-CSRF-Token": "A" * 43},
        {"X-CSRF-Token": ""},
        {"Origin": None},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_l12_a_write_by_cookie_needs_our_page_and_its_token(house: House, change: dict[str, str | None]) -> None:
    await house.person()
    async with house.browser() as http:
        assert (await http.post("/v1/chat")).status_code == 200
        for name, value in change.items():
            del http.headers[name]
            if value is not None:
                http.headers[name] = value
        refused = await http.post("/v1/chat")
        read = await http.get("/v1/auth/me")
    assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")
    assert read.status_code == 200, "reading changes nothing and needs no token"


async def test_l12_the_token_of_another_session_does_not_do(house: House) -> None:
    await house.person()
    async with house.browser() as mine, house.browser() as other:
        mine.headers["X-CSRF-Token"] = other.headers["X-CSRF-Token"]
        assert (await mine.post("/v1/chat")).json()["code"] == "csrf_failed"


async def test_l13_a_cookie_after_logout_is_revoked_and_forgotten_by_the_browser(house: House) -> None:
    await house.person()
    async with house.browser() as http:
        stolen = http.cookies["aibox"]
        out = await http.post("/v1/auth/logout")
        assert (out.status_code, "Max-Age=0" in out.headers["set-cookie"]) == (204, True)
    async with house.http(Cookie=f"aibox={stolen}") as http:
        refused = await http.get("/v1/auth/me")
    assert (refused.status_code, refused.json()["code"]) == (401, "session_revoked")
    assert "Max-Age=0" in refused.headers["set-cookie"]


async def test_l13_a_cookie_after_a_password_change_is_revoked(house: House) -> None:
    user = await house.person()
    async with house.browser() as http:
        await house.identity.set_password(house.console, user.id, "quite another passphrase")
        refused = await http.get("/v1/auth/me")
    assert (refused.status_code, refused.json()["code"]) == (401, "session_revoked")


async def test_an_ended_session_may_still_see_the_sign_in_page_and_sign_in(house: House) -> None:
    await house.person()
    async with house.http(Cookie="aibox=" + "A" * 43, Origin=BASE) as http:
        assert (await http.get("/v1/auth/config")).status_code == 200
        again = await http.post("/v1/auth/login", json={"username": "ada@example.org", "password": PASSWORD})
    assert again.status_code == 200


async def test_a_session_ends_after_twelve_idle_hours(house: House) -> None:
    await house.person()
    async with house.browser() as http:
        assert (await http.get("/v1/auth/me")).status_code == 200
        await _as_owner(house, "UPDATE identity.session SET seen_at = seen_at - interval '12 hours'")
        house.identity._standing.forget((await house.identity.users(house.console))[0].id)
        assert (await http.get("/v1/auth/me")).json()["code"] == "session_revoked"


async def test_a_session_ends_after_seven_days_however_busy(house: House) -> None:
    await house.person()
    async with house.browser() as http:
        await _as_owner(house, "UPDATE identity.session SET expires_at = expires_at - interval '7 days'")
        assert (await http.get("/v1/auth/me")).json()["code"] == "session_revoked"


async def test_refreshing_gives_a_new_pair_and_spends_the_old_token(house: House) -> None:
    await house.person()
    first = await house.tokens()
    async with house.http() as http:
        second = (await http.post("/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})).json()
        me = await http.get("/v1/auth/me", headers={"Authorization": f"Bearer {second['access_token']}"})
    assert second["refresh_token"] != first["refresh_token"]
    assert me.status_code == 200


async def test_l10_a_refresh_token_used_twice_ends_its_family(house: House) -> None:
    await house.person()
    first = await house.tokens()
    async with house.http() as http:
        second = (await http.post("/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})).json()
        reused = await http.post("/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})
        heir = await http.post("/v1/auth/refresh", json={"refresh_token": second["refresh_token"]})
        me = await http.get("/v1/auth/me", headers={"Authorization": f"Bearer {second['access_token']}"})
    assert (reused.status_code, reused.json()["code"]) == (400, "invalid_grant")
    assert heir.json()["code"] == "invalid_grant"
    assert me.json()["code"] == "session_revoked"
    assert [kind for kind, _ in await house.events("auth.refresh_reused")] == ["auth.refresh_reused"]


async def test_l10_of_ten_refreshes_at_once_at_most_one_gets_a_pair(house: House) -> None:
    await house.person()
    first = await house.tokens()
    async with house.http() as http:
        body = {"refresh_token": first["refresh_token"]}
        answers = await asyncio.gather(*(http.post("/v1/auth/refresh", json=body) for _ in range(10)))
    assert sum(answer.status_code == 200 for answer in answers) <= 1
    assert {answer.status_code for answer in answers} <= {200, 400}


async def test_an_expired_access_token_does_not_keep_from_refreshing(house: House) -> None:
    await house.person()
    first = await house.tokens()
    async with house.http(Authorization="Bearer expired.or.garbage") as http:
        answer = await http.post("/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert answer.status_code == 200


async def test_sign_ins_and_failures_are_in_the_log_without_names_or_addresses(house: House) -> None:
    await house.person()
    await house.tokens()
    async with house.http() as http:
        await http.post("/v1/auth/login", json={"username": "ada@example.org", "password": "wrong password"})
    logged = await house.events("auth.login")
    assert [(kind, body.get("method"), body.get("code")) for kind, body in logged] == [
        ("auth.login", "password", None),
        ("auth.login_failed", None, "invalid_credentials"),
    ]
    everything = str(await house.kernel.connections.system.fetch("SELECT data FROM core.event"))
    assert "example.org" not in everything
    assert "192.0.2.7" not in everything


async def test_a_failed_sign_in_is_in_the_platform_tenants_log_as_a_denied_turn(house: House) -> None:
    async with house.http() as http:
        answer = await http.post("/v1/auth/login", json={"username": "nobody", "password": "wrong password"})
    row = await house.kernel.connections.system.fetchrow(
        "SELECT tenant, outcome FROM core.turn WHERE turn = $1::uuid", answer.json()["turn_id"]
    )
    assert row is not None
    assert (row["tenant"].int, row["outcome"]) == (0, "denied")


async def test_one_may_see_and_end_ones_own_sessions_only(house: House) -> None:
    await house.person("ada")
    await house.person("eve")
    async with house.browser("ada") as ada, house.browser("eve") as eve:
        await house.tokens("ada")
        mine = (await ada.get("/v1/auth/sessions")).json()["sessions"]
        assert [(session["kind"], session["current"]) for session in mine] == [("token", False), ("web", True)]
        assert (await eve.delete(f"/v1/auth/sessions/{mine[0]['id']}")).status_code == 404
        assert (await ada.delete(f"/v1/auth/sessions/{mine[0]['id']}")).status_code == 204
        assert len((await ada.get("/v1/auth/sessions")).json()["sessions"]) == 1


async def _as_owner(house: House, statement: str) -> object:
    import asyncpg

    connection = await asyncpg.connect(house.kernel.urls.owner)
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()


def _json(text: str) -> bytes:
    import json

    return json.dumps(text).encode()
