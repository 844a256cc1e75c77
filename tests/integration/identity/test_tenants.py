"""Tenants: one's own name, and for who runs several: making one, suspending one, and that owners do neither."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from aibox.core.turn import system_turn
from aibox.identity import TenancySettings
from tests.conftest import Kernel
from tests.integration.identity.house import BASE, PASSWORD, TENANT, House, opened

TENANTS = "/v1/admin/tenants"
MULTI = TenancySettings(mode="multi")


@pytest.fixture
async def several(kernel: Kernel) -> AsyncGenerator[House]:
    """An installation of several tenants, which Ada runs."""
    async with opened(kernel, tenancy=MULTI) as house:
        await house.person("ada", "platform_admin")
        yield house


async def made(house: House, name: str = "Other") -> tuple[UUID, httpx.Response]:
    """A tenant, and what its first owner's acceptance of the invitation answers."""
    async with house.browser() as page:
        answer = await page.post(TENANTS, json={"name": name, "owner_email": "eve@other.example"})
    assert answer.status_code == 201, answer.text
    token = answer.json()["invited"]["link"].partition("#token=")[2]
    async with house.http() as http:
        body = {"token": token, "name": "Eve", "password": PASSWORD}
        return UUID(answer.json()["tenant"]["id"]), await http.post("/v1/auth/invitation/accept", json=body)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_tenant_is_made_and_its_first_owner_invited(several: House) -> None:
    other, accepted = await made(several)
    async with several.http(Authorization=f"Bearer {accepted.json()['access_token']}") as http:
        me = (await http.get("/v1/auth/me")).json()
        own = (await http.get("/v1/admin/tenant")).json()
    async with several.browser() as page:
        listed = (await page.get(TENANTS)).json()["tenants"]
    assert (me["user"]["tenantId"], me["roles"]) == (str(other), ["owner"])
    assert (own["name"], own["settings"]) == ("Other", {"groupRoleMapping": {}})
    assert [(one["name"], one["status"]) for one in listed] == [("AIBox", "active"), ("Other", "active")]


@pytest.mark.parametrize("named", ["Other", "OTHER", "id"])
async def test_people_name_their_tenant_at_sign_in_by_its_name_or_id(several: House, named: str) -> None:
    other, _ = await made(several)
    body = {"username": "eve@other.example", "password": PASSWORD}
    async with several.http() as http:
        right = await http.post("/v1/auth/login", json={**body, "tenant": str(other) if named == "id" else named})
        wrong = [
            await http.post("/v1/auth/login", json={**body, "tenant": tenant})
            for tenant in ("AIBox", "Nowhere", str(uuid4()))
        ]
        without = await http.post("/v1/auth/login", json=body)
        config = (await http.get("/v1/auth/config")).json()
    assert right.status_code == 200
    assert {code_of(answer) for answer in (*wrong, without)} == {(401, "invalid_credentials")}
    assert config["tenantAsked"] is True


async def test_t19_the_people_of_a_suspended_tenant_are_out_within_a_second_everywhere(several: House) -> None:
    other, accepted = await made(several)
    bearer = {"Authorization": f"Bearer {accepted.json()['access_token']}"}
    async with (
        opened(several.kernel, tenancy=MULTI) as replica,
        several.browser() as page,
        several.http(**bearer) as here,
        replica.http(**bearer) as there,
    ):
        assert (await there.get("/v1/auth/me")).status_code == 200
        answer = await page.patch(f"{TENANTS}/{other}", json={"status": "suspended"})
        begun = time.monotonic()
        assert answer.json()["status"] == "suspended"
        assert code_of(await here.get("/v1/auth/me")) == (403, "tenant_not_provisioned")
        while (await there.get("/v1/auth/me")).status_code == 200:
            assert time.monotonic() - begun < 1.0
            await asyncio.sleep(0.01)
        await page.patch(f"{TENANTS}/{other}", json={"status": "active"})
        assert (await here.get("/v1/auth/me")).status_code == 200
    rows = await several.kernel.connections.system.fetch(
        "SELECT tenant FROM core.event WHERE type = 'admin.tenant.status_changed'"
    )
    assert sorted(row["tenant"] for row in rows) == sorted([TENANT, TENANT, other, other])


async def test_p10_owners_neither_see_nor_make_nor_suspend_tenants_nor_become_who_does(several: House) -> None:
    other, accepted = await made(several)
    await several.person("bob", "owner")
    mine = (await several.identity.user_by_email(several.console, "bob@example.org")).id
    async with several.browser("bob") as page:
        answers = [
            await page.get(TENANTS),
            await page.post(TENANTS, json={"name": "X", "owner_email": "x@x.org"}),
            await page.patch(f"{TENANTS}/{other}", json={"status": "suspended"}),
            await page.patch(f"/v1/admin/users/{mine}", json={"roles": ["platform_admin"]}),
            await page.post("/v1/admin/invitations", json={"email": "x@x.org", "roles": ["platform_admin"]}),
        ]
        ada = (await several.identity.user_by_email(several.console, "ada@example.org")).id
        answers.append(await page.post(f"/v1/admin/users/{ada}/reset-2fa"))
    assert [code_of(answer) for answer in answers] == [(403, "forbidden")] * 6
    assert accepted.status_code == 200


async def test_ones_own_tenant_is_not_suspended_and_an_unknown_one_is_not_found(several: House) -> None:
    async with several.browser() as page:
        own = await page.patch(f"{TENANTS}/{TENANT}", json={"status": "suspended"})
        unknown = await page.patch(f"{TENANTS}/{uuid4()}", json={"status": "suspended"})
        deleted = await page.patch(f"{TENANTS}/{TENANT}", json={"status": "deleted"})
    assert code_of(own) == (409, "conflict")
    assert code_of(unknown) == (404, "not_found")
    assert deleted.status_code == 422


async def test_no_two_tenants_are_called_the_same(several: House) -> None:
    other, _ = await made(several)
    async with several.browser() as page:
        again = await page.post(TENANTS, json={"name": " other ", "owner_email": "x@x.org"})
        renamed = await page.patch("/v1/admin/tenant", json={"name": "OTHER"})
        same = await page.patch("/v1/admin/tenant", json={"name": "aibox"})
        nobody = await page.post(TENANTS, json={"name": "Third", "owner_email": "nobody"})
        listed = (await page.get(TENANTS)).json()["tenants"]
        empty = await page.patch("/v1/admin/tenant", json={"name": " "})
    assert code_of(again) == code_of(renamed) == (409, "conflict")
    assert same.json()["name"] == "aibox"
    assert code_of(nobody) == (422, "validation_failed")
    assert len(listed) == 2, "no tenant is left behind that nobody could be invited to"
    assert code_of(empty) == (422, "validation_failed")
    assert (await several.identity.tenants.own(system_turn(other))).name == "Other"


async def test_a_single_tenant_installation_knows_of_no_others(house: House) -> None:
    await house.person("ada", "owner")
    async with house.browser() as page:
        config = (await page.get("/v1/auth/config")).json()
        shown = [role["name"] for role in (await page.get("/v1/admin/roles")).json()["roles"]]
        given: Any = await page.post("/v1/admin/invitations", json={"email": "x@x.org", "roles": ["platform_admin"]})
        me = (await page.get("/v1/auth/me")).json()
        answers = [await page.get(TENANTS), await page.post(TENANTS, json={"name": "X", "owner_email": "x@x.org"})]
    assert config["tenantAsked"] is False
    assert shown == ["owner", "admin", "member", "viewer"]
    assert given.status_code == 422
    assert "manage_tenants" not in me["permissions"]["admin"]
    assert {answer.status_code for answer in answers} == {403}
    async with house.http(Origin=BASE) as http:
        named = {"username": "ada@example.org", "password": PASSWORD, "tenant": "whatever"}
        assert (await http.post("/v1/auth/login", json=named)).status_code == 200
