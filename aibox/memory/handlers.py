"""What the memories hear: that everything a person said is to be erased."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from aibox.core.eventlog import EventLog
from aibox.core.events import Bus, Recorded
from aibox.core.turn import system_turn
from aibox.memory import Memories


def subscribe(bus: Bus, memories: Memories, log: EventLog) -> None:
    """Hear `audit.erasure_ordered`."""

    async def erase(batch: Sequence[Recorded]) -> None:
        for event in batch:
            body = event.decode()["body"]
            if body["conversation"] is None:
                turn = system_turn(event.tenant, parent=event.turn)
                principal = msgspec.structs.replace(turn.principal, id=UUID(body["person"]))
                turn = msgspec.structs.replace(turn, principal=principal)
                await memories.erase(turn)
                await log.end(turn, "sealed")

    bus.subscribe("memory.erasure", erase, types={"audit.erasure_ordered"})
