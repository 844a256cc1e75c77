"""Plays schedules against a served System, and checks what must hold whatever happens.

Each request ends, with the whole answer or with a coded error, never with half an answer that looks whole. When all is
over nothing is left behind: no call at a provider, no place at a gate, no connection in use, no task, no open turn; and
the books balance.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from msgspec import Struct

from aibox.core.connections import Urls
from aibox.observability import Balance, Price
from aibox.observability.balancing import balance
from aibox.router import ModelTerms, ProviderChange
from aibox.router import Settings as RouterSettings
from tests.faults.schedules import MODELS, Schedule, schedule
from tests.stub_upstream import WORDS, Stub
from tests.system import Served, served

ANSWER = "".join(WORDS)
LIMITS = RouterSettings(
    local=False,
    retry_seconds=0.02,
    cooldown_seconds=0.05,
    connect_seconds=2.0,
    first_byte_seconds=0.4,
    idle_seconds=0.4,
    total_seconds=2.0,
)
AT_ONCE = 32
PATIENCE = 60.0
"""Far more than any request may take, on whatever machine: past it a request hangs."""
FORGIVEN_EVERY = 50
"""So often are the providers forgiven a long pause, or soon nobody would ask them."""

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
TERMS = ModelTerms(capabilities=("chat",), price=Price(input_usd=Decimal("2.5"), output_usd=Decimal("9.99")))
CODES = frozenset(
    {
        "backend_unavailable",
        "backend_unreachable",
        "backend_timeout",
        "backend_failed",
        "backend_cut",
        "backend_malformed",
        "backend_key_refused",
        "backend_unpaid",
        "backend_rate_limited",
        "backend_overloaded",
        "backend_cooling",
        "backend_queue_full",
        "backend_refused",
        "provider_key_missing",
        "role_no_backend",
        "upstream_redirect",
    }
)
"""What a request may end with when its provider fails."""


class Ended(Struct, frozen=True):
    """How a request ended: `answer`, `left`, or the code of its error; `problem` says what must not be."""

    schedule: Schedule
    how: str
    problem: str = ""


class Report(Struct, frozen=True):
    """What a run came to."""

    seed: int
    ends: Counter[str]
    asked: int
    balance: Balance
    problems: list[str]

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {self.ends.total()} schedules, the providers were asked {self.asked} times"]
        lines += [f"  {count:6} {how}" for how, count in self.ends.most_common()]
        lines += [f"  {self.balance.spent_usd} USD spent, {self.balance.reserved_usd} USD still reserved"]
        return "\n".join([*lines, *(f"  ! {problem}" for problem in self.problems)])


async def play(urls: Urls, folder: Path, *, seed: int, numbers: range) -> Report:
    """Play the schedules `numbers` of `seed` on the database `urls`."""
    stub = Stub()
    stub.models = ["ok", *MODELS]
    async with served(urls, folder, stub, router=LIMITS) as one:
        await _prepare(one)
        script = Script(seed, numbers)
        stub.script = script
        before = _tasks()
        async with _client(one) as client:
            ends = await _all(one, client, script)
        problems = [f"schedule {end.schedule.number} ({end.how}): {end.problem}" for end in ends if end.problem]
        problems += [problem async for problem in _left_behind(one, before)]
        await _end_reservations(one, urls)
        books = await balance(one.system.connections, one.turn.tenant)
        problems += books.problems
        if Decimal(books.reserved_usd) or books.open_reservations:
            problems.append(f"{books.reserved_usd} USD are reserved by {books.open_reservations} calls that are over")
    return Report(seed, Counter(end.how for end in ends), script.asked, books, problems)


class Script:
    """Tells the stub how to behave: by the schedule that a request's text names, and how often it asked before."""

    def __init__(self, seed: int, numbers: range) -> None:
        self.schedules = {number: schedule(seed, number) for number in numbers}
        self.asked = 0
        self._tries: Counter[tuple[int, str]] = Counter()

    def __call__(self, request: dict[str, Any]) -> str:
        self.asked += 1
        model = request["model"]
        content = request["messages"][-1]["content"]
        text = content if isinstance(content, str) else content[0]["text"]
        number = int(text.removeprefix("schedule "))
        one = self._tries[number, model]
        self._tries[number, model] += 1
        return self.schedules[number].plays[model][one]


async def _prepare(one: Served) -> None:
    """Three providers with a model each, all priced, two of them capped; a budget that holds for everybody."""
    catalogue, turn = one.system.catalogue, one.turn
    for number, model in enumerate(MODELS):
        name = f"p{number}"
        await catalogue.add_provider(turn, name=name, base_url=one.stub.base_url, api_key="sk", models=[model])
        await catalogue.set_model(turn, name, model, TERMS)
    await catalogue.change_provider(turn, "p0", ProviderChange(max_concurrency=8, max_waiting=8, queue_seconds=0.2))
    await catalogue.change_provider(turn, "p1", ProviderChange(max_concurrency=4, max_waiting=2, queue_seconds=0.1))
    await catalogue.set_role(turn, "default", "p0/alpha", fallbacks=["p1/beta", "p2/gamma"])
    await catalogue.remove_provider(turn, "stub")
    await one.system.log.end(turn, "sealed")
    budget = {"subject": "tenant", "subject_id": "", "period": "day", "limit_usd": "1000000", "action": "block"}
    made = await one.client.post("/v1/admin/observability/budgets", json=budget)
    assert made.status_code == 201, made.text
    off = await one.client.put("/v1/guard/policy", json={"scanners": {"*": False}, "masks": {"*": False}})
    assert off.status_code < 300, off.text


@contextlib.asynccontextmanager
async def _client(one: Served) -> AsyncGenerator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {one.key}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(one.url, headers=headers, connector=connector) as client:
        yield client


async def _all(one: Served, client: aiohttp.ClientSession, script: Script) -> list[Ended]:
    """All schedules, some at once, in order."""
    waiting = iter(script.schedules.values())
    ends: list[Ended] = []

    async def work() -> None:
        for each in waiting:
            ends.append(await _request(client, each))
            if len(ends) % FORGIVEN_EVERY == 0:
                for number in range(len(MODELS)):
                    await one.system.catalogue.test_provider(one.turn, f"p{number}")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(work())
    return ends


async def _request(client: aiohttp.ClientSession, each: Schedule) -> Ended:
    try:
        async with asyncio.timeout(PATIENCE):
            try:
                async with asyncio.timeout(each.leaves_after):
                    return await _answer(client, each)
            except TimeoutError:
                if each.leaves_after is None:
                    raise
                return Ended(each, "left")
    except TimeoutError:
        return Ended(each, "hung", f"no end within {PATIENCE:g} s")
    except aiohttp.ClientError as error:
        return Ended(each, "broken", f"AIBox broke the connection: {error!r}")


async def _answer(client: aiohttp.ClientSession, each: Schedule) -> Ended:
    async with client.post(PATHS[each.dialect], json=_body(each)) as reply:
        if reply.status != 200:
            return _judged_error(each, await reply.json(), reply)
        if not each.stream:
            text = _text(each, await reply.json())
            return Ended(each, "answer", "" if text == ANSWER else f"a wrong answer: {text!r}")
        events = [json.loads(line[6:]) async for line in _lines(reply) if line.startswith("data: {")]
    error = next((event for event in events if "code" in event and "turn_id" in event), None)
    if error is not None:
        return _judged_error(each, error, reply)
    text = "".join(_delta(each, event) for event in events)
    return Ended(each, "answer", "" if text == ANSWER else f"half an answer without an error: {text!r}")


def _judged_error(each: Schedule, body: dict[str, Any], reply: aiohttp.ClientResponse) -> Ended:
    code = str(body.get("code"))
    if code not in CODES:
        return Ended(each, code, f"an error of another kind: {body}")
    if not reply.headers.get("X-Aibox-Attempts", "").isdigit():
        return Ended(each, code, "it does not say how often providers were asked")
    if reply.status in (429, 503) and not reply.headers.get("Retry-After", "1").isdigit():
        return Ended(each, code, f"Retry-After is {reply.headers['Retry-After']!r}")
    return Ended(each, code)


def _body(each: Schedule) -> dict[str, Any]:
    body: dict[str, Any] = {"model": each.model, "stream": each.stream}
    text = f"schedule {each.number}"
    if each.dialect == "responses":
        return {**body, "input": text}
    return {**body, "messages": [{"role": "user", "content": text}], "max_tokens": 50}


def _text(each: Schedule, body: dict[str, Any]) -> str:
    match each.dialect:
        case "chat":
            return str(body["choices"][0]["message"]["content"])
        case "messages":
            return "".join(block["text"] for block in body["content"])
        case "responses":
            parts = [part for item in body["output"] if item["type"] == "message" for part in item["content"]]
            return "".join(part["text"] for part in parts)


def _delta(each: Schedule, event: dict[str, Any]) -> str:
    match each.dialect:
        case "chat":
            return "".join(choice["delta"].get("content") or "" for choice in event["choices"])
        case "messages":
            return str(event["delta"].get("text", "")) if event["type"] == "content_block_delta" else ""
        case "responses":
            return str(event["delta"]) if event["type"] == "response.output_text.delta" else ""


async def _lines(reply: aiohttp.ClientResponse) -> AsyncIterator[str]:
    rest = b""
    async for piece in reply.content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.decode()


async def _left_behind(one: Served, tasks_before: Counter[str]) -> AsyncIterator[str]:
    """What should be gone by now and is not."""
    system = one.system
    connector: Any = system.http._session.connector  # type: ignore[union-attr] # ours to look into, in a test
    gates = system.router._gates._gates.values()
    open_turns = "SELECT count(*) FROM core.turn WHERE state = 'open' AND started_us > $1"
    began = one.turn.started_us
    looked: dict[str, Callable[[], Any]] = {
        "calls at the providers": lambda: one.stub.in_flight,
        "places taken at the gates": lambda: sum(gate.in_flight for gate in gates),
        "calls in line at the gates": lambda: sum(gate.waiting for gate in gates),
        "connections in use": lambda: len(connector._acquired),
        "tasks": lambda: dict(_tasks() - tasks_before),
    }
    for what, count in looked.items():
        if not await _soon(lambda count=count: _is_none(count())):  # type: ignore[misc] # bound at once
            yield f"{what} left behind: {count()}"
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while left := await system.connections.system.fetchval(open_turns, began):
        if asyncio.get_running_loop().time() > deadline:
            yield f"open turns left behind: {left}"
            return
        await asyncio.sleep(0.1)
    while (await balance(system.connections, one.turn.tenant)).unbooked_responses:
        if asyncio.get_running_loop().time() > deadline:
            yield "model responses that nobody booked"
            return
        await asyncio.sleep(0.1)


async def _end_reservations(one: Served, urls: Urls) -> None:
    """As if a quarter of an hour had passed: then those end whose client left before its turn entered the log."""
    owner = await asyncpg.connect(urls.owner)
    try:
        await owner.execute(
            "UPDATE observability.reservation AS r SET expires_at = now()"
            " WHERE NOT EXISTS (SELECT 1 FROM core.turn AS t WHERE (t.tenant, t.turn) = (r.tenant, r.turn))"
        )
    finally:
        await owner.close()
    await one.system.budgets.recover(seconds=0)


def _is_none(found: object) -> bool:
    return not found


async def _soon(condition: Callable[[], bool]) -> bool:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def _tasks() -> Counter[str]:
    """The tasks of AIBox by what they run; the stub's and the clients' connections are not among them."""
    running = (task.get_coro() for task in asyncio.all_tasks())
    frames = [getattr(coroutine, "cr_code", None) for coroutine in running]
    return Counter(code.co_qualname for code in frames if code is not None and "/aibox/" in code.co_filename)
