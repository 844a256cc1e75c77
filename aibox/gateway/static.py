"""The built web app: its files with long-lived caching, and its page for every address that is not the API's."""

import asyncio
import hashlib
import mimetypes
import re
from pathlib import Path
from typing import Any

from litestar import Request, Response, route
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from aibox.core.errors import NotFound
from aibox.identity import is_api

FOLDER = Path(__file__).with_name("static")
CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
SECURITY = {
    "Content-Security-Policy": CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
NOT_BUILT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>AIBox</title><style>body{font:16px/1.5 system-ui;max-width:40rem;margin:4rem auto;padding:0 1rem}</style></head>
<body><h1>AIBox is running</h1><p>The web app is not built yet. Start with <code>make up</code>, which builds it, and
load this page again. The API works meanwhile: see <a href="/docs">/docs</a>.</p></body></html>
"""

_HASHED = re.compile(r"/assets/.*[.-][A-Za-z0-9_-]{8}(\.[a-z0-9]+)+")
"""Vite puts a hash of the content into the names of what it bundles, so such a file never changes."""

# What the machine's own tables say differs from machine to machine.
_TYPES = mimetypes.MimeTypes()
for _suffix, _type in {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
    ".map": "application/json",
}.items():
    _TYPES.add_type(_type, _suffix)


class Asset(Struct, frozen=True):
    """A file of the build, as it is answered."""

    path: Path
    media_type: str
    cache: str
    etag: str


class WebApp:
    """The files under `folder`, as the build left them; a path is looked up among them and never opened as given."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._assets: dict[str, Asset] = {}
        self._built_ns = 0

    def asset(self, path: str) -> Asset | None:
        """The file at `path`, which begins with a slash. A new build is noticed by its page."""
        try:
            built_ns = (self._folder / "index.html").stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if built_ns != self._built_ns:
            self._assets, self._built_ns = _scan(self._folder), built_ns
        return self._assets.get(path)


def web_app(folder: Path = FOLDER) -> HTTPRouteHandler:
    """The handler of all paths that no other route has."""
    app = WebApp(folder)

    @route(["/", "/{path:path}"], http_method=["GET", "HEAD"], opt={"policy": "public"}, include_in_schema=False)
    async def page(request: Request[Any, Any, Any]) -> Response[bytes]:
        path = request.scope["path"]
        if is_api(path) or path.lower().startswith("/healthz"):
            raise NotFound()
        asset = app.asset(path)
        if asset is None and "." in path.rpartition("/")[2]:
            raise NotFound()  # a missing file, not an address of the app: a page in its place would confuse
        asset = asset or app.asset("/index.html")
        if asset is None:
            return Response(NOT_BUILT.encode(), media_type="text/html", headers=SECURITY)
        headers = {**SECURITY, "Cache-Control": asset.cache, "ETag": asset.etag}
        if request.headers.get("if-none-match") == asset.etag:
            return Response(b"", status_code=304, media_type=asset.media_type, headers=headers)
        content = await asyncio.to_thread(asset.path.read_bytes)
        return Response(content, media_type=asset.media_type, headers=headers)

    return page


def _scan(folder: Path) -> dict[str, Asset]:
    found: dict[str, Asset] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
            name = "/" + path.relative_to(folder).as_posix()
            found[name] = Asset(path, _media_type(path), _cache(name), _etag(path))
    return found


def _media_type(path: Path) -> str:
    return _TYPES.guess_type(path.name)[0] or "application/octet-stream"  # Litestar adds the charset to text


def _cache(name: str) -> str:
    return "public, max-age=31536000, immutable" if _HASHED.fullmatch(name) else "no-cache"


def _etag(path: Path) -> str:
    return f'"{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}"'
