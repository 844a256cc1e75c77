"""The door: what may enter (Guard), on which port and under which names, and the built web app."""

from typing import Annotated

from msgspec import Meta, Struct


class Settings(Struct, frozen=True, kw_only=True):
    """Listening."""

    host: Annotated[str, Meta(description="The address to listen on; 0.0.0.0 for all")] = "127.0.0.1"
    port: Annotated[int, Meta(description="The port to listen on", ge=1, le=65535)] = 8080
    hosts: Annotated[tuple[str, ...], Meta(description="Further host names that requests may name")] = ()
