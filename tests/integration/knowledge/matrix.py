"""The visibility matrix: random changes of documents, rights and audiences, and who finds what after each.

What is expected is written here once more, from the specification, in the plainest way: no line of it is shared.
"""

import random
from collections.abc import Iterator
from uuid import UUID, uuid4

from msgspec import Struct

from aibox.core.errors import NotFound
from aibox.core.turn import Turn
from aibox.knowledge import Change, Visibility
from tests.integration.knowledge.house import House, again, person

MODES: tuple[Visibility, ...] = ("private", "shared", "restricted")
TAGS = ("sales", "legal", "board")
DOCUMENTS = 12
WORD = "quarterly"
"""Stands in every document: what is not found is not found for its rights."""


class Paper(Struct):
    """A document as the test knows it."""

    id: UUID
    title: str
    owner: UUID
    mode: Visibility = "private"
    audience: tuple[str, ...] = ()
    grants: tuple[UUID, ...] = ()
    is_archived: bool = False


class Tally(Struct):
    """What was tried and what went wrong."""

    changes: int = 0
    questions: int = 0
    leaks: int = 0
    denials: int = 0


class Matrix:
    """A tenant with six kinds of people, a stranger's tenant beside it, and documents that change hands."""

    def __init__(self, house: House, seed: int) -> None:
        self._house = house
        self._random = random.Random(seed)
        tenant, other = uuid4(), uuid4()
        self._administrator = person(tenant, roles=("admin",))
        self._people = [person(tenant) for _ in range(5)]
        self._readers = [
            *self._people,
            self._administrator,
            person(tenant, roles=("owner",)),
            person(tenant, roles=("viewer",)),
            person(tenant, roles=("admin",), scopes=frozenset({"knowledge"})),  # their key reads as any member's
        ]
        self._strangers = [person(other), person(other, roles=("owner",))]
        self._has: dict[UUID, set[str]] = {}
        self._papers: list[Paper] = []
        self.tally = Tally()

    async def run(self, changes: int) -> Tally:
        """So many random changes, with questions by people of each kind after every one."""
        for _ in range(DOCUMENTS):
            await self._write()
        for _ in range(changes):
            paper = await self._change()
            self.tally.changes += 1
            await self._ask(paper)
        for reader in (*self._readers, *self._strangers):
            await self._compare(reader)
        return self.tally

    async def _write(self) -> Paper:
        owner = self._random.choice(self._people)
        title = f"Report {uuid4().hex[:12]}"
        item = await self._house.read(again(owner), f"The {WORD} figures of {title}.", title=title)
        assert item.stage == "indexed"
        paper = Paper(item.id, title, owner.principal.id)
        self._papers.append(paper)
        return paper

    async def _change(self) -> Paper | None:
        dice = self._random.random()
        if dice < 0.02:
            paper = self._random.choice(self._papers)
            self._papers.remove(paper)
            await self._house.knowledge.delete(again(self._administrator), paper.id)
            await self._write()
            return None
        if dice < 0.12:
            tag = self._random.choice(TAGS)
            people = self._random.sample(self._people, self._random.randint(0, 3))
            await self._house.knowledge.set_audience(
                again(self._administrator), tag, [turn.principal.id for turn in people]
            )
            for turn in self._people:
                has = self._has.setdefault(turn.principal.id, set())
                has.discard(tag)
                if turn in people:
                    has.add(tag)
            return None
        paper = self._random.choice(self._papers)
        await self._house.knowledge.change(again(self._manager(paper)), paper.id, self._new_rights(paper))
        return paper

    def _new_rights(self, paper: Paper) -> Change:
        dice = self._random.random()
        if dice < 0.1:
            paper.is_archived = not paper.is_archived
            return Change(archived=paper.is_archived)
        if dice < 0.2:
            paper.owner = self._random.choice(self._people).principal.id
            return Change(owner_user_id=paper.owner)
        paper.mode = self._random.choice(MODES)
        tags = (*TAGS, "member", "viewer")  # a role is a tag of who has it
        paper.audience = tuple(self._random.sample(tags, self._random.randint(0, 2)))
        people = self._random.sample(self._people, self._random.randint(0, 2))
        paper.grants = tuple(turn.principal.id for turn in people)
        return Change(visibility_mode=paper.mode, audience_tags=paper.audience, user_grants=paper.grants)

    def _manager(self, paper: Paper) -> Turn:
        owner = next(turn for turn in self._people if turn.principal.id == paper.owner)
        return self._random.choice([owner, self._administrator])

    async def _ask(self, paper: Paper | None) -> None:
        await self._compare(self._random.choice(self._readers))
        if self._random.random() < 0.2:
            await self._compare(self._random.choice(self._strangers))
        if paper is not None:
            reader = self._random.choice(self._readers)
            is_there = await self._opens(reader, paper)
            self._count({paper.title} if is_there else set(), {paper.title} if self._may_read(reader, paper) else set())

    async def _compare(self, reader: Turn) -> None:
        found = await self._house.found(reader, WORD, limit=50)
        expected = {paper.title for paper in self._papers if self._may_read(reader, paper) and not paper.is_archived}
        self._count(found, expected)

    async def _opens(self, reader: Turn, paper: Paper) -> bool:
        try:
            item = await self._house.knowledge.item(again(reader), paper.id)
            passages = await self._house.knowledge.passages(again(reader), paper.id)
        except NotFound:
            return False
        assert item.id == paper.id
        return bool(passages)

    def _count(self, found: set[str], expected: set[str]) -> None:
        self.tally.questions += 1
        self.tally.leaks += len(found - expected)
        self.tally.denials += len(expected - found)

    def _may_read(self, reader: Turn, paper: Paper) -> bool:
        who = reader.principal
        if reader in self._strangers:
            return False
        if {"owner", "admin"} & set(who.roles) and who.scopes is None:
            return True
        if who.id == paper.owner:
            return True
        tags = self._has.get(who.id, set()) | set(who.roles)
        in_audience = bool(tags & set(paper.audience))
        if paper.mode == "shared":
            return in_audience or not paper.audience
        return paper.mode == "restricted" and (in_audience or who.id in paper.grants)


def cells() -> Iterator[tuple[Visibility, tuple[str, ...], bool, dict[str, bool]]]:
    """Each mode with and without audience and grant, and who reads it: the table of the specification."""
    for mode in MODES:
        for audience in ((), ("sales",)):
            for has_grant in (False, True):
                yield (
                    mode,
                    audience,
                    has_grant,
                    {
                        "owner": True,
                        "admin": True,
                        "peer": mode == "shared" and not audience,
                        "audience": bool((mode == "shared" and not audience) or (mode != "private" and audience)),
                        "grant": (mode == "shared" and not audience) or (mode == "restricted" and has_grant),
                        "stranger": False,
                    },
                )
