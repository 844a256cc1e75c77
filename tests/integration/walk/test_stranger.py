"""Every route of the OpenAPI document with a path parameter, asked by strangers for what is another's (P09).

The document is the list, so a new route is walked by itself; a path parameter that nobody here knows how to make fails.
"""

import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from msgspec import Struct

from aibox.app import create_app
from aibox.core.turn import system_turn
from aibox.identity import TenancySettings
from tests.conftest import new_database
from tests.integration.identity.authenticator import Authenticator
from tests.integration.identity.test_factors import Phone
from tests.integration.runtime.test_chat import question
from tests.integration.walk.examples import Examples
from tests.stub_upstream import uses
from tests.system import PASSWORD, Served, served

METHODS = ("get", "put", "post", "patch", "delete")
OPEN_TO_ALL = {
    "/docs/{path}": "the documentation",
    "/v1/audit/logs/{log_id}": "a log's checkpoints are public evidence; a stranger's log id is walked as a turn",
    "/v1/admin/inference/roles/{alias}": "the aliases are ours, the same in every tenant",
    "/v1/knowledge/audiences/{tag}": "a tag is a name that each tenant gives itself",
    "/v1/admin/sso/idps/{alias}": "the sign-in services are the operator's; which of them a tenant sees: test_services",
}
OF_THE_PLATFORM = "/v1/admin/tenants/{tenant_id}"
"""An owner is 403 here whatever the id: only who runs the installation may ask at all."""
SHARED = ("/v1/knowledge/wiki/{topic}",)
"""What all of a tenant read together; only another tenant's people are strangers to it."""
SAYS_401 = "/v1/auth/challenges/{challenge_id}"
"""L04 gives a foreign approval 401 `challenge_invalid`, as it gives an unknown one."""


class Walk(Struct, frozen=True, kw_only=True):
    """What the walk needs: the document, Ada's things by where they stand in a path, and who asks."""

    document: dict[str, Any]
    made: dict[str, str]
    ada: httpx.AsyncClient
    colleague: httpx.AsyncClient
    stranger: httpx.AsyncClient

    def address(self, path: str, *, known: bool) -> str:
        """`path` with Ada's ids, or with ids that nobody has. Raises KeyError for a parameter without a maker."""
        address = path
        for found in re.finditer(r"\{(\w+)\}", path):
            owned = self.made[path[: found.end()]]
            address = address.replace(found[0], owned if known else _unknown_like(owned))
        return address


def _unknown_like(known: str) -> str:
    """An id of the same form that nobody has."""
    if re.fullmatch(r"[0-9a-f]{8}-[0-9a-f-]{27}", known):
        return str(uuid4())
    return known[:-1] + ("A" if known[-1] != "A" else "B")


@pytest.fixture(scope="module")
async def walk(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Walk]:
    folder: Path = tmp_path_factory.mktemp("walk")
    tenancy = TenancySettings(mode="multi")
    async with new_database(cluster) as urls, served(urls, folder, tenancy=tenancy) as house:
        system = house.system
        document = create_app(system).litestar.openapi_schema.to_schema()
        console = house.turn
        other = await system.identity.create_tenant(console, "Other")
        await system.identity.create_user(
            console, name="Bob", email="bob@example.com", password=PASSWORD, roles=["member"]
        )
        elsewhere = system_turn(other)
        await system.identity.create_user(
            elsewhere, name="Eve", email="eve@example.com", password=PASSWORD, roles=["owner"]
        )
        for turn in (console, elsewhere):
            await system.log.end(turn, "sealed")
        async with (
            await _signed_in(house, "ada@example.com") as ada,
            await _signed_in(house, "bob@example.com") as bob,
            await _signed_in(house, "eve@example.com", tenant=str(other)) as eve,
        ):
            made = await _make(house, ada)
            yield Walk(document=document, made=made, ada=ada, colleague=bob, stranger=eve)


async def _signed_in(house: Served, email: str, **body: str) -> httpx.AsyncClient:
    async with httpx.AsyncClient(base_url=house.url) as http:
        answer = await http.post("/v1/auth/login", json={"username": email, "password": PASSWORD, **body})
    assert answer.status_code == 200, answer.text
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    return httpx.AsyncClient(base_url=house.url, headers=bearer, timeout=30)


async def _make(house: Served, ada: httpx.AsyncClient) -> dict[str, str]:
    """One of everything, Ada's, by the path up to its parameter."""
    me = (await ada.get("/v1/auth/me")).json()["user"]["id"]
    key = (await _made(ada.post("/v1/auth/keys", json={"name": "k", "scopes": ["chat"]})))["key"].split("_")[1]
    chat = await _made(ada.post("/v1/chat", json={"messages": [{"role": "user", "content": "Hello"}]}))
    memory = await _made(ada.post("/v1/memory", json={"content": "I like tea", "memory_type": "user"}))
    await house.outcome(chat["turn_id"])
    replay = (await _made(ada.get(f"/v1/audit/turns/{chat['turn_id']}/replay")))["events"]
    event, kind = next((event["event_id"], held["kind"]) for event in replay for held in event["artifacts"])
    provider = (await _made(ada.get("/v1/admin/inference/providers")))[0]["id"]
    budget = await _made(
        ada.post(
            "/v1/admin/observability/budgets",
            json={"subject": "tenant", "period": "month", "limit_usd": "100", "action": "warn"},
        )
    )
    role = await _made(ada.post("/v1/admin/roles", json={"name": "analyst", "label": "Analyst", "permissions": {}}))
    sent = {"email": "grace@example.com", "roles": ["member"]}
    invitation = (await _made(ada.post("/v1/admin/invitations", json=sent)))["invitation"]
    run, conversation = chat["run_id"], chat["session_id"]
    turn = "/v1/audit/turns/{turn_id}/artifacts/{event_id}"
    return {
        "/v1/admin/users/{user_id}": me,
        "/v1/admin/roles/{role}": role["name"],
        "/v1/admin/invitations/{invitation_id}": invitation["id"],
        OF_THE_PLATFORM: str(house.turn.tenant),
        "/v1/auth/keys/{key_id}": key,
        "/v1/sessions/{session_id}": conversation,
        "/v1/conversations/{conversation_id}": conversation,
        "/v1/conversations/{conversation_id}/runs/{run_id}": run,
        "/v1/memory/{memory_id}": memory["id"],
        "/v1/receipts/{turn_id}": chat["turn_id"],
        "/v1/audit/turns/{turn_id}": chat["turn_id"],
        "/v1/admin/observability/traces/{turn_id}": chat["turn_id"],
        turn: event,
        f"{turn}/{{kind}}": kind,
        "/v1/admin/inference/providers/{provider_id}": provider,
        "/v1/admin/inference/providers/{provider_id}/models/{model_id}": "ok",
        "/v1/admin/observability/budgets/{budget_id}": budget["id"],
        **await _make_knowledge(ada),
        **await _make_account_things(house, ada),
        **await _make_approval(house, ada),
    }


async def _make_approval(house: Served, ada: httpx.AsyncClient) -> dict[str, str]:
    """A tool that waits for Ada's word; nobody reads the run, which goes on waiting."""
    await house.let_use_tools()
    house.stub.next_frames = [uses(("wiki_write", {"topic": "tea", "content": "# Tea"}))]
    async with ada.stream("POST", "/v1/chat/stream", json=question("Write it.")) as answer:
        async for line in answer.aiter_lines():
            if line == "event: approval_required":
                break
    (asked,) = (await _made(ada.get("/v1/user/approvals")))["approvals"]
    return {"/v1/user/approvals/{approval_id}": asked["approval_id"]}


async def _make_knowledge(ada: httpx.AsyncClient) -> dict[str, str]:
    text = {"title": "Tea", "content": "Green tea is steeped at eighty degrees."}
    item = (await _made(ada.post("/v1/knowledge/ingest/text", params={"wait": "true"}, json=text)))["document_id"]
    chunks = (await _made(ada.get(f"/v1/knowledge/items/{item}/chunks")))["passages"]
    page = await _made(ada.post("/v1/knowledge/wiki", json={"topic": "tea", "content": "# Tea"}))
    return {
        "/v1/knowledge/items/{item_id}": item,
        "/v1/knowledge/items/{item_id}/chunks/{chunk_id}": chunks[0]["chunk_id"],
        "/v1/knowledge/wiki/{topic}": page["topic"],
    }


async def _make_account_things(house: Served, ada: httpx.AsyncClient) -> dict[str, str]:
    origin = house.system.settings.base_url
    session = (await _made(ada.get("/v1/auth/sessions")))["sessions"][0]["id"]
    code = (await _made(ada.post("/v1/auth/pair/start")))["code"]
    async with httpx.AsyncClient(base_url=house.url) as anyone:
        body = {"code": code, "device_name": "Phone", "public_key": Phone().public_key}
        await _made(anyone.post("/v1/auth/pair/complete", json=body))
        device = (await _made(ada.get("/v1/auth/devices")))["devices"][0]["id"]
        authenticator = Authenticator()
        options = await _made(ada.post("/v1/auth/2fa/passkeys/options"))
        passkey = {"name": "laptop", "credential": authenticator.create(options, origin=origin)}
        await _made(ada.post("/v1/auth/2fa/passkeys", json=passkey))
        login = {"username": "ada@example.com", "password": PASSWORD}
        pending = await _made(anyone.post("/v1/auth/login", json=login))
        step = {"challenge_token": pending["challenge_token"], "method": "push"}
        await _made(anyone.post("/v1/auth/login/2fa", json=step))
    return {
        "/v1/auth/sessions/{session_id}": session,
        "/v1/auth/devices/{device_id}": device,
        "/v1/auth/2fa/passkeys/{passkey_id}": (await _made(ada.get("/v1/auth/2fa")))["passkeys"][0]["id"],
        "/v1/auth/challenges/{challenge_id}": pending["challenge_id"],
    }


async def _made(asking: Any) -> Any:
    answer: httpx.Response = await asking
    assert answer.status_code < 300, answer.text
    return answer.json()


def _routes(walk: Walk) -> list[tuple[str, str, dict[str, Any]]]:
    """(method, path, operation) of every route that names a thing."""
    return [
        (method, path, item[method])
        for path, item in walk.document["paths"].items()
        for method in METHODS
        if method in item and "{" in path and not path.startswith(tuple(OPEN_TO_ALL))
    ]


async def _ask(
    walk: Walk, who: httpx.AsyncClient, method: str, path: str, operation: dict[str, Any], *, known: bool
) -> httpx.Response:
    examples = Examples(walk.document)
    options: dict[str, Any] = {"params": examples.query(operation)}
    if (body := examples.body(operation)) is not None:
        options["json"] = body
    return await who.request(method.upper(), walk.address(path, known=known), **options)


def _comparable(answer: httpx.Response) -> tuple[int, dict[str, Any]]:
    body = answer.json()
    body.pop("turn_id", None)
    return answer.status_code, body


async def test_p09_every_path_parameter_has_a_maker(walk: Walk) -> None:
    unknown = []
    for _, path, _ in _routes(walk):
        try:
            walk.address(path, known=True)
        except KeyError as error:
            unknown.append(str(error))
    assert not unknown, "say in `_make` how a thing of this kind comes to be"
    assert len(_routes(walk)) >= 30


async def test_p09_an_owner_of_another_tenant_finds_nothing_of_adas_on_any_route(walk: Walk) -> None:
    found = []
    for method, path, operation in _routes(walk):
        answer = await _ask(walk, walk.stranger, method, path, operation, known=True)
        nothing = await _ask(walk, walk.stranger, method, path, operation, known=False)
        wanted = 401 if path.startswith(SAYS_401) else 403 if path.startswith(OF_THE_PLATFORM) else 404
        if answer.status_code != wanted or _comparable(answer) != _comparable(nothing):
            found.append((method, path, _comparable(answer), _comparable(nothing)))
    assert not found


async def test_p09_a_colleague_finds_nothing_of_adas_and_administers_nothing(walk: Walk) -> None:
    found = []
    for method, path, operation in _routes(walk):
        if path.startswith(SHARED):
            continue
        answer = await _ask(walk, walk.colleague, method, path, operation, known=True)
        nothing = await _ask(walk, walk.colleague, method, path, operation, known=False)
        wanted = 403 if path.startswith("/v1/admin/") else 401 if path.startswith(SAYS_401) else 404
        if answer.status_code != wanted or _comparable(answer) != _comparable(nothing):
            found.append((method, path, _comparable(answer), _comparable(nothing)))
    assert not found


@pytest.mark.parametrize(
    "path",
    ["/v1/audit/logs/x/timestamps/1416441829655297537343488", "/v1/knowledge/wiki/tea/diff?new=17179869185&old=1"],
)
async def test_a_number_that_no_column_holds_is_refused_and_no_bug(walk: Walk, path: str) -> None:
    answer = await walk.ada.get(path)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_p09_what_the_strangers_did_not_find_is_there_for_ada(walk: Walk) -> None:
    """Otherwise the walk would prove nothing. It runs last and only reads: the strangers have removed nothing."""
    missing = []
    for method, path, operation in _routes(walk):
        if method == "get":
            answer = await _ask(walk, walk.ada, method, path, operation, known=True)
            if answer.status_code not in (200, 501):  # 501: of a kind that cannot tell, and so it was found
                missing.append((path, answer.status_code, answer.text[:200]))
    assert not missing
    named = (("/v1/auth/sessions", "sessions"), ("/v1/auth/devices", "devices"))
    for path, name in (*named, ("/v1/user/approvals?status=pending", "approvals")):
        assert (await walk.ada.get(path)).json()[name]
    assert (await walk.ada.get("/v1/auth/2fa")).json()["passkeys"]
