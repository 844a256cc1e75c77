"""The bodies of the router's administration routes."""

from typing import Literal

from msgspec import Struct

from aibox.router import AdapterName


class NewProvider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider to add; `models` None takes all it lists."""

    name: str
    base_url: str
    api_key: str | None = None
    type: Literal["vllm", "external"] = "external"
    adapter: AdapterName = "chat_completions"
    models: list[str] | None = None


class RoleTarget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a role leads: ids or `provider/model`; `model` null unsets it."""

    model: str | None
    fallbacks: list[str] = []


class RoleModels(Struct, frozen=True, kw_only=True):
    """Where a role leads now, as `provider/model`."""

    model: str
    fallbacks: list[str]
