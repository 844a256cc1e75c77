"""Roles that a tenant makes itself: what they permit, how soon a change is felt, and that nobody gains by it."""

import asyncio
import contextlib
import time
from typing import Any

import httpx
import pytest

from aibox.core.turn import begin, system_turn
from aibox.identity import MfaSettings, SessionRevoked, Settings, TenancySettings, User
from tests.integration.identity.house import PASSWORD, House, opened
from tests.integration.identity.test_factors import age

BASE_ROLES = "/v1/admin/roles"
CHATS = {"chat": True, "tools": {"allowed": ["*"], "denied": ["shell"]}}


def role(name: str = "analyst", **permissions: Any) -> dict[str, Any]:
    return {"name": name, "label": name.title(), "permissions": permissions or CHATS}


async def make(house: House, name: str, **permissions: Any) -> None:
    """A role, made by an owner of its own."""
    with contextlib.suppress(Exception):
        await house.person("maker", "owner")
    async with house.browser("maker") as page:
        answer = await page.post(BASE_ROLES, json=role(name, **permissions))
        assert answer.status_code == 201, answer.text


async def me(page: httpx.AsyncClient) -> dict[str, Any]:
    permissions: dict[str, Any] = (await page.get("/v1/auth/me")).json()["permissions"]
    return permissions


async def test_a_role_permits_what_it_says_with_its_denials_and_limits(house: House) -> None:
    await make(house, "analyst", **CHATS, cost={"monthly_limit_usd": "25.50"})
    ada = await house.person("ada", "analyst", "viewer")
    async with house.browser() as page:
        seen = await me(page)
        assert (await page.post("/v1/chat")).status_code == 200
        assert (await page.get("/v1/admin/users")).status_code == 403
    assert seen["tools"] == {"allowed": ["*"], "denied": ["shell"]}
    assert seen["memory"]["read_own"] is True, "several roles unite"
    assert seen["cost"] == {"monthly_limit_usd": "25.50"}
    user = await house.identity.user(house.console, ada.id)
    assert user.roles == ("viewer", "analyst")


async def test_roles_are_listed_with_how_many_people_have_each(house: House) -> None:
    await make(house, "analyst")
    await house.person("ada", "analyst")
    await house.person("bob", "analyst", "member")
    async with house.browser("maker") as page:
        listed = (await page.get(BASE_ROLES)).json()["roles"]
        one = (await page.get(f"{BASE_ROLES}/analyst")).json()
    assert [(entry["name"], entry["people"], entry["is_shipped"]) for entry in listed] == [
        ("owner", 1, True),
        ("admin", 0, True),
        ("member", 1, True),
        ("viewer", 0, True),
        ("analyst", 2, False),
    ]
    assert one == listed[-1]
    assert one["permissions"]["tools"] == CHATS["tools"]


async def test_the_log_tells_which_rights_a_role_was_given(house: House) -> None:
    await make(house, "analyst", **CHATS, admin={"view_audit_log": True}, cost={"per_request_limit_usd": "1"})
    async with house.browser("maker") as page:
        await page.patch(f"{BASE_ROLES}/analyst", json={"permissions": {"chat": True}})
        assert (await page.delete(f"{BASE_ROLES}/analyst")).status_code == 204
    told = await house.events("admin.role.")
    assert [(kind, body["target"], body.get("rights")) for kind, body in told] == [
        (
            "admin.role.created",
            "analyst",
            ["chat", "tools.*", "!tools.shell", "admin.view_audit_log", "cost.per_request_usd=1"],
        ),
        ("admin.role.changed", "analyst", ["chat"]),
        ("admin.role.deleted", "analyst", None),
    ]


async def test_t19_a_changed_role_is_felt_within_a_second_here_and_on_another_replica(house: House) -> None:
    await make(house, "analyst")
    await house.person("ada", "analyst")
    token = (await house.tokens())["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    async with opened(house.kernel) as replica, house.browser("maker") as owner, replica.http(**bearer) as there:
        assert (await there.post("/v1/chat")).status_code == 200
        answer = await owner.patch(f"{BASE_ROLES}/analyst", json={"permissions": {"memory": {"read_own": True}}})
        assert answer.status_code == 200
        begun = time.monotonic()
        async with house.http(**bearer) as here:
            assert (await here.post("/v1/chat")).status_code == 403
        while (await there.post("/v1/chat")).status_code == 200:
            assert time.monotonic() - begun < 1.0
            await asyncio.sleep(0.01)


async def test_t20_a_stream_ends_when_its_persons_role_loses_a_right(house: House) -> None:
    await make(house, "analyst")
    await house.person("ada", "analyst")
    token = (await house.tokens())["access_token"]
    headers = [(b"authorization", f"Bearer {token}".encode())]
    principal = await house.identity.authenticate(headers, "GET", "/v1/whoami")
    assert principal is not None
    turn = begin(principal)
    await house.identity.recheck(turn)
    async with house.browser("maker") as owner:
        await owner.patch(f"{BASE_ROLES}/analyst", json={"label": "Another title"})
        await house.identity.recheck(turn)  # a new title takes nothing away
        await owner.patch(f"{BASE_ROLES}/analyst", json={"permissions": {"memory": {"read_own": True}}})
    with pytest.raises(SessionRevoked):
        await house.identity.recheck(turn)


# Nobody gives more than they have


async def hand(house: House, **admin: bool) -> User:
    """Bob, who chats without the tool `shell`, within 50 dollars a month, and administers so much."""
    await make(house, "deputy", **CHATS, admin=admin, cost={"monthly_limit_usd": "50"})
    return await house.person("bob", "deputy")


@pytest.mark.parametrize(
    "permissions",
    [
        {"admin": {"manage_tenant": True}},
        {"admin": {"manage_users": True}, "memory": {"read_org": True}},
        {"chat": True, "tools": {"allowed": ["*"]}},
        {"chat": True, "tools": {"allowed": ["shell"]}, "cost": {"monthly_limit_usd": "50"}},
        {"chat": True},  # without a limit, which binds Bob
        {"chat": True, "cost": {"monthly_limit_usd": "50.01"}},
    ],
)
async def test_p10_nobody_makes_a_role_that_gives_more_than_they_have(
    house: House, permissions: dict[str, Any]
) -> None:
    await hand(house, manage_users=True, manage_roles=True)
    async with house.browser("bob") as bob:
        answer = await bob.post(BASE_ROLES, json=role("more", **permissions))
        lesser = {"chat": True, "cost": {"monthly_limit_usd": "50"}}
        fine = await bob.post(BASE_ROLES, json=role("less", **lesser))
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert fine.status_code == 201, fine.text


async def test_p10_nobody_hands_out_or_takes_away_a_role_that_gives_more_than_they_have(house: House) -> None:
    bob = await hand(house, manage_users=True, manage_roles=True)
    await make(house, "auditor", admin={"view_audit_log": True})
    ada = await house.person("ada", "auditor")
    async with house.browser("bob") as page:
        answers = [
            await page.patch(f"/v1/admin/users/{bob.id}", json={"roles": ["deputy", "auditor"]}),
            await page.patch(f"/v1/admin/users/{bob.id}", json={"roles": ["admin"]}),
            await page.patch(f"/v1/admin/users/{ada.id}", json={"roles": ["deputy"]}),
            await page.post(f"/v1/admin/users/{ada.id}/signout"),
            await page.post(
                "/v1/admin/users",
                json={"name": "Eve", "email": "eve@example.org", "password": "a long passphrase", "roles": ["auditor"]},
            ),
            await page.patch(f"{BASE_ROLES}/auditor", json={"permissions": {"chat": False}}),
            await page.delete(f"{BASE_ROLES}/auditor"),
        ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "forbidden")] * 7
    assert (await house.identity.user(house.console, ada.id)).roles == ("auditor",)


async def test_p10_nobody_lifts_their_own_denial_or_limit(house: House) -> None:
    """A role that only narrows gives nothing by itself; without it its people may do what their others allow."""
    await make(house, "careful", tools={"denied": ["shell"]}, cost={"monthly_limit_usd": "5"})
    bob = await house.person("bob", "admin", "careful")
    async with house.browser("bob") as page:
        answers = [
            await page.patch(f"/v1/admin/users/{bob.id}", json={"roles": ["admin"]}),
            await page.patch(f"{BASE_ROLES}/careful", json={"permissions": {"cost": {"monthly_limit_usd": "5"}}}),
            await page.patch(f"{BASE_ROLES}/careful", json={"permissions": {"tools": {"denied": ["shell"]}}}),
        ]
        assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "forbidden")] * 3
        seen = await me(page)
        stricter = {"tools": {"denied": ["shell", "browser"]}, "cost": {"monthly_limit_usd": "4"}}
        assert (await page.patch(f"{BASE_ROLES}/careful", json={"permissions": stricter})).status_code == 200
    assert seen["tools"]["denied"] == ["shell"]
    assert seen["cost"] == {"monthly_limit_usd": "5"}


async def test_p10_a_role_that_holds_nothing_is_no_way_to_anothers_rights(house: House) -> None:
    """Who may write roles but not give them to people has no use of a role that exceeds what its people have."""
    await make(house, "empty", memory={"read_own": True})
    await make(house, "scribe", admin={"manage_roles": True}, memory={"read_own": True})
    await house.person("bob", "scribe", "empty")
    async with house.browser("bob") as page:
        for more in ({"chat": True}, {"admin": {"manage_users": True}}, {"memory": {"read_org": True}}):
            answer = await page.patch(f"{BASE_ROLES}/empty", json={"permissions": more})
            assert answer.status_code == 403
        assert (await page.get("/v1/admin/users")).status_code == 403
        assert (await page.get(BASE_ROLES)).status_code == 200


async def test_the_last_owner_stays_whatever_roles_there_are(house: House) -> None:
    await make(house, "nearly-owner", chat=True, admin={"manage_users": True})
    async with house.browser("maker") as page:
        mine = (await page.get("/v1/auth/me")).json()["user"]["id"]
        answer = await page.patch(f"/v1/admin/users/{mine}", json={"roles": ["nearly-owner"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "last_owner")


# What a role may be


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "owner"}, "name"),
        ({"name": "platform_admin"}, "name"),
        ({"name": "tenant_admin"}, "name"),
        ({"name": "Über"}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "x"}, "name"),
        ({"label": " "}, "label"),
        ({"label": "two\nlines"}, "label"),
        ({"permissions": {"tools": {"allowed": ["rm -rf"]}}}, "permissions.tools.allowed"),
        ({"permissions": {"tools": {"denied": ["*"]}}}, "permissions.tools.denied"),
        ({"permissions": {"cost": {"monthly_limit_usd": "-1"}}}, "permissions.cost.monthly_limit_usd"),
        ({"permissions": {"cost": {"per_request_limit_usd": "NaN"}}}, "permissions.cost.per_request_limit_usd"),
        ({"permissions": {"cost": {"per_request_limit_usd": "1e-9"}}}, "permissions.cost.per_request_limit_usd"),
    ],
)
async def test_a_role_that_cannot_be_is_refused_by_its_field(house: House, change: dict[str, Any], field: str) -> None:
    await house.person("ada", "owner")
    async with house.browser() as page:
        answer = await page.post(BASE_ROLES, json={**role(), **change})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert [entry["field"] for entry in answer.json()["fields"]] == [field]


async def test_a_right_that_does_not_exist_is_refused(house: House) -> None:
    await house.person("ada", "owner")
    async with house.browser() as page:
        wrongs: list[dict[str, Any]] = [
            {"admin": {"manage_tenants": True}},
            {"admin": {"root": True}},
            {"agents": {"use_templates": []}},
        ]
        for wrong in wrongs:
            answer = await page.post(BASE_ROLES, json=role(**wrong))
            assert (answer.status_code, answer.json()["code"]) == (422, "unknown_field")


async def test_a_name_is_taken_once_and_the_shipped_roles_stay(house: House) -> None:
    await make(house, "analyst")
    async with house.browser("maker") as page:
        again = await page.post(BASE_ROLES, json=role())
        shipped = [
            await page.patch(f"{BASE_ROLES}/member", json={"label": "Mine"}),
            await page.delete(f"{BASE_ROLES}/viewer"),
        ]
        unknown = await page.patch(f"{BASE_ROLES}/nobody", json={"label": "Mine"})
    assert [(a.status_code, a.json()["code"]) for a in (again, *shipped)] == [(409, "conflict")] * 3
    assert unknown.status_code == 404


async def test_a_role_that_somebody_has_is_not_deleted(house: House) -> None:
    await make(house, "analyst")
    ada = await house.person("ada", "analyst")
    async with house.browser("maker") as page:
        held = await page.delete(f"{BASE_ROLES}/analyst")
        await page.patch(f"/v1/admin/users/{ada.id}", json={"roles": ["member"]})
        free = await page.delete(f"{BASE_ROLES}/analyst")
        gone = await page.patch(f"/v1/admin/users/{ada.id}", json={"roles": ["analyst"]})
    assert (held.status_code, held.json()["code"]) == (409, "role_in_use")
    assert free.status_code == 204
    assert gone.status_code == 422


async def test_a_role_of_another_tenant_does_not_exist(house: House) -> None:
    await make(house, "analyst")
    async with opened(house.kernel, tenancy=TenancySettings(mode="multi")) as several:
        other = await several.identity.create_tenant(several.console, "Other")
        names = [one.name for one in await several.identity.roles.all(system_turn(other))]
    assert "analyst" not in names


async def test_role_changes_ask_for_a_fresh_sign_in_and_a_key_passes_by_its_scope(house: House) -> None:
    user = await house.person("ada", "owner")
    key = await house.identity.create_key(house.console, user_id=user.id, name="k", scopes=["admin"])
    other = await house.identity.create_key(house.console, user_id=user.id, name="k", scopes=["chat"])
    async with house.browser() as page:
        await age(house, 20)
        stale = [
            await page.post(BASE_ROLES, json=role()),
            await page.patch(f"/v1/admin/users/{user.id}", json={"roles": ["owner", "member"]}),
        ]
        renamed = await page.patch(f"/v1/admin/users/{user.id}", json={"name": "Ada L."})
    assert [(a.status_code, a.json()["code"]) for a in stale] == [(401, "insufficient_user_authentication")] * 2
    assert renamed.status_code == 200
    async with house.http() as http:
        by_key = await http.post(BASE_ROLES, json=role(), headers={"X-Api-Key": key})
        by_other = await http.post(BASE_ROLES, json=role("x2"), headers={"X-Api-Key": other})
    assert by_key.status_code == 201
    assert (by_other.status_code, by_other.json()["code"]) == (403, "insufficient_scope")


async def test_the_policy_admins_asks_everyone_who_administers_for_a_second_factor(house: House) -> None:
    await make(house, "auditor", admin={"view_audit_log": True})
    await house.person("ada", "auditor")
    await house.person("bob", "member")
    async with (
        opened(house.kernel, settings=Settings(mfa=MfaSettings(policy="admins"))) as strict,
        strict.http() as http,
    ):
        answers = [
            await http.post("/v1/auth/login", json={"username": f"{name}@example.org", "password": PASSWORD})
            for name in ("ada", "bob")
        ]
    assert [answer.status_code for answer in answers] == [202, 200]
