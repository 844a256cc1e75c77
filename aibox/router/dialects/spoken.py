"""The dialects that clients may speak, by name."""

from collections.abc import Mapping
from typing import Final

from aibox.router import Dialect
from aibox.router.dialects.completions import ChatCompletions
from aibox.router.dialects.exchange import Translatable
from aibox.router.dialects.messages import Messages
from aibox.router.dialects.responses import Responses

_CHAT, _RESPONSES, _MESSAGES = ChatCompletions(), Responses(), Messages()

DIALECTS: Final[Mapping[str, Dialect]] = {"chat_completions": _CHAT, "responses": _RESPONSES, "messages": _MESSAGES}
TRANSLATABLE: Final[Mapping[str, Translatable]] = {
    "chat_completions": _CHAT,
    "responses": _RESPONSES,
    "messages": _MESSAGES,
}
