"""The door: what may enter (Guard), on which port and under which names, and the built web app."""

from typing import Annotated

from msgspec import Meta, Struct

from aibox.core.errors import AIBoxError, BadRequest


class Settings(Struct, frozen=True, kw_only=True):
    """Listening."""

    host: Annotated[str, Meta(description="The address to listen on; 0.0.0.0 for all")] = "127.0.0.1"
    port: Annotated[int, Meta(description="The port to listen on", ge=1, le=65535)] = 8080
    hosts: Annotated[tuple[str, ...], Meta(description="Further host names that requests may name")] = ()
    proxies: Annotated[
        tuple[str, ...],
        Meta(description="Addresses or networks of reverse proxies whose `X-Forwarded-For` is believed"),
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...],
        Meta(description="Pages of other sites that may call the API with a token (never with our cookie)"),
    ] = ()


class LimitsSettings(Struct, frozen=True, kw_only=True):
    """How much may be asked; 0 is no limit. Replicas count together through `cache.url`."""

    tenant_per_minute: Annotated[int, Meta(description="Requests of a tenant in a minute", ge=0)] = 1200
    user_per_minute: Annotated[int, Meta(description="Requests of a person in a minute, keys included", ge=0)] = 120
    key_per_minute: Annotated[int, Meta(description="Requests of an API key in a minute", ge=0)] = 120
    turns_per_minute: Annotated[int, Meta(description="Turns that a person may begin in a minute", ge=0)] = 30
    streams: Annotated[int, Meta(description="Answers that may run to a person at once", ge=0, le=100)] = 8


class AmbiguousHeader(BadRequest):
    """An identity header twice, empty, or in a spelling that another reader would fold into it (H03 to H05)."""

    code = "ambiguous_header"
    sentence = "The request has a header that can be read in two ways."


class BadHost(BadRequest):
    """No host, several, or no host name (H09)."""

    code = "bad_host"
    sentence = "The request does not say plainly which host it is for."


class Misdirected(AIBoxError):
    """A host name that is not ours (H10)."""

    status = 421
    code = "bad_host"
    sentence = "This server does not answer under that name; set AIBOX_PUBLIC_URL or gateway.hosts."


class HeadersTooLarge(AIBoxError):
    """More than 100 headers, 32 KiB of them, or 16 KiB of Authorization (T28)."""

    status = 431
    code = "headers_too_large"
    sentence = "The request's headers are too large."


class MethodNotAllowed(AIBoxError):
    status = 405
    code = "method_not_allowed"
    sentence = "This path does not take that method."
