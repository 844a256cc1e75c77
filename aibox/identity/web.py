"""The browser's side of a session: the cookie, and proof that a request came from a page of ours."""

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from aibox.core.errors import BootRefused
from aibox.identity import CsrfFailed

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Web:
    """The cookie's name and flags, and the origin check, as the public URL asks for."""

    def __init__(self, base_url: str, *, production: bool) -> None:
        """Raise `BootRefused` when the URL is plain http where browsers would send the cookie in the clear (B03)."""
        url = urlsplit(base_url)
        self._scheme = url.scheme
        self._is_secure = url.scheme == "https"
        may_be_plain = not production and url.scheme == "http" and is_local(url.hostname or "")
        if not (self._is_secure or may_be_plain) or not url.hostname:
            raise BootRefused(
                "boot_bad_issuer",
                f"Set AIBOX_PUBLIC_URL to an https:// address: {base_url!r} would send sessions in the clear.",
            )
        self.cookie_name = "__Host-aibox" if self._is_secure else "aibox"

    def cookie(self, secret: str, *, seconds: int) -> str:
        """The `Set-Cookie` value for a new session; 0 seconds makes the browser forget it."""
        secure = "; Secure" if self._is_secure else ""
        return f"{self.cookie_name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"

    @property
    def state_cookie_name(self) -> str:
        """The cookie of a sign-in under way elsewhere. `Lax`: it must come along when the other site sends back."""
        return f"{self.cookie_name}-sso"

    def state_cookie(self, secret: str, *, seconds: int) -> str:
        """The `Set-Cookie` value for a sign-in under way; 0 seconds makes the browser forget it."""
        secure = "; Secure" if self._is_secure else ""
        return f"{self.state_cookie_name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"

    def state(self, headers: Sequence[tuple[bytes, bytes]]) -> str | None:
        """The secret of the sign-in under way in this browser."""
        return self._cookie(headers, self.state_cookie_name)

    def secret(self, headers: Sequence[tuple[bytes, bytes]]) -> str | None:
        """The session secret in the request's cookies. A name that stands twice is refused like a wrong secret."""
        return self._cookie(headers, self.cookie_name)

    def _cookie(self, headers: Sequence[tuple[bytes, bytes]], wanted: str) -> str | None:
        name = wanted.encode()
        found = [
            value.strip()
            for header, cookies in headers
            if header == b"cookie"
            for cookie, _, value in (part.partition(b"=") for part in cookies.split(b";"))
            if cookie.strip() == name
        ]
        if not found:
            return None
        return found[0].decode("ascii", "replace") if len(found) == 1 else ""

    def is_own_page(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether a page of ours sent this: its `Origin` is ours. False: no `Origin`, so no page did.

        The Guard has let in only hosts of ours, so ours is the origin of the host that was asked. Raises `CsrfFailed`
        for another's page.
        """
        sent = {name: value for name, value in headers if name in (b"origin", b"host", b"sec-fetch-site")}
        if sent.get(b"sec-fetch-site", b"same-origin") != b"same-origin":
            raise CsrfFailed()
        origin = sent.get(b"origin")
        if origin is None:
            return False
        if origin != self._scheme.encode() + b"://" + sent.get(b"host", b"?"):
            raise CsrfFailed()
        return True


def is_local(host: str) -> bool:
    """Whether no name server decides where `host` leads: `localhost` or a literal address."""
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
