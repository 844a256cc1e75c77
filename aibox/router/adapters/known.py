"""The adapters, by the name that a provider's row holds."""

from collections.abc import Mapping
from typing import Final

from aibox.router.adapters.anthropic_messages import AnthropicMessages
from aibox.router.adapters.chat_completions import ChatCompletions
from aibox.router.adapters.port import Adapter
from aibox.router.adapters.responses import Responses

ADAPTERS: Final[Mapping[str, Adapter]] = {
    "chat_completions": ChatCompletions(),
    "responses": Responses(),
    "anthropic_messages": AnthropicMessages(),
}
