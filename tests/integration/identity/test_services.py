"""What administrators decide of other sign-in services: groups to roles, health, and trying a token or a sign-in."""

from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from msgspec.structs import replace

from aibox.core.turn import begin
from aibox.identity import SessionRevoked, Settings
from tests.conftest import Kernel
from tests.integration.identity.house import BASE, House, opened
from tests.integration.identity.idp import Idp, serving
from tests.integration.identity.test_sso import begun, consented, provider, row

IDPS = "/v1/admin/sso/idps"

__all__ = ["provider"]


@pytest.fixture
async def idp() -> AsyncGenerator[Idp]:
    async with serving() as idp:
        yield idp


@pytest.fixture
async def house(kernel: Kernel, idp: Idp) -> AsyncGenerator[House]:
    """A house that trusts an Entra-like issuer, whose group of members has a role by the settings."""
    entra = replace(idp.entra, alias="entra", name="Entra")
    async with opened(kernel, settings=Settings(additional_issuers=(entra,))) as house:
        await house.person("ada", "owner")
        yield house


async def put_groups(page: httpx.AsyncClient, groups: dict[str, str] | None, claim: str = "groups") -> httpx.Response:
    body = {"groups_claim": None if groups is None else claim, "groups": groups}
    return await page.put(f"{IDPS}/entra/groups", json=body)


async def roles_of(house: House, token: str) -> tuple[int, Any]:
    async with house.http(Authorization=f"Bearer {token}") as http:
        answer = await http.get("/v1/auth/me")
    return answer.status_code, answer.json().get("roles", answer.json().get("code"))


async def test_the_table_is_shown_without_its_secret(kernel: Kernel, idp: Idp) -> None:
    secret = replace(idp.entra, alias="entra", client_secret="a-secret-of-the-settings")
    async with opened(kernel, settings=Settings(additional_issuers=(secret,))) as house:
        await house.person("ada", "owner")
        async with house.browser() as page:
            answer = await page.get(IDPS)
    (seen,) = answer.json()["services"]
    assert answer.json()["callback"] == f"{BASE}/v1/auth/callback"
    assert (seen["alias"], seen["groups"], seen["is_set_here"]) == ("entra", {"group-of-members": "member"}, False)
    assert seen["health"] == {"keys": 0, "age": None, "failure": None}
    assert "a-secret-of-the-settings" not in answer.text


async def test_health_tells_the_keys_their_age_and_why_the_last_fetch_failed(house: House, idp: Idp) -> None:
    async with house.browser() as page:
        good = (await page.post(f"{IDPS}/entra/check")).json()["health"]
        keys = house.identity._issuers._keys[idp.url]
        keys._tried = float("-inf")  # as if time had passed
        idp.mode = "html"
        bad = (await page.post(f"{IDPS}/entra/check")).json()["health"]
        before = idp.fetches
        for _ in range(5):
            await page.post(f"{IDPS}/entra/check")
    assert (good["keys"], good["failure"]) == (1, None)
    assert good["age"] in (0, 1)
    assert (bad["keys"], bad["failure"]) == (1, "the answer is no key set")
    assert idp.fetches == before, "an impatient administrator does not flood the issuer"


async def test_a_group_gets_a_role_with_the_next_token_and_loses_it_again(house: House, idp: Idp) -> None:
    token = idp.entra_token(groups=["auditors"])
    assert await roles_of(house, token) == (403, "role_not_mapped")
    async with house.browser() as page:
        role = {"name": "auditor", "label": "Auditor", "permissions": {"admin": {"view_audit_log": True}}}
        assert (await page.post("/v1/admin/roles", json=role)).status_code == 201
        answer = await put_groups(page, {"auditors": "auditor", "bosses": "viewer"})
        assert answer.json()["is_set_here"] is True
        assert await roles_of(house, token) == (200, ["auditor"])
        assert (await page.delete("/v1/admin/roles/auditor")).json()["code"] == "role_in_use"
        await put_groups(page, {"bosses": "viewer"})
        assert await roles_of(house, token) == (403, "role_not_mapped")
        assert await roles_of(house, idp.entra_token(groups=["group-of-members"])) == (403, "role_not_mapped")
        back = await put_groups(page, None)
        assert (back.json()["groups"], back.json()["is_set_here"]) == ({"group-of-members": "member"}, False)
    assert await roles_of(house, idp.entra_token(groups=["group-of-members"])) == (200, ["member"])
    told = [body for kind, body in await house.events("admin.sso.") if kind == "admin.sso.groups_mapped"]
    assert [body["roles"] for body in told] == [["auditor", "viewer"], ["viewer"], ["member"]]


async def test_the_claim_of_the_groups_is_set_with_them(house: House, idp: Idp) -> None:
    async with house.browser() as page:
        await put_groups(page, {"staff": "viewer"}, claim="resource.teams")
    assert await roles_of(house, idp.entra_token(resource={"teams": ["staff"]})) == (200, ["viewer"])


async def test_t20_a_stream_ends_when_its_persons_next_token_has_lost_the_role(house: House, idp: Idp) -> None:
    both, one = idp.entra_token(groups=["a", "b"]), idp.entra_token(groups=["b"])
    async with house.browser() as page:
        await put_groups(page, {"a": "admin", "b": "viewer"})
    headers = [(b"authorization", f"Bearer {both}".encode())]
    principal = await house.identity.authenticate(headers, "GET", "/v1/whoami")
    assert principal is not None
    turn = begin(principal)
    await house.identity.recheck(turn)
    assert await roles_of(house, one) == (200, ["viewer"])
    with pytest.raises(SessionRevoked):
        await house.identity.recheck(turn)


async def test_p10_nobody_maps_a_group_to_more_than_they_have_or_takes_that_from_one(house: House) -> None:
    await house.person("bob", "admin")
    await house.person("eve", "member")
    async with house.browser("bob") as page:
        refused = [await put_groups(page, {"g": "owner"})]
        assert (await put_groups(page, {"g": "admin"})).status_code == 200
    async with house.browser("ada") as page:
        assert (await put_groups(page, {"g": "owner"})).status_code == 200
    async with house.browser("bob") as page:
        refused += [await put_groups(page, {"g": "member"}), await put_groups(page, None)]
    writer = {"name": "writer", "label": "Writer", "permissions": {"chat": True, "admin": {"manage_roles": True}}}
    async with house.browser("ada") as page:
        await page.post("/v1/admin/roles", json=writer)
    await house.person("zoe", "writer")
    async with house.browser("zoe") as page:  # who writes roles, and hands none out
        await page.post("/v1/admin/roles", json={"name": "tag", "label": "Tag", "permissions": {}})
        refused += [await put_groups(page, {"g": "tag"})]
    async with house.browser("eve") as page:
        refused += [await put_groups(page, {"g": "member"}), await page.get(IDPS)]
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(403, "forbidden")] * 6


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"groups_claim": "", "groups": {"g": "member"}}, "validation_failed"),
        ({"groups_claim": "a b", "groups": {"g": "member"}}, "validation_failed"),
        ({"groups_claim": "groups", "groups": {"": "member"}}, "validation_failed"),
        ({"groups_claim": "groups", "groups": {"g": "root"}}, "validation_failed"),
        ({"groups_claim": "groups", "groups": {f"g{n}": "member" for n in range(201)}}, "validation_failed"),
        ({"groups": {}}, "validation_failed"),
    ],
)
async def test_a_mapping_that_cannot_be_is_refused(house: House, body: dict[str, Any], code: str) -> None:
    async with house.browser() as page:
        answer = await page.put(f"{IDPS}/entra/groups", json=body)
        unknown = await page.put(f"{IDPS}/elsewhere/groups", json={"groups_claim": "groups", "groups": {}})
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert unknown.status_code == 404


async def test_a_token_is_read_and_nothing_is_changed(house: House, idp: Idp) -> None:
    async with house.browser() as page:
        good = (await page.post(f"{IDPS}/entra/test", json={"token": idp.entra_token()})).json()
        unmapped = (await page.post(f"{IDPS}/entra/test", json={"token": idp.entra_token(groups=["x"])})).json()
        wrong = [
            await page.post(f"{IDPS}/entra/test", json={"token": token})
            for token in (idp.entra_token(aud="another"), idp.entra_token(iss="https://evil.example"), "nonsense")
        ]
        people = (await page.get("/v1/admin/users")).json()["users"]
    assert (good["roles"], good["refused"], good["is_known"]) == (["member"], "", False)
    assert good["claims"]["scp"] == "access_as_user"
    assert (unmapped["roles"], unmapped["refused"]) == ([], "role_not_mapped")
    assert [a.json()["code"] for a in wrong] == ["invalid_audience", "invalid_issuer", "invalid_token"]
    assert len(people) == 1


# With a real provider


@pytest.fixture
async def corp(kernel: Kernel, provider: str) -> AsyncGenerator[House]:
    async with opened(kernel, settings=Settings(additional_issuers=(row(provider),))) as house:
        await house.person("ada", "owner")
        yield house


async def test_a_sign_in_is_tried_and_signs_nobody_in(corp: House) -> None:
    async with corp.browser() as page:
        address = (await page.post(f"{IDPS}/corp/test/begin")).json()["address"]
        back = await page.get(await consented(address, "zoe"))
        shown = parse_qs(urlsplit(back.text.partition("url=")[2].partition('"')[0]).fragment)
        examined = await page.post("/v1/admin/sso/tested", json={"test": shown["test"][0]})
        again = await page.post("/v1/admin/sso/tested", json={"test": shown["test"][0]})
        people = (await page.get("/v1/admin/users")).json()["users"]
        me = (await page.get("/v1/auth/me")).json()
    assert examined.json()["claims"]["sub"] == "zoe"
    assert (examined.json()["roles"], examined.json()["is_known"]) == (["member"], False)
    assert (again.status_code, again.json()["code"]) == (401, "challenge_invalid")
    assert [one["email"] for one in people] == ["ada@example.org"]
    assert me["user"]["email"] == "ada@example.org", "the session is still the administrator's"


async def test_what_came_back_of_a_test_is_its_testers_only(corp: House) -> None:
    await corp.person("bob", "owner")
    async with corp.browser() as page, corp.browser("bob") as other:
        address = (await page.post(f"{IDPS}/corp/test/begin")).json()["address"]
        back = await page.get(await consented(address, "zoe"))
        test = parse_qs(urlsplit(back.text.partition("url=")[2].partition('"')[0]).fragment)["test"][0]
        stolen = await other.post("/v1/admin/sso/tested", json={"test": test})
    assert (stolen.status_code, stolen.json()["code"]) == (401, "challenge_invalid")


async def test_an_invitation_is_accepted_by_another_service_once(kernel: Kernel, provider: str) -> None:
    undecided = replace(row(provider), groups={})
    async with opened(kernel, settings=Settings(additional_issuers=(undecided,))) as house:
        await house.person("ada", "owner")
        async with house.browser() as page:
            sent = {"email": "zoe@example.org", "roles": ["viewer", "admin"]}
            token = (await page.post("/v1/admin/invitations", json=sent)).json()["link"].partition("#token=")[2]
        async with house.http(Origin=BASE) as http:
            first = await http.post("/v1/auth/invitation/sso", json={"token": token, "idp": "corp"})
            answer = await http.get(await consented(first.json()["address"], "zoe"))
            me = (await http.get("/v1/auth/me")).json()
        async with house.http(Origin=BASE) as http:
            second = await http.post("/v1/auth/invitation/sso", json={"token": token, "idp": "corp"})
    assert answer.status_code == 200, answer.text
    assert sorted(me["roles"]) == ["admin", "viewer"]
    assert (second.status_code, second.json()["code"]) == (401, "challenge_invalid")


async def test_of_two_sign_ins_by_one_invitation_only_one_gets_its_roles(
    kernel: Kernel,
    provider: str,
) -> None:
    undecided = replace(row(provider), groups={})
    async with opened(kernel, settings=Settings(additional_issuers=(undecided,))) as house:
        await house.person("ada", "owner")
        async with house.browser() as page:
            sent = {"email": "zoe@example.org", "roles": ["admin"]}
            token = (await page.post("/v1/admin/invitations", json=sent)).json()["link"].partition("#token=")[2]
        async with house.http(Origin=BASE) as one, house.http(Origin=BASE) as two:
            addresses = [
                (await http.post("/v1/auth/invitation/sso", json={"token": token, "idp": "corp"})).json()["address"]
                for http in (one, two)
            ]
            answers = [
                await one.get(await consented(addresses[0], "zoe")),
                await two.get(await consented(addresses[1], "yves")),
            ]
        people = await house.identity.users(house.console)
    assert [answer.status_code for answer in answers] == [200, 401]
    assert [person.roles for person in people] == [("owner",), ("admin",)]


async def test_l09_a_refused_callback_is_a_page_for_a_person_and_names_the_code(corp: House) -> None:
    async with corp.http(Accept="text/html,application/xhtml+xml") as http:
        address = await begun(http)
        query = {"state": parse_qs(urlsplit(address).query)["state"][0], "error": "access_denied", "code": ""}
        answer = await http.get("/v1/auth/callback", params={**query, "iss": "https://evil.example"})
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/html")
    target = answer.text.partition("url=")[2].partition('"')[0]
    assert target.startswith("/sign-in#refused=invalid_request&amp;turn=")
    assert "evil.example" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
