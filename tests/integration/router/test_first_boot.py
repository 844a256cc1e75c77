"""The first boot: what an empty catalogue gets from the local model, from a file of providers, or from neither."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from aibox.core.errors import BootRefused
from aibox.observability import Price
from aibox.router import ModelCall, RoleNotConfigured, first_providers
from aibox.router.assembly import Routing
from tests.conftest import Kernel
from tests.installation import free_port
from tests.integration.router.conftest import QUICK, TENANT, Make, someone
from tests.stub_upstream import run_stub

KEY = "AIBOX_TEST_PROVIDER_KEY"
QUESTION = b'{"messages":[{"role":"user","content":"Hello"}]}'


def file_of(folder: Path, *providers: dict[str, Any], **roles: list[str]) -> str:
    """A file of these providers; JSON is YAML."""
    path = folder / "providers.yaml"
    path.write_bytes(msgspec.json.encode({"providers": providers, "roles": roles}))
    return str(path)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await is_so():
            await asyncio.sleep(0.02)


async def roles(routing: Routing) -> dict[str, dict[str, Any] | None]:
    return await routing.catalogue.roles(someone())


async def until_role(routing: Routing, role: str) -> None:
    async def is_given() -> bool:
        return (await roles(routing))[role] is not None

    await until(is_given)


async def is_there(routing: Routing, name: str) -> bool:
    return any(one.name == name for one in await routing.catalogue.providers(someone()))


async def test_with_no_local_model_the_first_provider_with_a_key_gets_the_roles_that_the_file_does_not_name(
    make_routing: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "sk-first")
    async with run_stub() as stub, run_stub() as other:
        stub.key = "sk-first"
        ours = {"name": "ours", "base_url": other.base_url, "type": "vllm"}
        priced = {"id": "ok", "context": 9000, "price": {"input_usd": "2", "output_usd": "8"}}
        cloud = {"name": "cloud", "base_url": stub.base_url, "api_key_env": KEY, "models": [priced, {"id": "echo"}]}
        path = file_of(tmp_path, ours, cloud, title=["cloud/echo", "ours/ok"])
        async with make_routing(replace(QUICK, first_providers=path)) as routing:
            await until_role(routing, "default")
            given = await roles(routing)
            found = {one.name: one for one in await routing.catalogue.providers(someone())}
            answer = await routing.router.complete(someone(), ModelCall(model="default", body=QUESTION))

    assert given["default"] == {"model": "cloud/ok", "fallbacks": []}
    assert given["title"] == {"model": "cloud/echo", "fallbacks": ["ours/ok"]}
    assert given["embedding"] == {"model": "local/all-minilm-l6-v2", "fallbacks": []}
    assert (found["cloud"].has_key, found["ours"].has_key) == (True, False)
    assert [(one.id, one.context) for one in found["cloud"].models] == [("ok", 9000), ("echo", 8192)]
    assert found["cloud"].models[0].price == Price(input_usd=Decimal(2), output_usd=Decimal(8))
    assert answer.text
    assert stub.requests


async def test_with_neither_a_local_model_nor_a_key_no_role_is_given(make_routing: Make, tmp_path: Path) -> None:
    async with run_stub() as stub:
        path = file_of(tmp_path, {"name": "ours", "base_url": stub.base_url})
        async with make_routing(replace(QUICK, first_providers=path)) as routing:
            await until(lambda: is_there(routing, "ours"))
            await asyncio.sleep(0.2)
            given = await roles(routing)

            with pytest.raises(RoleNotConfigured):
                await routing.router.complete(someone(), ModelCall(model="default", body=QUESTION))

    assert {role for role, models in given.items() if models} == {"embedding"}


async def test_a_provider_that_is_not_up_yet_is_asked_again_and_the_others_do_not_wait_for_it(
    kernel: Kernel, make_routing: Make, tmp_path: Path
) -> None:
    port = free_port()
    late = {"name": "late", "base_url": f"http://127.0.0.1:{port}/v1"}
    async with run_stub() as stub:
        wanted = first_providers.read(
            Path(file_of(tmp_path, late, {"name": "early", "base_url": stub.base_url}, default=["late/ok", "early/ok"]))
        )
        async with make_routing(QUICK) as routing:
            adding = kernel.tasks.create_task(
                first_providers.add(TENANT, wanted, catalogue=routing.catalogue, events=kernel.log, again=0.05)
            )
            await until(lambda: is_there(routing, "early"))
            assert not await is_there(routing, "late")
            assert (await roles(routing))["default"] is None
            async with run_stub(port=port), asyncio.timeout(20):
                await adding
            given = await roles(routing)

    assert given["default"] == {"model": "late/ok", "fallbacks": ["early/ok"]}


async def test_a_catalogue_that_has_providers_is_left_as_it_is(make_routing: Make, tmp_path: Path) -> None:
    async with make_routing(QUICK):
        pass
    path = tmp_path / "not-there.yaml"
    async with make_routing(replace(QUICK, first_providers=str(path))) as routing:
        assert [one.name for one in await routing.catalogue.providers(someone())] == ["local"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("providers: 5", "Expected `array`"),
        ("providers: [{name: a, base_url: b, api_key: sk-1}]", "unknown field `api_key`"),
        (
            "providers: [{name: a, base_url: b, api_key_env: AIBOX_TEST_NOT_SET}]",
            "AIBOX_TEST_NOT_SET, which is not set",
        ),
        ("{providers: [], roles: {chef: [a/b]}}", "there is no role chef"),
    ],
    ids=["no file", "no list", "a key in the file", "a key that is not set", "a role that is none"],
)
async def test_a_file_that_cannot_be_used_ends_the_first_boot_and_says_what_to_mend(
    make_routing: Make, tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "providers.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BootRefused, match=said):
        async with make_routing(replace(QUICK, first_providers=str(path))):
            pass
