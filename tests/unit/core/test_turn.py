"""Turn ids and permissions."""

from uuid import UUID

import pytest

from aibox.core.turn import Permissions, Principal, uuid7


def test_turn_ids_follow_each_other_even_within_a_millisecond() -> None:
    ids = [uuid7() for _ in range(20_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert {one.version for one in ids} == {7}


def test_a_denied_tool_is_denied_although_all_are_allowed() -> None:
    principal = Principal(
        kind="user",
        tenant=UUID(int=1),
        id=UUID(int=2),
        pseudonym="p",
        permissions=Permissions(tools_allowed=frozenset({"*"}), tools_denied=frozenset({"bash"})),
    )
    assert principal.may("tools.python")
    assert not principal.may("tools.bash")


def test_an_unknown_permission_is_an_error_of_the_code_and_grants_nothing() -> None:
    principal = Principal(kind="user", tenant=UUID(int=1), id=UUID(int=2), pseudonym="p")
    with pytest.raises(ValueError, match="unknown permission"):
        principal.may("fly")
