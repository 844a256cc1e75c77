"""Jobs: part of the Work that queues them, done at least once, tried again, and never by two at a time."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from aibox.core.errors import AIBoxError, Conflict, StateUnavailable
from aibox.core.events import TurnFailed
from aibox.core.jobs import Job, Jobs
from aibox.core.turn import Turn, system_turn
from tests.conftest import Kernel


class Worker:
    """Keeps what it was given; fails as often as told."""

    def __init__(self, kernel: Kernel, *, failures: int = 0) -> None:
        self._kernel = kernel
        self.jobs: list[Job] = []
        self.turns: list[Turn] = []
        self.given_up: list[str] = []
        self.failures = failures

    async def work(self, turn: Turn, job: Job) -> None:
        self.jobs.append(job)
        self.turns.append(turn)
        if self.failures:
            self.failures -= 1
            raise StateUnavailable("told to fail")

    async def give_up(self, turn: Turn, job: Job, error: AIBoxError) -> None:
        self.given_up.append(error.code)


def queue_of(kernel: Kernel, worker: Worker) -> Jobs:
    jobs = Jobs(kernel.connections, kernel.log)
    jobs.register("test", worker.work, gave_up=worker.give_up)
    return jobs


async def rows(kernel: Kernel) -> list[Any]:
    return list(await kernel.connections.system.fetch("SELECT * FROM core.job ORDER BY id"))


async def hurry(kernel: Kernel) -> None:
    """Let every pause be over, and every lease."""
    await kernel.connections.system.execute(
        "UPDATE core.job SET run_at = now() - interval '1 s', lease_until = now() - interval '1 s'"
        " WHERE state IN ('pending', 'running')"
    )


async def enqueue(kernel: Kernel, jobs: Jobs, turn: Turn, payload: dict[str, Any], **options: Any) -> None:
    async with kernel.db.work(turn) as work:
        await jobs.enqueue(work, turn, "test", payload, **options)


async def test_a_job_is_done_in_a_turn_of_its_own_below_the_turn_that_queued_it(kernel: Kernel) -> None:
    worker = Worker(kernel)
    jobs = queue_of(kernel, worker)
    turn = system_turn(uuid4())
    await enqueue(kernel, jobs, turn, {"item": "a"})

    assert await jobs.drain() == 1

    assert (worker.jobs[0].payload, worker.jobs[0].attempt) == ({"item": "a"}, 1)
    assert (worker.turns[0].tenant, worker.turns[0].parent) == (turn.tenant, turn.id)
    assert [row["state"] for row in await rows(kernel)] == ["completed"]


async def test_a_work_that_rolls_back_queues_nothing(kernel: Kernel) -> None:
    jobs = queue_of(kernel, Worker(kernel))
    turn = system_turn(uuid4())

    with contextlib.suppress(Conflict):
        async with kernel.db.work(turn) as work:
            await jobs.enqueue(work, turn, "test", {})
            raise Conflict

    assert await rows(kernel) == []


async def test_while_a_job_waits_another_of_the_same_key_is_the_same_job(kernel: Kernel) -> None:
    jobs = queue_of(kernel, Worker(kernel))
    turn, stranger = system_turn(uuid4()), system_turn(uuid4())
    async with kernel.db.work(turn) as work:
        first = await jobs.enqueue(work, turn, "test", {"n": 1}, dedupe="a")
        second = await jobs.enqueue(work, turn, "test", {"n": 2}, dedupe="a")
    await enqueue(kernel, jobs, stranger, {"n": 3}, dedupe="a")

    assert first == second
    assert await jobs.drain() == 2
    await enqueue(kernel, jobs, turn, {"n": 4}, dedupe="a")
    assert await jobs.drain() == 1


async def test_a_job_that_fails_is_tried_again_after_a_pause(kernel: Kernel) -> None:
    worker = Worker(kernel, failures=1)
    jobs = queue_of(kernel, worker)
    await enqueue(kernel, jobs, system_turn(uuid4()), {})

    assert await jobs.drain() == 1
    (waiting,) = await rows(kernel)
    assert (waiting["state"], waiting["code"]) == ("pending", "state_unavailable")
    assert 5 < (waiting["run_at"] - waiting["created_at"]).total_seconds() < 60
    await hurry(kernel)
    assert await jobs.drain() == 1

    assert [job.attempt for job in worker.jobs] == [1, 2]
    assert (await rows(kernel))[0]["state"] == "completed"
    assert worker.given_up == []


async def test_after_the_last_attempt_it_has_failed_and_its_kind_hears_why(kernel: Kernel) -> None:
    worker = Worker(kernel, failures=9)
    jobs = queue_of(kernel, worker)
    await enqueue(kernel, jobs, system_turn(uuid4()), {}, attempts=3)

    for _ in range(5):
        await jobs.drain()
        await hurry(kernel)

    assert len(worker.jobs) == 3
    assert worker.given_up == ["state_unavailable"]
    (row,) = await rows(kernel)
    assert (row["state"], row["code"]) == ("failed", "state_unavailable")


async def test_the_job_of_a_killed_worker_runs_again_and_counts_the_attempt(kernel: Kernel) -> None:
    worker = Worker(kernel)
    jobs = queue_of(kernel, worker)
    await enqueue(kernel, jobs, system_turn(uuid4()), {}, attempts=2)
    await kernel.connections.system.execute(
        "UPDATE core.job SET state = 'running', attempt = 1, lease_until = now() + interval '1 hour'"
    )

    assert await jobs.drain() == 0, "its lease is not over"
    await hurry(kernel)
    assert await jobs.drain() == 1

    assert worker.jobs[0].attempt == 2


async def test_a_job_that_kills_every_worker_is_given_up_in_the_end(kernel: Kernel) -> None:
    worker = Worker(kernel)
    jobs = queue_of(kernel, worker)
    await enqueue(kernel, jobs, system_turn(uuid4()), {}, attempts=2)
    await kernel.connections.system.execute("UPDATE core.job SET state = 'running', attempt = 2, lease_until = now()")

    assert await jobs.drain() == 1

    assert worker.jobs == []
    assert worker.given_up == ["job_stalled"]
    assert (await rows(kernel))[0]["state"] == "failed"


async def test_a_server_that_stops_gives_its_job_back(kernel: Kernel) -> None:
    begun = asyncio.Event()

    async def hang(_: Turn, __: Job) -> None:
        begun.set()
        await asyncio.Event().wait()

    jobs = Jobs(kernel.connections, kernel.log)
    jobs.register("test", hang)
    await enqueue(kernel, jobs, system_turn(uuid4()), {})
    async with jobs.run(kernel.tasks):
        await asyncio.wait_for(begun.wait(), 20)

    (row,) = await rows(kernel)
    assert (row["state"], row["attempt"]) == ("pending", 0)


async def test_many_workers_share_the_jobs_and_none_is_done_twice(kernel: Kernel) -> None:
    done: list[int] = []

    async def slow(_: Turn, job: Job) -> None:
        await asyncio.sleep(0.002)
        done.append(job.payload["n"])

    queues = [Jobs(kernel.connections, kernel.log, workers=2) for _ in range(2)]
    for jobs in queues:
        jobs.register("test", slow)
    turn = system_turn(uuid4())
    async with kernel.db.work(turn) as work:
        for n in range(40):
            await queues[0].enqueue(work, turn, "test", {"n": n})

    async with queues[0].run(kernel.tasks), queues[1].run(kernel.tasks):
        await _until(lambda: _all_over(kernel))

    assert sorted(done) == list(range(40))


async def test_a_failed_attempts_turn_is_sealed_as_failed(kernel: Kernel) -> None:
    async def act(turn: Turn, _: Job) -> None:
        await kernel.log.log(turn, TurnFailed(code="first"))
        raise RuntimeError("a bug")

    jobs = Jobs(kernel.connections, kernel.log)
    jobs.register("test", act)
    await enqueue(kernel, jobs, system_turn(uuid4()), {})

    await jobs.drain()

    kinds = await kernel.connections.system.fetch(
        "SELECT type, convert_from(data, 'UTF8') AS data FROM core.event ORDER BY seq"
    )
    assert [row["type"] for row in kinds] == ["turn_started", "turn_failed", "turn_failed", "turn_sealed"]
    assert '"code":"internal"' in kinds[2]["data"]
    assert '"outcome":"failed"' in kinds[3]["data"]


async def test_two_handlers_of_one_kind_are_a_mistake(kernel: Kernel) -> None:
    jobs = queue_of(kernel, Worker(kernel))

    with pytest.raises(ValueError, match="have a handler already"):
        jobs.register("test", Worker(kernel).work)


async def _all_over(kernel: Kernel) -> bool:
    return all(row["state"] == "completed" for row in await rows(kernel))


async def _until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await is_so():
            await asyncio.sleep(0.05)
