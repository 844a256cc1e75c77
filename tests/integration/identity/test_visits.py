"""Who runs an installation enters one tenant at a time: after a fresh sign-in, seen in both logs, as an owner there."""

from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from aibox.core.turn import begin, system_turn
from aibox.identity import SessionRevoked, TenancySettings
from tests.conftest import Kernel
from tests.integration.identity.house import PASSWORD, TENANT, House, opened
from tests.integration.identity.test_factors import age

TENANTS = "/v1/admin/tenants"
OWN = "/v1/admin/tenant"
MULTI = TenancySettings(mode="multi")


@pytest.fixture
async def several(kernel: Kernel) -> AsyncGenerator[House]:
    """An installation of several tenants, which Ada runs; Bob owns the first one."""
    async with opened(kernel, tenancy=MULTI) as house:
        await house.person("ada", "owner", "platform_admin")
        await house.person("bob", "owner")
        yield house


@pytest.fixture
async def other(several: House) -> UUID:
    """A second tenant, which Eve owns."""
    tenant = await several.identity.create_tenant(several.console, "Other")
    await several.identity.create_user(
        system_turn(tenant), name="Eve", email="eve@other.example", password=PASSWORD, roles=["owner"]
    )
    return tenant


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def told(house: House, kind: str) -> list[tuple[UUID, dict[str, Any]]]:
    """(in whose log, body) of the events of a type."""
    rows = await house.kernel.connections.system.fetch(
        "SELECT tenant, data FROM core.event WHERE type = $1 ORDER BY xact, row_id", kind
    )
    return [(row["tenant"], httpx.Response(200, content=row["data"]).json()["body"]) for row in rows]


async def test_who_enters_a_tenant_is_an_owner_there_and_themselves_in_their_account(
    several: House, other: UUID
) -> None:
    async with several.browser() as page:
        assert (await page.get("/v1/auth/me")).json()["visiting"] is None
        entered = await page.post(f"{TENANTS}/{other}/enter")
        own = (await page.get(OWN)).json()
        people = (await page.get("/v1/admin/users")).json()["users"]
        who = (await page.get("/v1/whoami")).json()
        me = (await page.get("/v1/auth/me")).json()
        listed = (await page.get(TENANTS)).json()["tenants"]
        left = await page.post(f"{TENANTS}/leave")
        back = (await page.get(OWN)).json()
        again = await page.post(f"{TENANTS}/leave")
    assert (entered.status_code, entered.json()["name"]) == (200, "Other")
    assert own["id"] == str(other)
    assert [one["email"] for one in people] == ["eve@other.example"]
    assert who["roles"] == ["owner"]
    assert (me["user"]["email"], me["user"]["tenantId"]) == ("ada@example.org", str(TENANT))
    assert (me["visiting"]["id"], me["visiting"]["name"]) == (str(other), "Other")
    assert len(listed) == 2
    assert (left.status_code, again.status_code) == (204, 204)
    assert back["id"] == str(TENANT)


async def test_both_logs_say_who_entered_and_who_left(several: House, other: UUID) -> None:
    async with several.browser() as page:
        await page.post(f"{TENANTS}/{other}/enter")
        await page.post(f"{TENANTS}/leave")
    ada = await several.identity.user_by_email(several.console, "ada@example.org")
    body = {"actor": f"user:{ada.pseudonym}", "target": str(other)}
    for kind in ("admin.tenant.entered", "admin.tenant.left"):
        assert sorted(await told(several, kind), key=str) == sorted([(other, body), (TENANT, body)], key=str)


async def test_what_is_done_inside_stands_in_that_tenants_log_under_the_visitors_name(
    several: House, other: UUID
) -> None:
    async with several.browser() as page:
        await page.post(f"{TENANTS}/{other}/enter")
        renamed = await page.patch(OWN, json={"name": "Renamed"})
    ada = await several.identity.user_by_email(several.console, "ada@example.org")
    assert renamed.json()["name"] == "Renamed"
    assert await told(several, "admin.tenant.renamed") == [
        (other, {"actor": f"user:{ada.pseudonym}", "target": str(other)})
    ]


async def test_an_invitation_sent_inside_can_be_accepted(several: House, other: UUID) -> None:
    async with several.browser() as page:
        await page.post(f"{TENANTS}/{other}/enter")
        body = {"email": "grace@other.example", "roles": ["owner"]}
        invited = (await page.post("/v1/admin/invitations", json=body)).json()
        await page.post(f"{TENANTS}/leave")
    token = invited["link"].partition("#token=")[2]
    async with several.http() as http:
        sent = {"token": token, "name": "Grace", "password": PASSWORD}
        accepted = await http.post("/v1/auth/invitation/accept", json=sent)
        bearer = {"Authorization": f"Bearer {accepted.json()['access_token']}"}
        assert (await http.get("/v1/auth/me", headers=bearer)).json()["user"]["tenantId"] == str(other)


async def test_one_tenant_at_a_time_and_no_other_than_an_active_one(several: House, other: UUID) -> None:
    third = await several.identity.create_tenant(several.console, "Third")
    async with several.browser() as page:
        own = await page.post(f"{TENANTS}/{TENANT}/enter")
        unknown = await page.post(f"{TENANTS}/{uuid4()}/enter")
        await page.patch(f"{TENANTS}/{third}", json={"status": "suspended"})
        suspended = await page.post(f"{TENANTS}/{third}/enter")
        await page.patch(f"{TENANTS}/{third}", json={"status": "active"})
        await page.post(f"{TENANTS}/{other}/enter")
        second = await page.post(f"{TENANTS}/{third}/enter")
        twice = await page.post(f"{TENANTS}/{other}/enter")
    assert {code_of(answer) for answer in (own, suspended, second, twice)} == {(409, "conflict")}
    assert code_of(unknown) == (404, "not_found")
    assert [tenant for tenant, _ in await told(several, "admin.tenant.entered")].count(third) == 0


async def test_t27_entering_asks_for_a_fresh_sign_in(several: House, other: UUID) -> None:
    async with several.browser() as page:
        await age(several, minutes=11)
        old = await page.post(f"{TENANTS}/{other}/enter")
        await page.post("/v1/auth/step-up", json={"password": PASSWORD})
        fresh = await page.post(f"{TENANTS}/{other}/enter")
    assert code_of(old) == (401, "insufficient_user_authentication")
    assert fresh.status_code == 200


async def test_p10_neither_an_owner_nor_a_key_enters_another_tenant(several: House, other: UUID) -> None:
    async with several.browser("bob") as page:
        owner = [await page.post(f"{TENANTS}/{other}/enter"), await page.post(f"{TENANTS}/leave")]
    ada = await several.identity.user_by_email(several.console, "ada@example.org")
    key = await several.identity.create_key(several.console, user_id=ada.id, name="k", scopes=["admin"])
    async with several.http(Authorization=f"Bearer {key}") as http:
        by_key = await http.post(f"{TENANTS}/{other}/enter")
    assert {code_of(answer) for answer in owner} == {(403, "forbidden")}
    assert code_of(by_key) == (403, "insufficient_scope")


async def test_only_the_session_that_entered_is_inside(several: House, other: UUID) -> None:
    async with several.browser() as page, several.browser() as elsewhere:
        await page.post(f"{TENANTS}/{other}/enter")
        assert (await elsewhere.get(OWN)).json()["id"] == str(TENANT)
        assert (await elsewhere.get("/v1/auth/me")).json()["visiting"] is None


async def test_p08_a_page_that_means_another_tenant_than_the_session_is_in_changes_nothing(
    several: House, other: UUID
) -> None:
    """A second tab of the same browser does not know that its session has entered a tenant."""
    async with several.browser() as page:
        await page.post(f"{TENANTS}/{other}/enter")
        at_home = {"X-Tenant-ID": str(TENANT)}
        refused = await page.patch(OWN, json={"name": "Mine"}, headers=at_home)
        meant = await page.patch(OWN, json={"name": "Theirs"}, headers={"X-Tenant-ID": str(other)})
    assert code_of(refused) == (403, "tenant_mismatch")
    assert meant.status_code == 200


async def test_who_is_inside_a_tenant_that_is_suspended_acts_nowhere_but_may_leave(several: House, other: UUID) -> None:
    async with several.browser() as page:
        await page.post(f"{TENANTS}/{other}/enter")
        await page.patch(f"{TENANTS}/{other}", json={"status": "suspended"})
        inside = await page.get(OWN)
        assert (await page.post(f"{TENANTS}/leave")).status_code == 204
        assert (await page.get(OWN)).json()["id"] == str(TENANT)
    assert code_of(inside) == (403, "tenant_not_provisioned")


async def test_t19_who_loses_the_role_is_inside_no_more(several: House, other: UUID) -> None:
    ada = await several.identity.user_by_email(several.console, "ada@example.org")
    async with several.browser() as page:
        await page.post(f"{TENANTS}/{other}/enter")
        await several.identity.set_roles(several.console, ada.id, ["owner"])
        assert (await page.get(OWN)).json()["id"] == str(TENANT)


async def test_t20_what_streams_inside_ends_when_its_person_leaves(several: House, other: UUID) -> None:
    async with several.browser() as page:
        await page.post(f"{TENANTS}/{other}/enter")
        cookie = f"aibox={page.cookies['aibox']}"
        headers = [(b"cookie", cookie.encode())]
        principal = await several.identity.authenticate(headers, "GET", "/v1/whoami")
        assert principal is not None
        stream = begin(principal)
        await several.identity.recheck(stream)
        await page.post(f"{TENANTS}/leave")
        with pytest.raises(SessionRevoked):
            await several.identity.recheck(stream)
    assert principal.tenant == other


async def test_signing_out_leaves_the_tenant(several: House, other: UUID) -> None:
    async with several.browser() as page:
        await page.post(f"{TENANTS}/{other}/enter")
        assert (await page.post("/v1/auth/logout")).status_code == 204
    assert {tenant for tenant, _ in await told(several, "admin.tenant.left")} == {other, TENANT}


async def test_where_there_is_one_tenant_nobody_enters_any(house: House) -> None:
    await house.person("ada", "owner")
    async with house.browser() as page:
        assert code_of(await page.post(f"{TENANTS}/{uuid4()}/enter")) == (403, "forbidden")
