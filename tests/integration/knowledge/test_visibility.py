"""Who finds what: the table of the specification, random changes, and an index that is behind or lies."""

from uuid import uuid4

import asyncpg
import pytest

from aibox.audit import ErasureOrdered
from aibox.core.errors import Forbidden, NotFound, StateUnavailable, ValidationFailed
from aibox.core.turn import Turn, system_turn
from aibox.knowledge import Change, Rights, Unconfirmed, Visibility
from aibox.knowledge.handlers import subscribe
from aibox.knowledge.rights import Kept, Reader, marks, may_read, readers
from tests.integration.knowledge.house import House, again, person
from tests.integration.knowledge.matrix import Matrix, cells

CHANGES = 500


@pytest.mark.parametrize(("mode", "audience", "has_grant", "who"), list(cells()))
async def test_each_cell_of_the_table_is_as_the_specification_says(
    embedded: House, mode: Visibility, audience: tuple[str, ...], has_grant: bool, who: dict[str, bool]
) -> None:
    tenant = uuid4()
    turns = {name: person(tenant) for name in ("owner", "peer", "audience", "grant")}
    turns |= {"admin": person(tenant, roles=("admin",)), "stranger": person(uuid4())}
    await embedded.knowledge.set_audience(turns["admin"], "sales", [turns["audience"].principal.id])
    grants = (turns["grant"].principal.id,) if has_grant else ()
    rights = Rights(visibility_mode=mode, audience_tags=audience, user_grants=grants)
    await embedded.read(turns["owner"], "The quarterly figures.", title="Report", rights=rights)

    assert {name: bool(await embedded.found(turn, "figures")) for name, turn in turns.items()} == who


@pytest.mark.timeout(600)
async def test_no_random_change_of_rights_leaks_or_denies(one: House) -> None:
    tally = await Matrix(one, seed=7).run(CHANGES // 2)  # on each backend

    assert (tally.leaks, tally.denials) == (0, 0)
    assert tally.questions > CHANGES


async def test_rows_refuse_what_an_index_that_is_behind_still_shows(embedded: House, anna: Turn) -> None:
    peer = person(anna.tenant)
    item = await embedded.read(anna, "The quarterly figures.", rights=Rights(visibility_mode="shared"))
    assert await embedded.found(peer, "figures") == {"Notes"}
    owner = await asyncpg.connect(embedded.kernel.urls.owner)
    stale = await owner.fetchval("SELECT payload FROM stores.label")

    await embedded.knowledge.change(again(anna), item.id, Change(visibility_mode="private"))
    await owner.execute("UPDATE stores.label SET payload = $1", stale)

    assert await embedded.found(peer, "figures") == set()
    assert await embedded.found(anna, "figures") == {"Notes"}
    await owner.close()


async def test_rights_that_the_index_could_not_take_follow_by_a_job(embedded: House, anna: Turn) -> None:
    peer = person(anna.tenant)
    item = await embedded.read(anna, "The quarterly figures.")
    patch = embedded.vectors.patch

    async def away(*_: object, **__: object) -> int:
        raise StateUnavailable

    embedded.vectors.patch = away  # type: ignore[method-assign]
    changed = await embedded.knowledge.change(again(anna), item.id, Change(visibility_mode="shared"))
    assert changed.visibility_mode == "shared"
    assert await embedded.found(peer, "figures") == set()

    embedded.vectors.patch = patch  # type: ignore[method-assign]
    await embedded.hurry()

    assert await embedded.found(peer, "figures") == {"Notes"}


async def test_only_who_manages_a_document_changes_or_removes_it(embedded: House, anna: Turn) -> None:
    peer, stranger = person(anna.tenant), person(uuid4())
    item = await embedded.read(anna, "The quarterly figures.", rights=Rights(visibility_mode="shared"))

    assert not (await embedded.knowledge.item(peer, item.id)).may_manage
    with pytest.raises(Forbidden):
        await embedded.knowledge.change(again(peer), item.id, Change(title="Mine"))
    with pytest.raises(Forbidden):
        await embedded.knowledge.delete(again(peer), item.id)
    with pytest.raises(NotFound):
        await embedded.knowledge.change(again(stranger), item.id, Change(title="Mine"))
    with pytest.raises(NotFound):
        await embedded.knowledge.delete(again(stranger), item.id)
    assert (await embedded.knowledge.item(anna, item.id)).title == "Notes"


async def test_who_else_may_read_is_shown_to_who_manages_it_only(embedded: House, anna: Turn) -> None:
    friend = person(anna.tenant)
    rights = Rights(visibility_mode="restricted", user_grants=(friend.principal.id,))
    item = await embedded.read(anna, "The quarterly figures.", rights=rights)

    assert item.user_grants == (friend.principal.id,)
    assert (await embedded.knowledge.item(friend, item.id)).user_grants == ()


async def test_sharing_many_with_everyone_must_be_confirmed_and_is_all_or_nothing(embedded: House, anna: Turn) -> None:
    peer = person(anna.tenant)
    mine = [await embedded.read(anna, f"The quarterly figures {n}.", title=f"Mine {n}") for n in range(2)]
    foreign = await embedded.read(peer, "Other quarterly figures.", title="Theirs")
    everyone = Rights(visibility_mode="shared")

    with pytest.raises(Unconfirmed):
        await embedded.knowledge.share(again(anna), [item.id for item in mine], everyone, confirm_tenant_wide=False)
    with pytest.raises(NotFound):
        await embedded.knowledge.share(again(anna), [mine[0].id, foreign.id], everyone, confirm_tenant_wide=True)
    with pytest.raises(ValidationFailed):
        await embedded.knowledge.share(again(anna), [], everyone, confirm_tenant_wide=True)
    assert await embedded.found(peer, "figures") == {"Theirs"}

    await embedded.knowledge.share(again(anna), [item.id for item in mine], everyone, confirm_tenant_wide=True)

    assert await embedded.found(peer, "figures") == {"Theirs", "Mine 0", "Mine 1"}


async def test_a_viewer_shares_nothing(embedded: House) -> None:
    viewer = person(uuid4(), roles=("viewer",))

    with pytest.raises(Forbidden):
        await embedded.knowledge.add_text(
            viewer, title="Mine", content="Figures.", rights=Rights(visibility_mode="shared")
        )


async def test_erasing_a_person_takes_their_private_documents_and_leaves_what_they_shared(
    embedded: House, anna: Turn
) -> None:
    peer, admin = person(anna.tenant), person(anna.tenant, roles=("owner",))
    await embedded.read(anna, "The quarterly figures.", title="Private")
    await embedded.read(anna, "The quarterly figures.", title="Shared", rights=Rights(visibility_mode="shared"))
    granted = Rights(visibility_mode="restricted", user_grants=(anna.principal.id, admin.principal.id))
    theirs = await embedded.read(peer, "The quarterly figures.", title="Peer's", rights=granted)
    await embedded.knowledge.set_audience(admin, "sales", [anna.principal.id])
    subscribe(embedded.kernel.bus, embedded.knowledge, embedded.kernel.log)
    turn = system_turn(anna.tenant)
    ordered = ErasureOrdered(
        subject=anna.principal.pseudonym, person=str(anna.principal.id), conversation=None, ordered=str(turn.id)
    )

    for _ in range(2):  # ordered again, it is the same
        await embedded.kernel.log.log(turn, ordered)
        await embedded.kernel.delivery.drain("knowledge.erasure")

    assert await embedded.found(admin, "figures") == {"Shared", "Peer's"}
    assert (await embedded.knowledge.item(peer, theirs.id)).user_grants == (admin.principal.id,)
    assert await embedded.knowledge.audiences(admin) == {}


@pytest.mark.parametrize(("mode", "audience", "has_grant", "_"), list(cells()))
def test_marks_of_the_index_say_the_same_as_the_rule(
    mode: Visibility, audience: tuple[str, ...], has_grant: bool, _: dict[str, bool]
) -> None:
    owner, granted, other = uuid4(), uuid4(), uuid4()
    item = Kept(owner=owner, visibility=mode, audience=audience, grants=(granted,) if has_grant else ())

    for user in (owner, granted, other):
        for tags in (frozenset[str](), frozenset({"sales"}), frozenset({"legal", "everyone", "administrator"})):
            for is_administrator in (False, True):
                reader = Reader(user, tags, is_administrator)
                assert bool(set(marks(reader)) & set(readers(item))) == may_read(reader, item)
