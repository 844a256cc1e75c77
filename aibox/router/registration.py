"""Takes a provider's address as a person writes it, and asks it for its models before anything is saved."""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from aibox.core.errors import ValidationFailed
from aibox.core.http import Broken, Client, Reply, Unreachable
from aibox.router import AdapterName, ProviderKeyMissing, ProviderProbeFailed, UpstreamRedirect
from aibox.router.adapters.known import ADAPTERS
from aibox.router.dialects.chat import error_sentence

PROBE_SECONDS = 15.0
MOST_BYTES = 8 * 1024 * 1024
MOST_MODELS = 2000

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_ENDPOINT = re.compile(
    r"/+(chat/completions|completions|responses|embeddings|messages(/count_tokens)?|models)?/*$",
)


class Listed(Struct, frozen=True):
    """A model as its provider lists it."""

    id: str
    context: int | None = None


def checked_name(name: str) -> str:
    """`name` as providers are called: lower case, no slash. Raises `ValidationFailed`."""
    cleaned = name.strip().lower()
    if not _NAME.fullmatch(cleaned):
        said = "begins with a letter or digit; letters, digits, dot, dash and underscore; at most 63"
        raise ValidationFailed("The provider's name is not valid.", fields=[{"field": "name", "error": said}])
    return cleaned


def normalised(base_url: str) -> str:
    """`base_url` trimmed, with `https` where no scheme stands, without endpoint, query, doubled and trailing slashes.

    Raises `ValidationFailed` for what is no http or https address, and for one with a user name or password.
    """
    text = base_url.strip()
    if "://" not in text:
        text = f"https://{text}"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _wrong("this is not an address") from None
    if parts.scheme.lower() not in ("http", "https") or not host or re.search(r"[\s\\]", text):
        raise _wrong("this is not an http or https address")
    if parts.username is not None or parts.password is not None:
        raise _wrong("put the key into api_key, not into the address")
    path = re.sub("/{2,}", "/", parts.path)
    while (shorter := _ENDPOINT.sub("", path)) != path:
        path = shorter
    return urlunsplit((parts.scheme.lower(), parts.netloc.lower(), path, "", ""))


def _wrong(error: str) -> ValidationFailed:
    return ValidationFailed("The base URL is not valid.", fields=[{"field": "base_url", "error": error}])


class Probed(Struct, frozen=True):
    """The base URL that answered, and its models."""

    base_url: str
    models: tuple[Listed, ...]


async def probe(
    http: Client,
    base_url: str,
    api_key: str | None,
    *,
    adapter: AdapterName = "chat_completions",
    connect_seconds: float,
) -> Probed:
    """Ask `base_url` for its models; where it has no path and knows no `/models`, ask below `/v1`.

    Raises `ProviderProbeFailed`, `ProviderKeyMissing`, `UpstreamRedirect`, `AddressRefused`.
    """
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reply, body = await _get_models(http, base_url, adapter, api_key, connect_seconds)
            if reply.status == 404 and not urlsplit(base_url).path:
                base_url += "/v1"
                reply, body = await _get_models(http, base_url, adapter, api_key, connect_seconds)
    except TimeoutError:
        raise ProviderProbeFailed(f"The provider did not list its models within {PROBE_SECONDS:g} s.") from None
    except Unreachable as error:
        raise ProviderProbeFailed(f"The provider cannot be reached: {error}.") from None
    except Broken:
        raise ProviderProbeFailed("The provider broke off while it listed its models.") from None
    return Probed(base_url, _models(reply, body, api_key))


async def _get_models(
    http: Client, base_url: str, adapter: AdapterName, api_key: str | None, connect_seconds: float
) -> tuple[Reply, bytes]:
    # Anthropic lists twenty at a time where nobody asks for more.
    url = f"{base_url}/models?limit=1000" if adapter == "anthropic_messages" else f"{base_url}/models"
    headers = ADAPTERS[adapter].headers(api_key)
    reply = await http.send("GET", url, headers=headers, connect_seconds=connect_seconds)
    with contextlib.closing(reply):
        if reply.redirect is not None:
            raise UpstreamRedirect(f"The provider redirects to {reply.redirect}; use that as its base URL.")
        return reply, await reply.whole(limit=MOST_BYTES)


def _models(reply: Reply, body: bytes, api_key: str | None) -> tuple[Listed, ...]:
    if reply.status in (401, 403):
        if not api_key:
            raise ProviderKeyMissing("The provider wants an API key; add it with one.")
        raise ProviderProbeFailed("The provider refuses this API key.")
    if reply.status != 200:
        said = error_sentence(body)
        raise ProviderProbeFailed(f"The provider answered {reply.status}{f': {said}' if said else ''}.")
    try:
        listed = _listed(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        kind = "a web page" if "html" in reply.content_type else "something that is no JSON"
        raise ProviderProbeFailed(f"The provider answered {kind}; the base URL mostly ends in /v1.") from None
    if not listed:
        raise ProviderProbeFailed("The provider answered, and lists no models.")
    return listed


def _listed(value: Any) -> tuple[Listed, ...]:
    """OpenAI's `{"data": […]}`, or the bare list that some send."""
    items = value.get("data") if isinstance(value, dict) else value
    found: dict[str, Listed] = {}
    for item in items if isinstance(items, list) else ():
        name = item.get("id") if isinstance(item, dict) else None
        if isinstance(name, str) and 0 < len(name) <= 300 and name.isprintable():
            found.setdefault(name, Listed(name, _context(item)))
    return tuple(found.values())[:MOST_MODELS]


def _context(item: dict[str, Any]) -> int | None:
    """vLLM says `max_model_len`, OpenRouter and others `context_length`, Anthropic `max_input_tokens`."""
    for member in ("max_model_len", "context_length", "context_window", "max_input_tokens"):
        value = item.get(member)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31:
            return value
    return None


def chosen(listed: Sequence[Listed], wanted: Sequence[str] | None) -> list[Listed]:
    """The wanted ones of the listed models, all when None. Raises `ProviderProbeFailed` naming one that is missing."""
    if wanted is None:
        return list(listed)
    by_id = {item.id: item for item in listed}
    for name in wanted:
        if name not in by_id:
            raise ProviderProbeFailed(f"The provider does not list a model called {name[:100]}; nothing was saved.")
    return [by_id[name] for name in dict.fromkeys(wanted)]
