"""Signing in with a Windows account over HTTP: NTLMv2 with channel binding, and everything that is refused (L07)."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import structlog
from msgspec.structs import replace

from aibox.core.errors import BootRefused
from aibox.identity import MfaSettings, NtlmSettings, PasswordSettings, Settings
from tests import windows
from tests.conftest import Kernel
from tests.integration.identity.house import House, opened
from tests.windows import Certificate, Domain, Windows, second_of, send

HOST = "ai.example"
BASE = f"https://{HOST}"


@pytest.fixture
def front(tmp_path: Path) -> Certificate:
    """What ends TLS in front of AIBox."""
    return windows.certificate(tmp_path, HOST)


@pytest.fixture
def domain() -> Domain:
    return Domain("alice", "bob", "filesrv$")


@pytest.fixture
async def house(kernel: Kernel, front: Certificate, domain: Domain) -> AsyncGenerator[House]:
    settings = Settings(ntlm=NtlmSettings(enabled=True, certificate=str(front.path)))
    async with opened(kernel, settings=settings, base=BASE, verifier=domain) as house:
        yield house


async def test_a_windows_account_gets_a_token_of_egauth_that_opens_the_api(house: House, front: Certificate) -> None:
    async with house.http() as http:
        assert (await http.get("/v1/auth/config")).json()["windowsLoginEnabled"] is True
        asked = await http.post("/egauth/ntlm")
        answer = await Windows(binding=front.binding).sign_in(http)
        granted = answer.json()
        who = await http.get("/v1/auth/me", headers={"Authorization": f"Bearer {granted['access_token']}"})
        keys = (await http.get("/egauth/jwks")).json()
        assert keys == (await http.get("/auth/jwks")).json()
    assert (asked.status_code, asked.headers["www-authenticate"]) == (401, "NTLM")
    assert answer.status_code == 200
    assert _claims(granted["access_token"])["iss"] == f"{BASE}/egauth"
    assert (who.json()["user"]["displayName"], who.json()["user"]["handle"]) == ("CORP\\alice", "alice")
    assert who.json()["roles"] == ["member"]
    kinds = [kind for kind, _ in await house.events("a")]
    assert kinds.count("admin.user.created") == kinds.count("auth.login") == 1
    assert (await house.events("auth.login"))[0][1]["method"] == "ntlm"


async def test_the_same_account_is_the_same_person_whatever_its_case(house: House, front: Certificate) -> None:
    async with house.http() as http:
        for account in ("CORP\\alice", "corp\\ALICE", "CORP\\bob"):
            assert (await Windows(account, binding=front.binding).sign_in(http)).status_code == 200
    assert len(await house.identity.users(house.console)) == 2


async def test_a_refreshed_token_is_of_the_ordinary_issuer(house: House, front: Certificate) -> None:
    async with house.http() as http:
        granted = (await Windows(binding=front.binding).sign_in(http)).json()
        fresh = await http.post("/v1/auth/refresh", json={"refresh_token": granted["refresh_token"]})
    assert _claims(fresh.json()["access_token"])["iss"] == f"{BASE}/auth"


async def test_a_page_of_ours_gets_the_cookie_and_another_sites_page_nothing(house: House, front: Certificate) -> None:
    async with house.http(Origin=BASE) as http:
        answer = await Windows(binding=front.binding).sign_in(http)
    assert (answer.status_code, "access_token" in answer.json()) == (200, False)
    assert answer.headers["set-cookie"].startswith("__Host-aibox=")
    async with house.http(Origin="https://evil.example") as http:
        refused = await send(http, Windows(binding=front.binding).first())
    assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")


async def test_whoever_signs_in_by_ntlm_administers_nothing_not_even_by_a_key(house: House, front: Certificate) -> None:
    async with house.http() as http:
        granted = (await Windows(binding=front.binding).sign_in(http)).json()
        (user,) = await house.identity.users(house.console)
        await house.identity.set_roles(house.console, user.id, ["owner"])
        bearer = {"Authorization": f"Bearer {granted['access_token']}"}
        me = await http.get("/v1/auth/me", headers=bearer)
        users = await http.get("/v1/admin/users", headers=bearer)
        key = (await http.post("/v1/auth/keys", json={"name": "k", "scopes": ["admin"]}, headers=bearer)).json()["key"]
        by_key = await http.get("/v1/admin/users", headers={"Authorization": f"Bearer {key}"})
    assert not any(me.json()["permissions"]["admin"].values())
    assert (users.status_code, users.json()["code"]) == (403, "forbidden")
    assert (by_key.status_code, by_key.json()["code"]) == (403, "forbidden")


async def test_a_second_factor_is_asked_for_where_the_policy_wants_one(
    kernel: Kernel, front: Certificate, domain: Domain
) -> None:
    settings = Settings(
        ntlm=NtlmSettings(enabled=True, certificate=str(front.path)), mfa=MfaSettings(policy="required")
    )
    async with opened(kernel, settings=settings, base=BASE, verifier=domain) as house, house.http() as http:
        pending = await Windows(binding=front.binding).sign_in(http)
    assert (pending.status_code, pending.json()["status"], "access_token" in pending.json()) == (202, "pending", False)


async def test_a_suspended_person_stays_out(house: House, front: Certificate) -> None:
    async with house.http() as http:
        assert (await Windows(binding=front.binding).sign_in(http)).status_code == 200
        (user,) = await house.identity.users(house.console)
        await house.identity.set_status(house.console, user.id, "suspended")
        answer = await Windows(binding=front.binding).sign_in(http)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")


# What is refused


async def _ntlm_v1(http: httpx.AsyncClient, front: Certificate, monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setenv("LM_COMPAT_LEVEL", "2")
    client = Windows(binding=front.binding)
    return client.third(second_of(await send(http, windows.with_flags(client.first(), 12, put=0x80000))))


async def _without_binding(http: httpx.AsyncClient, front: Certificate, _: pytest.MonkeyPatch) -> bytes:
    client = Windows()
    return client.third(second_of(await send(http, client.first())))


async def _bound_to_another(http: httpx.AsyncClient, front: Certificate, _: pytest.MonkeyPatch) -> bytes:
    """Relayed: the client's own TLS channel ended at the attacker's certificate."""
    client = Windows(binding=windows.certificate(front.path.parent, HOST, "attacker").binding)
    return client.third(second_of(await send(http, client.first())))


async def _for_another_host(http: httpx.AsyncClient, front: Certificate, _: pytest.MonkeyPatch) -> bytes:
    """Relayed: the client meant another server."""
    client = Windows(host="files.corp.test", binding=front.binding)
    return client.third(second_of(await send(http, client.first())))


async def _first_message_altered(http: httpx.AsyncClient, front: Certificate, _: pytest.MonkeyPatch) -> bytes:
    client = Windows(binding=front.binding)
    return client.third(second_of(await send(http, windows.with_flags(client.first(), 12, clear=0x2000_0000))))


async def _second_message_altered(http: httpx.AsyncClient, front: Certificate, _: pytest.MonkeyPatch) -> bytes:
    client = Windows(binding=front.binding)
    second = second_of(await send(http, client.first()))
    return client.third(windows.with_flags(second, 20, clear=0x8000))


async def _third_message_altered(http: httpx.AsyncClient, front: Certificate, _: pytest.MonkeyPatch) -> bytes:
    client = Windows(binding=front.binding)
    return windows.with_flags(client.third(second_of(await send(http, client.first()))), 60, clear=0x8000)


async def _code_stripped(http: httpx.AsyncClient, front: Certificate, _: pytest.MonkeyPatch) -> bytes:
    client = Windows(binding=front.binding)
    third = client.third(second_of(await send(http, client.first())))
    return third[:72] + bytes(16) + third[88:]


async def _challenge_of_our_own(http: httpx.AsyncClient, front: Certificate, _: pytest.MonkeyPatch) -> bytes:
    """A type 2 that we never sent, with a handle of the client's invention."""
    client = Windows(binding=front.binding)
    second = second_of(await send(http, client.first()))
    handle = second[second.index(b"\x05\x00\x40\x00") + 4 :][:64]
    return client.third(second.replace(handle, handle[::-1][1:] + b"\x00"))


async def _another_nonce(http: httpx.AsyncClient, front: Certificate, _: pytest.MonkeyPatch) -> bytes:
    client = Windows(binding=front.binding)
    second = second_of(await send(http, client.first()))
    return client.third(second[:24] + bytes(8) + second[32:])


async def _wrong_password(http: httpx.AsyncClient, front: Certificate, _: pytest.MonkeyPatch) -> bytes:
    client = Windows(password="wrong password", binding=front.binding)
    return client.third(second_of(await send(http, client.first())))


async def _unknown_account(http: httpx.AsyncClient, front: Certificate, _: pytest.MonkeyPatch) -> bytes:
    client = Windows("CORP\\nobody", binding=front.binding)
    return client.third(second_of(await send(http, client.first())))


async def _a_computer(http: httpx.AsyncClient, front: Certificate, _: pytest.MonkeyPatch) -> bytes:
    """A computer's account, which can be made to sign in anywhere."""
    client = Windows("CORP\\filesrv$", binding=front.binding)
    return client.third(second_of(await send(http, client.first())))


async def _without_a_domain(http: httpx.AsyncClient, front: Certificate, _: pytest.MonkeyPatch) -> bytes:
    client = Windows("alice", binding=front.binding)
    return client.third(second_of(await send(http, client.first())))


async def _no_message(http: httpx.AsyncClient, front: Certificate, _: pytest.MonkeyPatch) -> bytes:
    return b"NTLMSSP\x00\x03\x00\x00\x00"


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (_ntlm_v1, "a response of NTLMv1"),
        (_without_binding, "no channel binding, or another's"),
        (_bound_to_another, "no channel binding, or another's"),
        (_for_another_host, "another target"),
        (_first_message_altered, "messages that were altered on the way"),
        (_second_message_altered, "messages that were altered on the way"),
        (_third_message_altered, "messages that were altered on the way"),
        (_code_stripped, "messages that were altered on the way"),
        (_challenge_of_our_own, "no challenge of ours that is still open"),
        (_another_nonce, "a wrong password or an unknown account"),
        (_wrong_password, "a wrong password or an unknown account"),
        (_unknown_account, "a wrong password or an unknown account"),
        (_a_computer, "no person's account of a domain"),
        (_without_a_domain, "no person's account of a domain"),
        (_no_message, "no type 3 message"),
    ],
)
async def test_l07_ntlm_that_is_old_unbound_relayed_or_wrong_is_refused_in_one_way(
    house: House, front: Certificate, monkeypatch: pytest.MonkeyPatch, attack: Callable[..., Any], reason: str
) -> None:
    with structlog.testing.capture_logs() as told:
        async with house.http() as http:
            answer = await send(http, await attack(http, front, monkeypatch))
    _assert_refused(answer)
    assert not await house.identity.users(house.console)
    assert [line["reason"] for line in told if line["event"].startswith("identity.ntlm")] == [reason]


async def test_l07_a_type_3_message_is_good_once(house: House, front: Certificate) -> None:
    client = Windows(binding=front.binding)
    async with house.http() as http:
        third = client.third(second_of(await send(http, client.first())))
        assert (await send(http, third)).status_code == 200
        _assert_refused(await send(http, third))


async def test_l07_of_ten_replays_at_once_one_passes(house: House, front: Certificate) -> None:
    client = Windows(binding=front.binding)
    async with house.http() as http:
        third = client.third(second_of(await send(http, client.first())))
        # Within the throttle, which counts before it judges: five tries an account.
        answers = await asyncio.gather(*(send(http, third) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, *[401] * 4]


async def test_l07_a_challenge_is_of_the_connection_that_asked_for_it(house: House, front: Certificate) -> None:
    client = Windows(binding=front.binding)
    async with house.http() as http, house.connection(4712) as other:
        third = client.third(second_of(await send(http, client.first())))
        _assert_refused(await send(other, third))
        _assert_refused(await send(http, third))  # and it is spent


async def test_l07_an_attack_never_reaches_the_domain_controller(
    house: House, front: Certificate, domain: Domain
) -> None:
    async with house.http() as http:
        _assert_refused(await Windows().sign_in(http))
        _assert_refused(await Windows(host="files.corp.test", binding=front.binding).sign_in(http))
    assert domain.asked == 0


async def test_the_refused_are_counted_and_written_down(house: House, front: Certificate) -> None:
    async with house.http() as http:
        for _ in range(5):
            _assert_refused(await Windows(password="wrong password", binding=front.binding).sign_in(http))
        limited = await Windows(binding=front.binding).sign_in(http)
    assert (limited.status_code, limited.json()["code"]) == (429, "rate_limited")
    assert [body["code"] for _, body in await house.events("auth.login_failed")] == ["ntlm_refused"] * 5


async def test_only_so_many_handshakes_are_open_to_an_address(house: House, front: Certificate) -> None:
    async with house.http() as http:
        first = Windows(binding=front.binding).first()
        answers = [(await send(http, first)).status_code for _ in range(101)]
    assert answers == [401] * 100 + [429]


@pytest.mark.parametrize("scheme", ["Basic YWxpY2U6eA==", "Negotiate abcd", "Bearer x", "NTLM abcd, NTLM efgh", "NTLM"])
async def test_there_is_nothing_weaker_to_fall_back_to(house: House, scheme: str) -> None:
    async with house.http() as http:
        answer = await http.post("/egauth/ntlm", headers={"Authorization": scheme})
    assert answer.status_code in (400, 401)
    assert answer.json()["code"] in ("invalid_request", "ntlm_refused")


async def test_a_renewed_certificate_counts_without_a_restart(house: House, front: Certificate) -> None:
    renewed = windows.certificate(front.path.parent, HOST, "renewed")
    front.path.write_bytes(front.path.read_bytes() + renewed.path.read_bytes())
    async with house.http() as http:
        for certificate in (front, renewed):
            assert (await Windows(binding=certificate.binding).sign_in(http)).status_code == 200
        front.path.write_bytes(renewed.path.read_bytes())
        _assert_refused(await Windows(binding=front.binding).sign_in(http))
        front.path.write_bytes(b"half a file")
        assert (await Windows(binding=renewed.binding).sign_in(http)).status_code == 200


# The compatible entry by password


@pytest.mark.parametrize("username", ["CORP\\alice", "alice"])
async def test_the_compatible_entry_takes_a_windows_password(house: House, username: str) -> None:
    async with house.http() as http:
        answer = await http.post("/egauth/login", json={"username": username, "password": windows.PASSWORD})
    assert _claims(answer.json()["access_token"])["iss"] == f"{BASE}/egauth"


@pytest.mark.parametrize(
    "username", ["CORP\\nobody", "nobody", "alice@corp.test", "CORP\\filesrv$", "a\\b\\alice", "", "\\", "alice\x00"]
)
async def test_l01_the_compatible_entry_answers_a_wrong_name_as_the_other_entry_does(
    house: House, username: str
) -> None:
    async with house.http() as http:
        body = {"username": username, "password": windows.PASSWORD}
        here, there = await http.post("/egauth/login", json=body), await http.post("/v1/auth/login", json=body)
    assert (here.status_code, {**here.json(), "turn_id": 0}) == (401, {**there.json(), "turn_id": 0})


async def test_without_ntlm_the_compatible_entry_takes_local_accounts_and_no_ntlm(kernel: Kernel) -> None:
    async with opened(kernel) as house, house.http() as http:
        user = await house.person()
        body = {"username": user.email, "password": "a long enough passphrase"}
        answer = await http.post("/egauth/login", json=body)
        wrong = await http.post("/egauth/login", json={**body, "password": "wrong password"})
        refused = await http.post("/egauth/ntlm", headers={"Authorization": "NTLM abcd"})
    claims = _claims(answer.json()["access_token"])
    assert (claims["iss"], claims["sub"]) == ("http://localhost:8080/egauth", str(user.id))
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")
    assert (refused.status_code, refused.json()["code"]) == (403, "method_disabled")


async def test_l02_both_entries_count_together(kernel: Kernel) -> None:
    async with opened(kernel) as house, house.http() as http:
        await house.person()
        body = {"username": "ada@example.org", "password": "wrong password"}
        for n in range(5):
            await http.post("/egauth/login" if n % 2 else "/v1/auth/login", json=body)
        answer = await http.post("/egauth/login", json={**body, "password": "a long enough passphrase"})
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")


async def test_l11_the_compatible_entry_is_off_with_passwords(kernel: Kernel, front: Certificate) -> None:
    settings = Settings(issuer="https://id.example", password=PasswordSettings(login=False))
    async with opened(kernel, settings=settings) as house, house.http() as http:
        answer = await http.post("/egauth/login", json={"username": "ada", "password": "a long enough passphrase"})
    assert (answer.status_code, answer.json()["code"]) == (403, "method_disabled")


# What refuses the start


@pytest.mark.parametrize(
    ("change", "base", "named"),
    [
        ({"channel_binding": "off"}, BASE, "CHANNEL_BINDING"),
        ({"certificate": ""}, BASE, "CERTIFICATE"),
        ({"certificate": "/nowhere/front.pem"}, BASE, "CERTIFICATE"),
        ({"certificate": __file__}, BASE, "CERTIFICATE"),
        ({}, "http://localhost:8080", "PUBLIC_URL"),
        ({"verifier": "ldap://dc.corp.test"}, BASE, "VERIFIER"),
    ],
)
async def test_b10_ntlm_without_channel_binding_does_not_start(
    kernel: Kernel, front: Certificate, change: dict[str, str], base: str, named: str
) -> None:
    ntlm = replace(NtlmSettings(enabled=True, certificate=str(front.path)), **change)
    verifier = None if "verifier" in change else Domain()
    with pytest.raises(BootRefused, match=named) as refused:
        async with opened(kernel, settings=Settings(ntlm=ntlm), base=base, verifier=verifier):
            pass
    assert refused.value.code == "boot_login_method"


def _assert_refused(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "NTLM")
    assert {**answer.json(), "turn_id": None} == {
        "error": "The Windows sign-in was refused.",
        "code": "ntlm_refused",
        "turn_id": None,
    }


def _claims(token: str) -> dict[str, object]:
    part = token.split(".")[1]
    claims: dict[str, object] = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims
