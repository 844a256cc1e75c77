"""Signing in by a passkey alone, which names its person and verified them: both factors at once."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from aibox.identity import MfaSettings, PasswordSettings, Settings, User
from tests.conftest import Kernel
from tests.integration.identity.authenticator import USER_PRESENT, Authenticator
from tests.integration.identity.house import BASE, House, opened
from tests.integration.identity.test_factors import enrolled_passkey


async def begun(http: httpx.AsyncClient) -> dict[str, Any]:
    answer = await http.post("/v1/auth/passkey/options")
    assert answer.status_code == 200, answer.text
    challenge: dict[str, Any] = answer.json()
    return challenge


async def finish(http: httpx.AsyncClient, challenge: dict[str, Any], assertion: dict[str, Any]) -> httpx.Response:
    body = {"challenge_token": challenge["challenge_token"], "assertion": assertion}
    return await http.post("/v1/auth/passkey", json=body)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.fixture
async def ada(house: House) -> AsyncGenerator[tuple[User, Authenticator]]:
    """Someone with a passkey."""
    user = await house.person("ada")
    async with house.browser() as page:
        yield user, await enrolled_passkey(page)


async def test_a_passkey_signs_in_without_name_password_or_second_step(
    house: House, ada: tuple[User, Authenticator]
) -> None:
    user, passkey = ada
    async with house.http(Origin=BASE) as http:
        challenge = await begun(http)
        assert challenge["webauthn"]["allowCredentials"] == []
        assert challenge["webauthn"]["userVerification"] == "required"
        answer = await finish(http, challenge, passkey.get(challenge["webauthn"], origin=BASE, handle=user.id.bytes))
        me = await http.get("/v1/auth/me")
    assert answer.status_code == 200
    assert me.json()["user"]["id"] == str(user.id)
    (logged,) = [body for _, body in await house.events("auth.login") if body.get("method") == "passkey"]
    assert logged["actor"] == f"user:{user.pseudonym}"


async def test_a_client_without_a_page_gets_tokens_that_are_a_fresh_sign_in(
    house: House, ada: tuple[User, Authenticator]
) -> None:
    user, passkey = ada
    async with house.http() as http:
        challenge = await begun(http)
        answer = await finish(http, challenge, passkey.get(challenge["webauthn"], origin=BASE, handle=user.id.bytes))
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        made = await http.post("/v1/auth/keys", json={"name": "k", "scopes": ["chat"]}, headers=bearer)
    assert made.status_code == 201


async def test_l08_a_challenge_is_good_once_and_of_ten_at_once_one_signs_in(
    house: House, ada: tuple[User, Authenticator]
) -> None:
    user, passkey = ada
    async with house.http() as http:
        challenge = await begun(http)
        assertion = passkey.get(challenge["webauthn"], origin=BASE, handle=user.id.bytes)
        answers = await asyncio.gather(*(finish(http, challenge, assertion) for _ in range(10)))
        assert sorted(answer.status_code for answer in answers) == [200] + [401] * 9
        assert code_of(await finish(http, challenge, assertion)) == (401, "challenge_invalid")


@pytest.mark.parametrize(
    "flaw",
    [
        {"origin": "https://evil.example"},
        {"rp_id": "evil.example"},
        {"flags": USER_PRESENT},
        {"count": 0},
        {"challenge": "AAAA"},
        {"kind": "webauthn.create"},
        {"handle": None},
        {"handle": b""},
        {"handle": b"short"},
        {"handle": uuid4().bytes},
    ],
)
async def test_l08_an_answer_that_does_not_fit_signs_nobody_in(
    house: House, ada: tuple[User, Authenticator], flaw: dict[str, Any]
) -> None:
    user, passkey = ada
    async with house.http() as http:
        first = await begun(http)
        options: dict[str, Any] = {"origin": BASE, "handle": user.id.bytes}
        await finish(http, first, passkey.get(first["webauthn"], **options))  # so that its counter is above 0
        challenge = await begun(http)
        answer = await finish(http, challenge, passkey.get(challenge["webauthn"], **{**options, **flaw}))
    assert code_of(answer) == (401, "webauthn_failed")


async def test_l08_another_persons_handle_an_unknown_key_and_nonsense_sign_nobody_in(
    house: House, ada: tuple[User, Authenticator]
) -> None:
    user, passkey = ada
    bob = await house.person("bob")
    nonsense: list[dict[str, Any]] = [{}, {"id": 1}, {"response": []}, {"id": "x", "response": {"userHandle": 1}}]
    async with house.http() as http:
        for key, handle in ((passkey, bob.id.bytes), (Authenticator(), user.id.bytes)):
            challenge = await begun(http)
            assertion = key.get(challenge["webauthn"], origin=BASE, handle=handle)
            assert code_of(await finish(http, challenge, assertion)) == (401, "webauthn_failed")
        for wrong in nonsense:
            assert code_of(await finish(http, await begun(http), wrong)) == (401, "webauthn_failed")


async def test_l08_who_registers_anothers_passkey_id_elsewhere_is_not_taken_for_them(
    house: House, ada: tuple[User, Authenticator]
) -> None:
    """The id of a passkey is no secret: another tenant's person may have enrolled a key of their own under it."""
    user, passkey = ada
    forged = Authenticator()
    forged.id = passkey.id
    eve, other = uuid4(), uuid4()
    owner = await asyncpg.connect(house.kernel.urls.owner)
    await owner.execute("INSERT INTO identity.tenant (tenant, name) VALUES ($1, 'Other')", other)
    await owner.execute(
        "INSERT INTO identity.user (tenant, id, handle, email, name, pseudonym, roles)"
        " VALUES ($1, $2, 'eve', 'e@x.org', 'Eve', 'p-eve', '{member}')",
        other,
        eve,
    )
    await owner.execute(
        "INSERT INTO identity.passkey (tenant, id, user_id, name, public_key, sign_count)"
        " VALUES ($1, $2, $3, 'x', $4, 0)",
        other,
        forged.id,
        eve,
        forged.public_key,
    )
    await owner.close()
    async with house.http() as http:
        challenge = await begun(http)
        assertion = forged.get(challenge["webauthn"], origin=BASE, handle=user.id.bytes)
        refused = await finish(http, challenge, assertion)
        challenge = await begun(http)
        hers = await finish(http, challenge, forged.get(challenge["webauthn"], origin=BASE, handle=eve.bytes))
        me = await http.get("/v1/auth/me", headers={"Authorization": f"Bearer {hers.json()['access_token']}"})
    assert code_of(refused) == (401, "webauthn_failed")
    assert me.json()["user"]["id"] == str(eve)


async def test_l02_an_address_that_fails_fifty_times_waits(house: House) -> None:
    async with house.http() as http:
        answers = [await finish(http, {"challenge_token": "x"}, {}) for _ in range(51)]
    assert {answer.status_code for answer in answers[:50]} == {401}
    assert answers[50].status_code == 429


async def test_a_suspended_person_does_not_sign_in(house: House, ada: tuple[User, Authenticator]) -> None:
    user, passkey = ada
    await house.identity.set_status(house.console, user.id, "suspended")
    async with house.http() as http:
        challenge = await begun(http)
        answer = await finish(http, challenge, passkey.get(challenge["webauthn"], origin=BASE, handle=user.id.bytes))
    assert code_of(answer) == (401, "webauthn_failed")


@pytest.mark.parametrize(
    "settings",
    [
        Settings(mfa=MfaSettings(policy="off")),
        Settings(password=PasswordSettings(login=False), issuer="https://id.example/realms/x", client_secret="x" * 20),
    ],
)
async def test_l11_where_it_is_switched_off_there_is_no_challenge(kernel: Kernel, settings: Settings) -> None:
    async with opened(kernel, settings=settings) as house, house.http() as http:
        assert code_of(await http.post("/v1/auth/passkey/options")) == (403, "method_disabled")
        assert code_of(await finish(http, {"challenge_token": "x"}, {})) == (403, "method_disabled")
        assert (await http.get("/v1/auth/config")).json()["passkeyLoginEnabled"] is False


async def test_l12_a_page_of_another_site_signs_nobody_in(house: House, ada: tuple[User, Authenticator]) -> None:
    user, passkey = ada
    async with house.http(Origin="https://evil.example") as http:
        challenge = await begun(http)
        answer = await finish(http, challenge, passkey.get(challenge["webauthn"], origin=BASE, handle=user.id.bytes))
    assert code_of(answer) == (403, "csrf_failed")
