"""Pages of other sites that may call the API from a browser, with a token of their own: named one by one (B05)."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from litestar.config.cors import CORSConfig

from aibox.core.errors import BootRefused


def cors(origins: Sequence[str]) -> CORSConfig | None:
    """The answer to preflights; None when no site is named.

    Never with credentials, so our cookie stays out of reach. Raises `BootRefused` (`boot_cors`) for `*`, `null` or a
    pattern, which would let in a site that nobody named.
    """
    for origin in origins:
        parts = urlsplit(origin)
        is_plain = f"{parts.scheme}://{parts.netloc}" == origin and "*" not in origin and "@" not in origin
        if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
            raise BootRefused(
                "boot_cors", f"Name each site in gateway.cors_origins as https://host: {origin!r} is none."
            )
    if not origins:
        return None
    return CORSConfig(
        allow_origins=[*origins],
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "DPoP", "Last-Event-ID", "X-Api-Key", "X-Correlation-ID"],
        expose_headers=["X-Aibox-Turn-Id", "Retry-After", "DPoP-Nonce"],
        allow_credentials=False,
        max_age=600,
    )
