"""What readers of dialects with named events share: steps in order, and what they say for the meter and the log."""

from collections.abc import Iterable
from typing import Any, Final

from aibox.observability import Usage
from aibox.router.dialects.chat import Seen, ToolDelta
from aibox.router.dialects.parts import Begun, Ended, Grown, Kind, Order, Part, Step, Tokens, Told


class StepReading:
    """Keeps the parts of one answer by key, and the steps of what was taken last."""

    def __init__(self) -> None:
        self.told: Final = Told()
        self.is_complete = False
        self._order = Order()
        self._parts: dict[object, Part] = {}
        self._steps: list[Step] = []
        self._kind: Kind = "text"
        self._number = 0

    def steps(self) -> list[Step]:
        """See `Reading.steps`."""
        steps, self._steps = self._steps, []
        return steps

    def end(self) -> list[Step]:
        """See `Reading.end`."""
        return self._order.end()

    def begin(self, key: object, kind: Kind, *, id: str = "", name: str = "") -> Part:
        """The part of `key`, which begins if it has not."""
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = Part(kind, id, name)
            self.told.has_called = self.told.has_called or kind == "tool"
            self._steps += self._order.grow(part)
        return part

    def grow(self, part: Part, grown: Grown) -> None:
        """`part` has more text."""
        if grown.text:
            part.has_text = True
            self._steps += self._order.grow(part, grown)

    def tell(
        self, key: object, kind: Kind, text: str, *, id: str = "", name: str = "", logprobs: tuple[Any, ...] = ()
    ) -> None:
        """The part of `key` came whole; one that came in pieces is only finished."""
        if not text and kind != "tool" and key not in self._parts:
            return
        part = self.begin(key, kind, id=id, name=name)
        if not part.has_text:
            self.grow(part, Grown(text=text, logprobs=logprobs))
        self.finish(part)

    def finish(self, part: Part) -> None:
        """`part` is whole."""
        self._steps += self._order.finish(part)

    def seen(self, event: str, *, finish_reason: str | None = None, is_last: bool = False) -> Seen:
        """What the steps of this event say."""
        texts: list[str] = []
        tools: list[ToolDelta] = []
        hidden = 0
        for step in self._steps:
            match step:
                case Begun():
                    self._kind, self._number = step.kind, step.number
                    if step.kind == "tool":
                        tools.append(ToolDelta(0, step.number, step.id, step.name, ""))
                case Grown() if self._kind == "tool":
                    tools.append(ToolDelta(0, self._number, "", "", step.text))
                case Grown() if self._kind == "reasoning":
                    hidden += len(step.text)
                case Grown():
                    texts.append(step.text)
                case Ended():
                    pass
        return Seen(
            choices=1,
            text="".join(texts),
            finish_reason=finish_reason,
            usage=usage_of(self.told.tokens) if finish_reason is not None else None,
            tools=tuple(tools),
            hidden=hidden,
            event=event,
            is_last=is_last,
        )


def usage_of(tokens: Tokens | None) -> Usage | None:
    """What the meter counts."""
    if tokens is None:
        return None
    return Usage(
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cached_tokens=tokens.cached,
        cache_write_tokens=tokens.written,
        reasoning_tokens=tokens.reasoning,
    )


def joined(texts: Iterable[str]) -> str:
    """Texts of one author, one after another with a blank line between."""
    return "\n\n".join(text for text in texts if text)
