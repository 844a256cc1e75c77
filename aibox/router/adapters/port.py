"""The port to a provider's wire format: requests are written, answers are read; pure functions and small readers."""

from collections.abc import Mapping
from typing import Protocol

from aibox.router import DialectName
from aibox.router.dialects.asking import Request
from aibox.router.dialects.chat import Seen
from aibox.router.dialects.parts import Step, Told


class Reading(Protocol):
    """Reads one answer, whole or event by event."""

    @property
    def told(self) -> Told:
        """What is known of the answer so far besides its parts."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether the answer may end here."""
        ...

    def take(self, data: bytes) -> Seen:
        """What an event's payload, or an answer's body, says. Raises `MalformedError`."""
        ...

    def steps(self) -> list[Step]:
        """What was taken last, as steps; asked for once. Raises `MalformedError`."""
        ...

    def end(self) -> list[Step]:
        """The steps that bring every part to its end."""
        ...


class Adapter(Protocol):
    """A wire format that providers speak."""

    @property
    def dialect(self) -> DialectName:
        """The dialect of clients that is the same format."""
        ...

    @property
    def endpoint(self) -> str:
        """Where it is asked, below the provider's base URL."""
        ...

    def headers(self, key: str | None) -> Mapping[str, str]:
        """What identifies us, and the format's version."""
        ...

    def passed(self, body: bytes, *, model: str, stream: bool, limit: tuple[str, int] | None = None) -> bytes:
        """A request of the same dialect with `model` and `stream` set, every other member as it came.

        `limit` names and sets a limit of tokens that is not in it. Raises `BadRequest`, `NotTranslatable`.
        """
        ...

    def asked(self, request: Request, *, model: str, stream: bool, limit: tuple[str, int] | None = None) -> bytes:
        """A request of another dialect, written in this one. Raises `NotTranslatable`."""
        ...

    def reading(self) -> Reading:
        """A reader for one answer."""
        ...
