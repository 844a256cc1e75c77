"""What the runtime hears: a turn that a crash left and the reaper sealed takes its run with it."""

from collections.abc import Sequence

from aibox.core.connections import Connections
from aibox.core.events import Bus, Recorded


def subscribe(bus: Bus, connections: Connections) -> None:
    """Hear `turn_sealed`."""

    async def fail_abandoned_runs(batch: Sequence[Recorded]) -> None:
        abandoned = [event for event in batch if event.decode()["body"]["outcome"] == "abandoned"]
        if abandoned:
            await connections.system.execute(
                "UPDATE runtime.run"
                " SET status = 'failed', finish_reason = 'error', code = 'abandoned', ended_at = now()"
                " FROM unnest($1::uuid[], $2::uuid[]) AS x (t, u)"
                " WHERE runtime.run.tenant = x.t AND runtime.run.id = x.u AND ended_at IS NULL",
                [event.tenant for event in abandoned],
                [event.turn for event in abandoned],
            )

    bus.subscribe("runtime.abandoned", fail_abandoned_runs, types={"turn_sealed"})
