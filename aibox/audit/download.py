"""Asks a server over HTTP for a command, with an API key that goes nowhere else."""

import http.client
import json
import urllib.error
import urllib.request
from typing import IO, Any

SECONDS = 30
MOST_ANSWER = 1024 * 1024


class UsageError(Exception):
    """The command cannot do what it was asked; the text says why."""


class NotThere(Exception):
    """The server has no such file."""


class Unavailable(Exception):
    """The server cannot answer now; the same request may succeed later. The text says why."""


def download(url: str, *, key: str, limit: int, what: str) -> bytes:
    """The first `limit` bytes of what the server gives. Raises `NotThere`, and `UsageError`, which names `what`."""
    _require_http(url)
    headers = {"Accept": "application/json, application/octet-stream;q=0.9, text/plain;q=0.8"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme was just looked at
    try:
        return _open(request, limit=limit)
    except urllib.error.HTTPError as why:
        if why.code == 404:
            raise NotThere(_sentence(why)) from None
        raise UsageError(f"the server refused {what}: {_sentence(why)}") from None
    except http.client.HTTPException as why:
        raise UsageError(f"the answer of {url} broke off, or is no HTTP: {type(why).__name__}") from None
    except (OSError, ValueError) as why:  # urllib's own are OSErrors
        raise UsageError(f"{url} cannot be reached: {getattr(why, 'reason', why)}") from None


def post(url: str, body: object, *, key: str) -> None:
    """Send `body` as JSON. Raises `Unavailable`, and `UsageError` for what would be refused again."""
    _require_http(url)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    request = urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers)  # noqa: S310 - as above
    try:
        _open(request, limit=MOST_ANSWER)
    except urllib.error.HTTPError as why:
        if why.code in (408, 429) or why.code >= 500:
            raise Unavailable(_sentence(why)) from None
        raise UsageError(f"the server refused it: {_sentence(why)}") from None
    except (OSError, ValueError, http.client.HTTPException) as why:
        raise Unavailable(f"{url} cannot be reached: {getattr(why, 'reason', why)}") from None


def _require_http(url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url} is not an http or https address")


def _open(request: urllib.request.Request, *, limit: int) -> bytes:
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=SECONDS) as answer:
        data: bytes = answer.read(limit)
        return data


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The API key goes to the named server and nowhere else."""

    def redirect_request(self, req: object, fp: IO[bytes], code: int, msg: str, headers: object, newurl: str) -> None:
        return None


def _sentence(why: urllib.error.HTTPError) -> str:
    """What AIBox's error says, or else the status."""
    try:
        body: dict[str, Any] = json.loads(why.read(64 * 1024))
        fields = "; ".join(field["error"] for field in body.get("fields", []))
        return f"{body['error']} {fields}".strip()
    except (ValueError, KeyError, TypeError, AttributeError, OSError):  # another server's error page
        return f"{why.code} {why.reason}"
