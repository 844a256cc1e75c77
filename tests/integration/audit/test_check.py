"""What a person with the database's own rights could change, and how the check of the log names the row."""

import pytest

from aibox.audit import Fault, Verification
from aibox.core.turn import begin
from tests.integration.audit.conftest import ANN, AUDITOR, STRANGER, Bench
from tests.integration.audit.test_sealing import execute_as_owner

ENTRY = 4
"""The entry that is changed, in a log of a key leaf and seven turns."""


async def check(bench: Bench, limit: int | None = None) -> Verification:
    return await bench.trail.verify(begin(AUDITOR), limit=limit)


async def sealed(bench: Bench, count: int = 7) -> None:
    await bench.many(count, ANN)
    await bench.audit.sealer.seal_pending()


async def fault(bench: Bench) -> Fault:
    """What the check finds, which is the same however little it looks at, if it looks at the entry."""
    whole, part = await check(bench), await check(bench, limit=5)
    assert not whole.ok
    assert whole.first_bad is not None
    assert part.first_bad == whole.first_bad
    return whole.first_bad


async def test_a_log_of_several_heads_and_pages_is_sound(bench: Bench) -> None:
    await sealed(bench, 600)
    await sealed(bench, 3)
    await bench.many(2, STRANGER)
    await bench.audit.sealer.seal_pending()
    await bench.audit.copy_heads_out()

    whole, part = await check(bench), await check(bench, limit=10)

    assert (whole.ok, part.ok, part.checked) == (True, True, 10)
    assert whole.checked == 600 + 3 + 2  # two key leaves


async def test_a_tenant_without_a_log_has_nothing_wrong(bench: Bench) -> None:
    assert await check(bench) == Verification(ok=True, checked=0, total=0)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (
            "UPDATE audit.entry SET data = set_byte(data, 60, get_byte(data, 60) # 1) WHERE idx = 4",
            "form",
        ),
        (
            "UPDATE audit.entry SET data = convert_to(replace(convert_from(data, 'UTF8'),"
            ' \'"outcome":"sealed"\', \'"outcome":"failed"\'), \'UTF8\') WHERE idx = 4',
            "the stored node 0/4 is not the hash of what is below it",
        ),
        ("UPDATE audit.entry SET signature = set_byte(signature, 1, 0) WHERE idx = 4", "signature does not verify"),
        ("DELETE FROM audit.entry WHERE idx = 4", "the entry is missing"),
        (
            "UPDATE audit.entry SET idx = 99 WHERE idx = 4; UPDATE audit.entry SET idx = 4 WHERE idx = 5;"
            " UPDATE audit.entry SET idx = 5 WHERE idx = 99",
            "another log or another place",
        ),
        (
            "UPDATE audit.node SET hash = sha256('x') WHERE level = 0 AND idx = 4",
            "the stored node 0/4 is not the hash of what is below it",
        ),
    ],
)
async def test_a_change_of_an_entry_is_named(bench: Bench, statement: str, reason: str) -> None:
    await sealed(bench)
    assert (await check(bench)).ok

    await execute_as_owner(bench, statement)

    found = await fault(bench)
    assert found.idx == ENTRY
    assert reason in found.reason or (reason == "form" and "the entry" in found.reason)


@pytest.mark.parametrize(
    ("statement", "reason", "seq"),
    [
        (
            "UPDATE core.event SET data = convert_to(replace(convert_from(data, 'UTF8'), 'act_0', 'act_9'), 'UTF8')"
            " WHERE turn = (SELECT turn FROM audit.entry WHERE idx = 4)",
            "the turn's events do not hash to the envelope's root",
            None,
        ),
        (
            "UPDATE core.event SET type = 'model_invoked' WHERE seq = 1"
            " AND turn = (SELECT turn FROM audit.entry WHERE idx = 4)",
            "the event is not what its row says",
            1,
        ),
        (
            "DELETE FROM core.event WHERE seq = 1 AND turn = (SELECT turn FROM audit.entry WHERE idx = 4)",
            "an event is missing",
            1,
        ),
        (
            "DELETE FROM core.event WHERE seq = 2 AND turn = (SELECT turn FROM audit.entry WHERE idx = 4)",
            "an event is missing",
            2,
        ),
    ],
)
async def test_a_change_of_an_event_is_named_with_its_turn(
    bench: Bench, statement: str, reason: str, seq: int | None
) -> None:
    await sealed(bench)

    await execute_as_owner(bench, statement)

    found = await fault(bench)
    turn = await bench.kernel.connections.system.fetchval("SELECT turn FROM audit.entry WHERE idx = 4")
    assert (found.idx, found.turn_id, found.seq, found.reason) == (ENTRY, turn, seq, reason)


async def test_a_tail_that_was_cut_off_is_named_by_its_first_lost_entry(bench: Bench) -> None:
    await sealed(bench)

    await execute_as_owner(bench, "DELETE FROM audit.entry WHERE idx >= 6")

    assert (await fault(bench)).idx == 6


async def test_a_tail_that_was_cut_off_with_its_heads_is_known_by_the_copy_outside(bench: Bench) -> None:
    await sealed(bench, 3)
    await execute_as_owner(bench, "CREATE TABLE public.old AS SELECT * FROM audit.log")
    await sealed(bench, 3)
    await bench.audit.copy_heads_out()
    await execute_as_owner(
        bench,
        "DELETE FROM audit.checkpoint WHERE size > 4; DELETE FROM audit.entry WHERE idx > 3;"
        " UPDATE audit.log SET (size, link, checkpoint, anchored) = (SELECT size, link, checkpoint, 4 FROM public.old)",
    )

    found = (await bench.trail.verify(begin(AUDITOR))).first_bad

    assert found is not None
    assert found.reason == "the copy has a head of 7 entries, the database fewer"


async def test_a_head_that_was_changed_by_hand_is_known_by_its_signatures(bench: Bench) -> None:
    await sealed(bench)

    await execute_as_owner(
        bench, "UPDATE audit.log SET checkpoint = replace(checkpoint, E'\\n8\\n', E'\\n9\\n'), size = 9"
    )

    found = await fault(bench)
    assert (found.idx, found.reason) == (9, "the log's head is not signed by a key of this log")


async def test_an_envelope_that_was_rewritten_with_all_hashes_above_it_is_known_by_its_signature(bench: Bench) -> None:
    await sealed(bench, 1)
    # Everything that needs no key, as whoever holds the database would do it: the last entry, its leaf, its parent.
    await execute_as_owner(
        bench,
        "UPDATE audit.entry SET data = convert_to(regexp_replace(convert_from(data, 'UTF8'),"
        ' \'"build":"[^"]*"\', \'"build":"9"\'), \'UTF8\') WHERE idx = 1;'
        "UPDATE audit.node n SET hash = sha256('\\x00'::bytea || e.data) FROM audit.entry e"
        " WHERE n.level = 0 AND n.idx = 1 AND e.idx = 1;"
        "UPDATE audit.node n SET hash = sha256('\\x01'::bytea || l.hash || r.hash) FROM audit.node l, audit.node r"
        " WHERE n.level = 1 AND l.level = 0 AND l.idx = 0 AND r.level = 0 AND r.idx = 1",
    )

    found = (await check(bench)).first_bad

    assert found is not None
    assert (found.idx, found.reason) == (1, "the envelope's signature does not verify")
