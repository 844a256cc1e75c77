"""The `Invitations`: the book of them, and the ways in for whoever holds a link."""

from collections.abc import Sequence
from uuid import UUID

from aibox.core.turn import Turn
from aibox.identity import Client, Grant, Invitation, Invited, Pending, Welcome
from aibox.identity.invitations import InvitationBook
from aibox.identity.signin import SignIn
from aibox.identity.sso import BEGUN_SECONDS, SingleSignOn
from aibox.identity.web import Web


class InvitationService:
    """Each method is what `Invitations` says."""

    def __init__(self, book: InvitationBook, signin: SignIn, sso: SingleSignOn, web: Web) -> None:
        self._book = book
        self._signin = signin
        self._sso = sso
        self._web = web

    async def invite(self, turn: Turn, *, email: str, roles: Sequence[str], days: int) -> Invited:
        return await self._book.invite(turn, email=email, roles=roles, days=days)

    async def open_ones(self, turn: Turn) -> list[Invitation]:
        return await self._book.open_ones(turn)

    async def revoke(self, turn: Turn, invitation_id: UUID) -> None:
        await self._book.revoke(turn, invitation_id)

    async def welcome(self, token: str, client: Client) -> Welcome:
        return await self._book.welcome(token, client)

    async def accept(self, *, token: str, name: str, password: str, client: Client, browser: bool) -> Grant | Pending:
        return await self._signin.by_invitation(
            token=token, name=name, password=password, client=client, browser=browser
        )

    async def accept_by_sso(self, *, token: str, alias: str, client: Client) -> tuple[str, str]:
        found = await self._book.peek(token, client)
        address, binding = await self._sso.begin(alias, "/", invitation=(found.tenant, found.id))
        return address, self._web.state_cookie(binding, seconds=BEGUN_SECONDS)
