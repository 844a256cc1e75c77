"""What refuses a start before anything serves: settings fit for trying only, ways past the egress proxy, and a
database that does not protect what stands in it (identity.md, rows B04 to B09)."""

import asyncio
import contextlib
from urllib.parse import urlsplit

import asyncpg

from aibox.core.connections import LOST, Urls
from aibox.core.errors import BootRefused
from aibox.core.http import Settings as HttpSettings
from aibox.settings import Settings

DEFAULT_PASSWORDS = frozenset(
    {"admin", "aibox", "changeme", "change-me", "default", "guest", "minioadmin", "password", "postgres", "secret"}
)
"""What examples and images ship with: whoever knows the product knows these."""

PROBE_SECONDS = 1.5

_ROLE = "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = current_user"
_OWNED = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname !~ '^(pg_|information_schema)'
  AND pg_has_role(current_user, c.relowner, 'MEMBER') ORDER BY 1 LIMIT 1
"""
_CHANGEABLE = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND (n.nspname || '.' || c.relname = 'core.event' OR (n.nspname = 'audit' AND $1))
  AND (has_any_column_privilege(c.oid, 'UPDATE') OR has_table_privilege(c.oid, 'DELETE, TRUNCATE')) ORDER BY 1 LIMIT 1
"""
_UNFORCED = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema)'
  AND has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE, REFERENCES')
  AND NOT (c.relrowsecurity AND c.relforcerowsecurity) ORDER BY 1 LIMIT 1
"""


def check_settings(settings: Settings) -> None:
    """Raise `BootRefused` for what production must not run with (B04), and for egress without its proxy (B09)."""
    if settings.http.enforce and not settings.http.proxy:
        raise BootRefused(
            "boot_egress", "Set AIBOX_HTTP_PROXY: egress is enforced (EGRESS_ENFORCE), so all calls go through a proxy."
        )
    if not settings.is_production:
        return
    if settings.log.level == "debug":
        raise BootRefused("boot_default", "Set AIBOX_LOG_LEVEL to info: production does not log at debug level.")
    for name, url in (
        ("AIBOX_DATABASE_URL", settings.database.url),
        ("AIBOX_DATABASE_SYSTEM_URL", settings.database.system_url),
        ("AIBOX_DATABASE_OWNER_URL", settings.database.owner_url),
        ("AIBOX_CACHE_URL", settings.cache.url),
        ("AIBOX_VECTORS_URL", settings.vectors.url),
    ):
        if (urlsplit(url).password or "").lower() in DEFAULT_PASSWORDS:
            raise BootRefused("boot_default", f"Choose a password of your own for {name}: it has a well-known one.")
    if settings.objects.secret_key.lower() in DEFAULT_PASSWORDS:
        raise BootRefused("boot_default", "Choose AIBOX_OBJECTS_SECRET_KEY yourself: it is a well-known one.")


async def check_egress(http: HttpSettings) -> None:
    """Raise `BootRefused` (B09) when egress is enforced and the network lets this process past the proxy."""
    if not http.enforce or not http.probe:
        return
    host, _, port = http.probe.rpartition(":")
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        raise BootRefused(
            "boot_egress",
            f"Close the direct way out: egress is enforced, but {http.probe} answers without the proxy.",
        )


async def check_database(urls: Urls) -> None:
    """Raise `BootRefused` when a role has more rights than it needs (B07), or commits do not reach the disk (B08)."""
    for url, is_app in ((urls.app, True), (urls.system, False)):
        try:
            connection = await asyncpg.connect(url)
        except (*LOST, asyncpg.PostgresError) as error:
            raise BootRefused("boot_database", f"PostgreSQL cannot be reached ({error}).") from None
        try:
            await _check_role(connection, is_app=is_app)
            await _check_durability(connection)
        finally:
            await connection.close()


async def _check_role(connection: "asyncpg.Connection[asyncpg.Record]", *, is_app: bool) -> None:
    role = await connection.fetchrow(_ROLE)
    assert role is not None
    name = role["rolname"]
    if role["rolsuper"] or role["rolcreaterole"]:
        raise BootRefused("boot_db_role", f"Use a role without SUPERUSER and CREATEROLE: {name} could change anything.")
    if is_app and role["rolbypassrls"]:
        raise BootRefused("boot_db_role", f"Run `ALTER ROLE {name} NOBYPASSRLS`: the app's role stands under RLS.")
    if (owned := await connection.fetchval(_OWNED)) is not None:
        raise BootRefused("boot_db_role", f"Give {owned} to the owner's role: {name} must own no table.")
    if (changeable := await connection.fetchval(_CHANGEABLE, is_app)) is not None:
        raise BootRefused("boot_db_role", f"Revoke UPDATE, DELETE and TRUNCATE on {changeable} from {name}.")
    if is_app and (unforced := await connection.fetchval(_UNFORCED)) is not None:
        raise BootRefused("boot_db_role", f"Run `ALTER TABLE {unforced} ENABLE, FORCE ROW LEVEL SECURITY`: it is open.")


async def _check_durability(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    for name in ("fsync", "synchronous_commit"):
        if await connection.fetchval(f"SHOW {name}") == "off":
            raise BootRefused(
                "boot_db_durability", f"Turn {name} on in PostgreSQL: a power cut would lose sealed turns."
            )
