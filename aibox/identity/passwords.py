"""Passwords: what is accepted, and Argon2id hashes that never hold the event loop."""

import asyncio
import functools
import os
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

MINIMUM, MAXIMUM = 8, 128
COMMON = Path(__file__).with_name("common_passwords.txt")


def weakness(password: str, *, person: tuple[str, ...] = ()) -> str | None:
    """Why a new password is refused, as a sentence; None when it is accepted.

    8 to 128 characters as sent, no composition rules, not a common one, not the person's own name or e-mail.
    """
    if not MINIMUM <= len(password) <= MAXIMUM:
        return f"Use {MINIMUM} to {MAXIMUM} characters."
    try:
        password.encode()
    except UnicodeEncodeError:
        return "The password contains characters that cannot be stored."
    folded = password.casefold()
    if folded in _common() or len(set(folded)) < 3:
        return "This password is too common; choose another."
    if folded in {word.casefold() for word in person}:
        return "Do not use your name or e-mail as the password."
    return None


class Passwords:
    """Hashes and checks, at most as many at once as there are cores: each takes 19 MiB and tens of milliseconds."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._slots = asyncio.Semaphore(os.cpu_count() or 1)
        self._dummy: str | None = None

    async def hash(self, password: str) -> str:
        """The PHC string to store."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether `password` is the one behind `stored`. With None (an unknown user) it takes as long, and is False."""
        if self._dummy is None:
            self._dummy = await self.hash(os.urandom(16).hex())
        known = stored if len(password) <= MAXIMUM else None
        async with self._slots:
            matches = await asyncio.to_thread(self._matches, password[:MAXIMUM], known or self._dummy)
        return matches and known is not None

    def needs_rehash(self, stored: str) -> bool:
        """Whether `stored` was made with other parameters than we use today."""
        return self._hasher.check_needs_rehash(stored)

    def _matches(self, password: str, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, password.encode("utf-8", "surrogatepass"))
        except (VerifyMismatchError, InvalidHashError):
            return False


@functools.cache
def _common() -> frozenset[str]:
    return frozenset(COMMON.read_text().split())
