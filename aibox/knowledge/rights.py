"""Who may read which item: as a rule on values, as marks that the index filters by, and as a condition in SQL.

The three say the same (a property test holds them together). The index is asked first and may be behind; rows decide.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from msgspec import Struct
from sqlalchemy import ColumnElement, and_, false, func, or_, true

from aibox.core.turn import Principal, Turn
from aibox.knowledge import Visibility
from aibox.knowledge.models import ItemRow

ADMINISTRATORS = frozenset({"owner", "admin", "tenant_admin", "platform_admin"})
EVERYONE, ADMINISTRATOR = "everyone", "administrator"


class Reader(Struct, frozen=True):
    """Who asks: a person, the audiences they belong to, and whether they administrate the tenant."""

    user: UUID
    tags: frozenset[str]
    is_administrator: bool


class Kept(Struct, frozen=True, kw_only=True):
    """What decides who reads an item."""

    owner: UUID
    visibility: Visibility
    audience: Sequence[str]
    grants: Sequence[UUID]


def actor(turn: Turn) -> str:
    """Who acts, as events name them."""
    return "system" if turn.principal.kind == "system" else f"user:{turn.principal.pseudonym}"


def is_administrator(principal: Principal) -> bool:
    """Whether they read and manage everything. A key of theirs does so only with the scope `admin`."""
    if principal.kind == "system":
        return True
    is_whole = principal.scopes is None or "admin" in principal.scopes
    return is_whole and not ADMINISTRATORS.isdisjoint(principal.roles)


def may_read(reader: Reader, item: Kept) -> bool:
    """The rule (spec.md, section 7)."""
    if reader.is_administrator or reader.user == item.owner:
        return True
    has_tag = not reader.tags.isdisjoint(item.audience)
    match item.visibility:
        case "private":
            return False
        case "shared":
            return has_tag or not item.audience
        case "restricted":
            return has_tag or reader.user in item.grants


def readers(item: Kept) -> list[str]:
    """The marks of everyone who may read the item."""
    marks = {ADMINISTRATOR, _user(item.owner)}
    match item.visibility:
        case "private":
            pass
        case "shared":
            marks |= {_tag(tag) for tag in item.audience} or {EVERYONE}
        case "restricted":
            marks |= {_tag(tag) for tag in item.audience} | {_user(user) for user in item.grants}
    return sorted(marks)


def marks(reader: Reader) -> list[str]:
    """The marks by which the index knows the reader; any one of them will do."""
    if reader.is_administrator:
        return [ADMINISTRATOR]  # which every item has
    return [EVERYONE, _user(reader.user), *sorted(_tag(tag) for tag in reader.tags)]


def readable(reader: Reader) -> ColumnElement[bool]:
    """The rule on `ItemRow`."""
    if reader.is_administrator:
        return true()
    tags = _shares(reader.tags)
    return or_(
        ItemRow.owner == reader.user,
        and_(ItemRow.visibility == "shared", or_(func.cardinality(ItemRow.audience) == 0, tags)),
        and_(ItemRow.visibility == "restricted", or_(tags, ItemRow.grants.contains([reader.user]))),
    )


def _shares(tags: Iterable[str]) -> ColumnElement[bool]:
    wanted = sorted(tags)
    return ItemRow.audience.overlap(wanted) if wanted else false()


def _user(user: UUID) -> str:
    return f"user:{user}"


def _tag(tag: str) -> str:
    return f"tag:{tag}"
