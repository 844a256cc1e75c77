"""The turn: prepare, guard, recall, ask, guard, resolve, remember; conversations, runs and the API for AI clients."""

from typing import Annotated

from msgspec import Meta, Struct


class Settings(Struct, frozen=True, kw_only=True):
    """Limits of a turn."""

    turn_seconds: Annotated[float, Meta(description="Time limit for a whole turn")] = 600.0
    seal_wait_seconds: Annotated[float, Meta(description="How long the last frame waits for the seal")] = 0.25
    events_hours: Annotated[int, Meta(description="How long the stream events of a run can be read again")] = 24
    history_items: Annotated[int, Meta(description="Most messages of a conversation put into a prompt")] = 40
