"""The dialects that clients may speak, by name."""

from collections.abc import Mapping
from typing import Final

from aibox.router import Dialect
from aibox.router.dialects.completions import ChatCompletions
from aibox.router.dialects.messages import Messages
from aibox.router.dialects.responses import Responses

DIALECTS: Final[Mapping[str, Dialect]] = {
    "chat_completions": ChatCompletions(),
    "responses": Responses(),
    "messages": Messages(),
}
