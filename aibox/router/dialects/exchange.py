"""What a client's dialect gives the router: its request as values, and a writer for the answer."""

from collections.abc import Iterable
from typing import Protocol

from aibox.observability import Usage
from aibox.router import Chunk
from aibox.router.dialects.asking import Request
from aibox.router.dialects.parts import Step, Told


class Writer(Protocol):
    """Writes one answer in a dialect, out of its steps."""

    def write(self, steps: Iterable[Step]) -> list[Chunk]:
        """The events that these steps bring; the first ones are preceded by what begins a stream."""
        ...

    def close(self, steps: Iterable[Step], usage: Usage | None) -> list[Chunk]:
        """The events that end the stream; `usage` for a provider that told none. The last one `is_last`."""
        ...

    def whole(self, steps: Iterable[Step], usage: Usage | None) -> bytes:
        """The body of an answer that is no stream."""
        ...


class Exchange(Protocol):
    """One request of a dialect as values, and the way back for its answer."""

    @property
    def request(self) -> Request: ...

    @property
    def max_tokens(self) -> int | None:
        """The limit of tokens, which is not in `request`: providers call it differently."""
        ...

    @property
    def omitted(self) -> tuple[str, ...]:
        """What the request said and no other format can say, such as a provider's own tools."""
        ...

    def writer(self, told: Told, *, id: str, wants_usage: bool) -> Writer:
        """A writer for the answer that `told` tells of; `id` names it, unique and of letters and digits.

        `wants_usage` where a dialect leaves it to the client whether a stream tells it.
        """
        ...


class Translatable(Protocol):
    """A dialect whose requests can be read as values."""

    def read(self, body: bytes) -> Exchange:
        """Read a request. Raises `BadRequest`, `ValidationFailed`, `NotTranslatable`."""
        ...
