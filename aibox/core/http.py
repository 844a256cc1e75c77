"""Outgoing HTTP: the settings of the one client that leaves the process."""

from typing import Annotated

from msgspec import Meta, Struct


class Settings(Struct, frozen=True, kw_only=True):
    """Where AIBox may call out to."""

    internal_hosts: Annotated[
        tuple[str, ...], Meta(description="Hosts (or host:port) with internal addresses that may be called")
    ] = ()
