"""Signed principals and capability tokens, for what leaves the process: the rows P01 to P08, P14 and H14."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from msgspec.structs import replace

from aibox.core.errors import AIBoxError, StateUnavailable
from aibox.core.events import canonical
from aibox.core.keyring import Ring
from aibox.core.turn import Turn, begin
from aibox.identity import Call, CapReplayed, CapUse, Denied
from aibox.identity.captokens import DOMAIN as CAP_DOMAIN
from aibox.identity.captokens import CapTokens, attenuate
from aibox.identity.signin import principal_of
from aibox.identity.stamps import DOMAIN, ModulePort, Stamps
from aibox.stores.cache.memory import MemoryCache
from tests.integration.identity.house import House

CALL = Call(module="sandbox", method="POST", path="/v1/sandbox/execute")


@pytest.fixture
async def turn(house: House) -> Turn:
    """An open turn of a person: it has recorded something."""
    turn = begin(principal_of(await house.person()))
    await house.kernel.log.log(turn, Denied(actor="user:x", policy="chat", code="forbidden"))
    return turn


def sent(headers: dict[str, str], **changes: str | None) -> list[tuple[bytes, bytes]]:
    """The headers as ASGI has them; a change of None removes one."""
    named = {**headers, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return [(name.lower().encode(), value.encode()) for name, value in named.items() if value is not None]


async def refusal(stamps: Stamps, headers: list[tuple[bytes, bytes]], call: Call = CALL) -> tuple[int, str]:
    with pytest.raises(AIBoxError) as refused:
        await stamps.check(headers, call)
    return refused.value.status, refused.value.code


# --- signed principals ---


async def test_a_stamped_call_arrives_as_its_person_and_carries_no_credential_of_theirs(
    house: House, turn: Turn
) -> None:
    headers = house.identity.stamp(turn, CALL)
    caller = await house.identity.stamps.check(sent(headers), CALL)
    assert (caller.sub, caller.tenant, caller.turn) == (turn.principal.id, turn.tenant, turn.id)
    assert set(headers) == {
        "Authorization",
        "X-Tenant-ID",
        "X-User-Id",
        "X-User-Roles",
        "X-Aibox-Turn-Id",
        "X-Aibox-Principal",
    }


async def test_t18_a_service_token_opens_nothing_of_ours(house: House, turn: Turn) -> None:
    async with house.http(Authorization=house.identity.stamp(turn, CALL)["Authorization"]) as http:
        answer = await http.get("/v1/whoami")
    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_token_type")


@pytest.mark.parametrize(
    "call",
    [
        replace(CALL, method="GET"),
        replace(CALL, path="/v1/sandbox/bash"),
        replace(CALL, path="/v1/sandbox/execute/"),
    ],
)
async def test_p01_a_principal_of_another_method_or_path_is_refused(house: House, turn: Turn, call: Call) -> None:
    headers = house.identity.stamp(turn, CALL)
    assert await refusal(house.identity.stamps, sent(headers), call) == (401, "invalid_principal")


async def test_p01_another_module_turn_kid_flipped_bit_expiry_and_replay_are_refused(house: House, turn: Turn) -> None:
    stamps = house.identity.stamps
    headers = house.identity.stamp(turn, CALL)
    other_module = house.identity.stamp(turn, replace(CALL, module="tools"))
    version, kid, payload, tag = headers["X-Aibox-Principal"].split(".")
    flipped = payload[:-2] + ("A" if payload[-2] != "A" else "B") + payload[-1]
    wrong = [
        sent(other_module),
        sent(other_module, Authorization=headers["Authorization"]),
        sent(headers, Authorization=other_module["Authorization"]),
        sent(headers, X_Aibox_Turn_Id=str(uuid4())),
        sent(headers, X_Aibox_Turn_Id=None),
        sent(headers, Authorization=None),
        sent(headers, X_Aibox_Principal=f"{version}.k9.{payload}.{tag}"),
        sent(headers, X_Aibox_Principal=f"{version}.{kid}.{flipped}.{tag}"),
        sent(headers, X_Aibox_Principal=f"v2.{kid}.{payload}.{tag}"),
        sent(headers, X_Aibox_Principal=f"{version}.{kid}.{payload}.{tag}="),
        sent(headers, X_Aibox_Principal=f"{version}.{kid}.{payload}"),
        sent(headers, X_Aibox_Principal="nonsense"),
        [*sent(headers), (b"x-aibox-principal", headers["X-Aibox-Principal"].encode())],
    ]
    for attempt in wrong:
        assert await refusal(stamps, attempt) == (401, "invalid_principal")
    late = Stamps(house.kernel.rings["principal"], house.identity._tokens, house.cache, clock=lambda: time.time() + 61)
    assert await refusal(late, sent(headers)) == (401, "invalid_principal")
    await stamps.check(sent(headers), CALL)
    assert await refusal(stamps, sent(headers)) == (401, "invalid_principal"), "replayed"


async def test_p02_a_principal_signed_with_the_cap_ring_is_refused_and_so_is_the_reverse(
    house: House, turn: Turn
) -> None:
    rings = house.kernel.rings
    forged = Stamps(rings["captoken"], house.identity._tokens, house.cache).headers(turn, CALL)
    assert await refusal(house.identity.stamps, sent(forged)) == (401, "invalid_principal")
    cap = _caps(house, ring=rings["principal"]).mint(turn, holder="box", seconds=60)
    assert await cap_refusal(house, cap, turn) == (403, "cap_invalid")
    assert DOMAIN != CAP_DOMAIN


async def test_p03_an_old_key_in_grace_verifies_and_a_removed_one_does_not(house: House, turn: Turn) -> None:
    old, new = house.kernel.rings["principal"].keys[0], ("k2", bytes(range(32)))
    tokens = house.identity._tokens
    headers = house.identity.stamp(turn, CALL)
    await Stamps(Ring("principal", (new, old)), tokens, MemoryCache()).check(sent(headers), CALL)
    removed = Stamps(Ring("principal", (new,)), tokens, MemoryCache())
    assert await refusal(removed, sent(headers)) == (401, "invalid_principal")


async def test_p08_a_tenant_in_the_header_that_is_not_the_principals_is_refused(house: House, turn: Turn) -> None:
    headers = house.identity.stamp(turn, CALL)
    other = sent(headers, X_Tenant_ID=str(uuid4()))
    assert await refusal(house.identity.stamps, other) == (403, "tenant_mismatch")


async def test_p14_with_the_cache_down_no_stamp_is_believed(house: House, turn: Turn) -> None:
    down = Stamps(house.kernel.rings["principal"], house.identity._tokens, Down())
    assert await refusal(down, sent(house.identity.stamp(turn, CALL))) == (503, "state_unavailable")


@pytest.fixture
async def port(house: House) -> AsyncGenerator[httpx.AsyncClient]:
    """A part of ours that listens outside the process."""

    async def part(scope: Any, receive: Any, send: Any) -> None:
        body = str(scope["state"]["caller"].sub).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    transport = httpx.ASGITransport(ModulePort(part, "sandbox", house.identity.stamps))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as http:
        yield http


async def test_h14_a_module_port_lets_in_stamped_calls_only(house: House, turn: Turn, port: httpx.AsyncClient) -> None:
    headers = house.identity.stamp(turn, CALL)
    without = await port.post(CALL.path, headers={"Authorization": headers["Authorization"]})
    elsewhere = await port.post("/v1/sandbox/bash", headers=headers)
    good = await port.post(CALL.path, headers=headers)
    assert (without.status_code, without.json()["code"]) == (401, "missing_principal")
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (401, "invalid_principal")
    assert (good.status_code, good.text) == (200, str(turn.principal.id))


# --- capability tokens ---


class Down(MemoryCache):
    """A cache that cannot answer."""

    async def add(self, key: str, value: bytes, *, ttl: float) -> bool:
        raise StateUnavailable()


def _caps(house: House, *, ring: Ring | None = None, **options: Any) -> CapTokens:
    return CapTokens(
        ring or house.kernel.rings["captoken"],
        house.kernel.db,
        house.kernel.connections,
        **{"cache": house.cache, **options},
    )


def use_of(of: Turn, **changes: Any) -> CapUse:
    return replace(CapUse(by=begin(of.principal), tenant=of.tenant, turn=of.id, holder="box"), **changes)


async def cap_refusal(house: House, token: str, of: Turn, **use: Any) -> tuple[int, str]:
    with pytest.raises(AIBoxError) as refused:
        await house.identity.caps.check(token, use_of(of, **use))
    return refused.value.status, refused.value.code


async def test_a_token_allows_what_its_caveats_say_and_can_be_narrowed_by_its_holder(house: House, turn: Turn) -> None:
    caps = house.identity.caps
    token = caps.mint(turn, holder="box", seconds=60, tools=("search", "read"), models=("default",), budget=5000)
    narrowed = attenuate(token, tools=["read"], budget=100)
    assert (await caps.check(token, use_of(turn, tool="search", model="default"))).budget == 5000
    assert (await caps.check(narrowed, use_of(turn, tool="read"))).budget == 100
    assert await cap_refusal(house, narrowed, turn, tool="search") == (403, "cap_mismatch")
    assert await cap_refusal(house, token, turn, model="other") == (403, "cap_mismatch")


async def test_p04_of_fifty_uses_at_once_of_a_token_for_one_one_gets_through(house: House, turn: Turn) -> None:
    token = house.identity.caps.mint(turn, holder="box", seconds=60, uses=1)
    tries = (house.identity.caps.check(token, use_of(turn)) for _ in range(50))
    results = await asyncio.gather(*tries, return_exceptions=True)
    refused = [result for result in results if isinstance(result, BaseException)]
    assert len(refused) == 49
    assert {type(result) for result in refused} == {CapReplayed}
    assert (CapReplayed.status, CapReplayed.code) == (409, "cap_replayed")


async def test_p04_a_token_for_three_uses_has_three_however_it_is_narrowed(house: House, turn: Turn) -> None:
    token = house.identity.caps.mint(turn, holder="box", seconds=60, uses=3, tools=("a", "b"))
    for narrowed in (token, attenuate(token, tools=["a"]), attenuate(token, uses=2, tools=["a"])):
        results = await asyncio.gather(
            *(house.identity.caps.check(narrowed, use_of(turn)) for _ in range(1)), return_exceptions=True
        )
    assert isinstance(results[0], CapReplayed), "two were spent, and the last one allows two"
    await house.identity.caps.check(token, use_of(turn))
    assert await cap_refusal(house, token, turn) == (409, "cap_replayed")


async def test_p05_a_token_of_another_turn_tenant_or_holder_is_refused(house: House, turn: Turn) -> None:
    token = house.identity.caps.mint(turn, holder="box", seconds=60)
    for change in ({"turn": uuid4()}, {"tenant": uuid4()}, {"holder": "other box"}):
        assert await cap_refusal(house, token, turn, **change) == (403, "cap_mismatch")


async def test_p05_an_expired_token_and_one_of_an_ended_turn_are_refused(house: House, turn: Turn) -> None:
    token = house.identity.caps.mint(turn, holder="box", seconds=60)
    late = _caps(house, clock=lambda: time.time() + 61)
    with pytest.raises(AIBoxError) as refused:
        await late.check(token, use_of(turn))
    assert (refused.value.status, refused.value.code) == (403, "cap_expired")
    await house.identity.caps.check(token, use_of(turn))
    await house.kernel.log.end(turn, "sealed")
    assert await cap_refusal(house, token, turn) == (403, "cap_expired")


async def test_a_token_lives_for_an_hour_at_most(house: House, turn: Turn) -> None:
    token = house.identity.caps.mint(turn, holder="box", seconds=86_400)
    assert (await house.identity.caps.check(token, use_of(turn))).exp <= time.time() + 3600


@pytest.mark.parametrize(
    "tamper",
    ["removed", "reordered", "swapped", "cut", "unsigned"],
)
async def test_p06_a_caveat_removed_or_reordered_is_refused(house: House, turn: Turn, tamper: str) -> None:
    token = house.identity.caps.mint(turn, holder="box", seconds=60, tools=("read",), uses=5)
    parts = token.split(".")
    match tamper:
        case "removed":
            del parts[-2]
        case "reordered":
            parts[3], parts[4] = parts[4], parts[3]
        case "swapped":
            other = house.identity.caps.mint(begin(turn.principal), holder="box", seconds=60).split(".")
            parts[4] = other[4]
        case "cut":
            del parts[-1]
        case "unsigned":
            parts[-1] = ""
    assert await cap_refusal(house, ".".join(parts), turn) == (403, "cap_invalid")


@pytest.mark.parametrize(
    "caveats",
    [
        {"tools": ["read", "write"]},
        {"tools": ["read"]},
        {"tools": ["write"]},
        {"exp": 2**40},
        {"uses": 5},
        {"uses": 6},
        {"budget": 100},
        {"turn": str(uuid4())},
        {"holder": "box"},
        {"colour": "red"},
        {"tools": "read"},
        {"exp": "soon"},
        {"uses": True},
    ],
)
async def test_p06_a_caveat_that_widens_repeats_or_is_unknown_is_refused(
    house: House, turn: Turn, caveats: dict[str, Any]
) -> None:
    token = house.identity.caps.mint(turn, holder="box", seconds=60, tools=("read",), uses=5, budget=100)
    assert await cap_refusal(house, attenuate(token, **caveats), turn) == (403, "cap_invalid")


async def test_p06_too_many_caveats_too_long_a_token_or_nonsense_are_refused(house: House, turn: Turn) -> None:
    token = house.identity.caps.mint(turn, holder="box", seconds=60, uses=100)
    many = token
    for uses in range(99, 80, -1):
        many = attenuate(many, uses=uses)
    long = attenuate(token, tools=["x" * 4096])
    for wrong in (many, long, "c1", "c1.k1.a.b", "", "c2" + token[2:], token + ".", token.replace(".", "..")):
        assert await cap_refusal(house, wrong, turn) == (403, "cap_invalid")


async def test_p07_changed_tool_arguments_are_refused(house: House, turn: Turn) -> None:
    token = house.identity.caps.mint(turn, holder="box", seconds=60, tools=("send",), args="digest-1")
    await house.identity.caps.check(token, use_of(turn, tool="send", args="digest-1"))
    for args in ("digest-2", None):
        assert await cap_refusal(house, token, turn, tool="send", args=args) == (403, "cap_args_mismatch")


async def test_p14_with_the_cache_down_no_counted_use_is_accepted(house: House, turn: Turn) -> None:
    caps = _caps(house, cache=Down())
    token = caps.mint(turn, holder="box", seconds=60, uses=1)
    with pytest.raises(StateUnavailable):
        await caps.check(token, use_of(turn))
    await house.identity.caps.check(token, use_of(turn))  # the refused try spent nothing


def test_a_caveat_is_canonical_json() -> None:
    assert canonical({"v": ["a"], "k": "tools"}) == b'{"k":"tools","v":["a"]}'
