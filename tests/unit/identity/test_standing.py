"""What is remembered of credentials, and when it is not believed."""

import time
from uuid import UUID

import pytest

from aibox.core import connections
from aibox.core.turn import Principal
from aibox.identity import SessionRevoked
from aibox.identity.standing import Found, Standing

USER = UUID(int=7)
WHO = Principal(kind="user", tenant=UUID(int=1), id=USER, pseudonym="p")


class Looking:
    """A look-up that counts, and may be overtaken by a revocation."""

    def __init__(self, *, seconds: float = 60.0) -> None:
        self.times = 0
        self.seconds = seconds
        self.overtaken_in: Standing | None = None

    async def __call__(self) -> Found:
        self.times += 1
        if self.overtaken_in is not None:
            self.overtaken_in.forget(USER)
        return Found(WHO, self.seconds)


def listening(*, seconds: float = 60.0) -> Standing:
    """As after a good heartbeat."""
    standing = Standing(connections.Connections(connections.Settings()))
    standing._trusted_until = time.monotonic() + seconds
    return standing


async def test_a_good_credential_is_looked_up_once() -> None:
    standing, look = listening(), Looking()
    assert [await standing.principal(b"k", look) for _ in range(3)] == [WHO] * 3
    assert look.times == 1


async def test_without_a_heartbeat_every_request_looks() -> None:
    standing, look = listening(seconds=-1), Looking()
    for _ in range(3):
        await standing.principal(b"k", look)
    assert look.times == 3


async def test_a_revocation_is_felt_by_the_next_request() -> None:
    standing, look = listening(), Looking()
    await standing.principal(b"k", look)
    standing.forget(USER)
    await standing.principal(b"k", look)
    assert look.times == 2


async def test_a_look_up_that_a_revocation_overtook_is_not_remembered() -> None:
    standing, look = listening(), Looking()
    look.overtaken_in = standing
    await standing.principal(b"k", look)
    look.overtaken_in = None
    await standing.principal(b"k", look)
    assert look.times == 2


async def test_a_credential_is_not_remembered_beyond_its_own_end() -> None:
    standing, look = listening(), Looking(seconds=0.0)
    await standing.principal(b"k", look)
    await standing.principal(b"k", look)
    assert look.times == 2


async def test_a_refused_credential_is_refused_each_time_anew() -> None:
    standing = listening()

    async def refuse() -> Found:
        raise SessionRevoked()

    for _ in range(2):
        with pytest.raises(SessionRevoked):
            await standing.principal(b"k", refuse)
