"""How errors are shown."""

import msgspec

from aibox.core.errors import Conflict, RateLimited, ValidationFailed, error_body, render, revive


def test_an_error_has_a_sentence_a_stable_code_and_its_turn() -> None:
    assert error_body(Conflict("Taken."), path="/v1/x", turn_id="t") == {
        "error": "Taken.",
        "code": "conflict",
        "turn_id": "t",
    }


def test_openais_clients_find_their_own_error_object_and_ours_find_the_code_beside_it() -> None:
    body = error_body(Conflict("Taken."), path="/v1/chat/completions", turn_id=None)
    assert body["error"] == {"message": "Taken.", "type": "invalid_request_error", "code": "conflict", "param": None}
    assert body["code"] == "conflict"


def test_invalid_fields_are_named() -> None:
    _, _, body = render(ValidationFailed(fields=[{"field": "email", "error": "taken"}]), path="/", turn_id=None)
    assert msgspec.json.decode(body)["fields"] == [{"field": "email", "error": "taken"}]


def test_a_limited_caller_hears_when_to_come_back() -> None:
    status, headers, _ = render(RateLimited(retry_after=7), path="/", turn_id=None)
    assert (status, headers["retry-after"]) == (429, "7")


def test_an_error_told_in_a_stream_comes_back_as_its_class() -> None:
    error = revive("validation_failed", "No.")
    assert isinstance(error, ValidationFailed)
    assert str(error) == "No."
    assert revive("never_heard_of", "x").status == 500
