"""What the runtime hears: the reaper sealed a turn, whose run fails with it; a person's chats are to be erased."""

from collections.abc import Sequence
from uuid import UUID

from aibox.core.connections import Connections
from aibox.core.eventlog import EventLog
from aibox.core.events import Bus, Recorded
from aibox.core.turn import system_turn
from aibox.runtime import ABANDONED
from aibox.runtime.conversations import ConversationStore


def subscribe(bus: Bus, connections: Connections, conversations: ConversationStore, log: EventLog) -> None:
    """Hear `turn_sealed` and `audit.erasure_ordered`."""

    async def fail_abandoned_runs(batch: Sequence[Recorded]) -> None:
        abandoned = [event for event in batch if event.decode()["body"]["outcome"] == "abandoned"]
        if abandoned:
            await connections.system.execute(
                "UPDATE runtime.run"
                " SET status = 'failed', finish_reason = 'error', code = $3, ended_at = now()"
                " FROM unnest($1::uuid[], $2::uuid[]) AS x (t, u)"
                " WHERE runtime.run.tenant = x.t AND runtime.run.id = x.u AND ended_at IS NULL",
                [event.tenant for event in abandoned],
                [event.turn for event in abandoned],
                ABANDONED,
            )

    async def erase(batch: Sequence[Recorded]) -> None:
        for event in batch:
            body = event.decode()["body"]
            turn = system_turn(event.tenant, parent=event.turn)
            only = None if body["conversation"] is None else UUID(body["conversation"])
            await conversations.erase(turn, owner=UUID(body["person"]), only=only)
            await log.end(turn, "sealed")

    bus.subscribe("runtime.erasure", erase, types={"audit.erasure_ordered"})
    bus.subscribe("runtime.abandoned", fail_abandoned_runs, types={"turn_sealed"})
