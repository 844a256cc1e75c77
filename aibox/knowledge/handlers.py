"""What knowledge hears: that everything a person said is to be erased."""

from collections.abc import Sequence
from uuid import UUID

from msgspec.structs import replace

from aibox.core.eventlog import EventLog
from aibox.core.events import Bus, Recorded
from aibox.core.turn import system_turn
from aibox.knowledge import Knowledge


def subscribe(bus: Bus, knowledge: Knowledge, log: EventLog) -> None:
    """Hear `audit.erasure_ordered`."""

    async def erase(batch: Sequence[Recorded]) -> None:
        for event in batch:
            body = event.decode()["body"]
            if body["conversation"] is None:
                turn = system_turn(event.tenant, parent=event.turn)
                turn = replace(turn, principal=replace(turn.principal, id=UUID(body["person"])))
                await knowledge.erase(turn)
                await log.end(turn, "sealed")

    bus.subscribe("knowledge.erasure", erase, types={"audit.erasure_ordered"})
