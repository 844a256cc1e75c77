"""Outgoing mail: one plain message at a time, to the one SMTP server that the operator names."""

import asyncio
import smtplib
import ssl
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Annotated, Final, Literal

import structlog
from msgspec import Meta, Struct

from aibox.core.errors import BootRefused

log = structlog.get_logger("aibox.core.mail")

SECONDS: Final = 10.0
"""How long each step of the server may take."""


class Settings(Struct, frozen=True, kw_only=True):
    """The mail server that invitations go through."""

    host: Annotated[str, Meta(description="The SMTP server; empty: no mail is sent", extra={"env": "SMTP_HOST"})] = ""
    port: Annotated[int, Meta(description="Its port", ge=1, le=65535, extra={"env": "SMTP_PORT"})] = 587
    user: Annotated[str, Meta(description="The user to log in as; empty: none", extra={"env": "SMTP_USER"})] = ""
    password: Annotated[
        str, Meta(description="That user's password", extra={"env": "SMTP_PASSWORD", "secret": True})
    ] = ""
    sender: Annotated[str, Meta(description="The address that mail comes from", extra={"env": "SMTP_FROM"})] = ""
    security: Annotated[
        Literal["starttls", "tls", "none"],
        Meta(description="TLS begun within the connection, from its start, or none", extra={"env": "SMTP_SECURITY"}),
    ] = "starttls"


class Mail:
    """Sends mail. A server whose certificate does not verify gets none, nor does one that offers no TLS where asked."""

    def __init__(self, settings: Settings, *, tls: ssl.SSLContext | None = None) -> None:
        """Raises `BootRefused` for a server without a sender, and for a password that would travel in the clear."""
        if settings.host and "@" not in settings.sender:
            raise BootRefused("boot_settings", "Set SMTP_FROM to the address that mail comes from.")
        if settings.security == "none" and settings.user:
            raise BootRefused(
                "boot_settings", "Set SMTP_SECURITY to starttls or tls: the password would travel in the clear."
            )
        self._settings = settings
        self._tls = tls

    @property
    def is_on(self) -> bool:
        return bool(self._settings.host)

    async def send(self, to: str, *, subject: str, text: str) -> bool:
        """Whether the server has taken the message. A failure is logged by its kind, and no error of the caller's."""
        if not self.is_on:
            return False
        try:
            await asyncio.to_thread(self._send, self._message(to, subject, text))
        except (OSError, smtplib.SMTPException, MessageError, ValueError, IndexError) as error:
            # The last three: an address that no header can hold, by Python's parser of them.
            log.warning("mail.not_sent", error=type(error).__name__)
            return False
        return True

    def _message(self, to: str, subject: str, text: str) -> EmailMessage:
        message = EmailMessage()
        message["From"] = Address("AIBox", addr_spec=self._settings.sender)
        message["To"] = Address(addr_spec=to)
        message["Subject"] = subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self._settings.sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        return message

    def _send(self, message: EmailMessage) -> None:
        host, port, tls = self._settings.host, self._settings.port, self._tls or ssl.create_default_context()
        if self._settings.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=tls)
        else:
            server = smtplib.SMTP(host, port, timeout=SECONDS)
        with server:
            if self._settings.security == "starttls":
                server.starttls(context=tls)
            if self._settings.user:
                server.login(self._settings.user, self._settings.password)
            server.send_message(message)
