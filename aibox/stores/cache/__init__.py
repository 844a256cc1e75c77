"""The port Cache: what processes share for a short time; the URL's scheme names the backend."""

from urllib.parse import urlsplit

from aibox.core.errors import BootRefused
from aibox.stores import Cache, CacheSettings


def open_cache(settings: CacheSettings) -> Cache:
    """The backend that `settings.url` names, not yet running. Raises `BootRefused` for a scheme we do not know."""
    match urlsplit(settings.url).scheme:
        case "memory":
            from aibox.stores.cache.memory import MemoryCache  # noqa: PLC0415 - each installation pays for its own

            return MemoryCache()
        case "redis" | "rediss" | "unix":
            from aibox.stores.cache.redis import RedisCache  # noqa: PLC0415 - as above

            return RedisCache(settings.url)
        case _:
            raise BootRefused("boot_settings", "AIBOX_CACHE_URL must begin with memory:, redis:, rediss: or unix:.")
