"""Every refusal has the one body, its status and its stable code, and says nothing that is not ours to say."""

import pytest

from tests.integration.gateway.door import Answer, Door


async def post(door: Door, body: bytes, *headers: str, path: str = "/v1/items") -> Answer:
    lines = [f"POST {path} HTTP/1.1", f"Host: {door.host}", f"Content-Length: {len(body)}", *headers]
    return await door.send("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)


JSON = "Content-Type: application/json"


async def test_a_good_body_is_taken(door: Door) -> None:
    answer = await post(door, b'{"name":"a"}', JSON)
    assert (answer.status, answer.json) == (201, {"name": "a", "count": 0})


@pytest.mark.parametrize("body", [b"{bad", b"\xff\xfe", b'{"name":"a"} x', b"name=a"])
async def test_a_body_that_is_no_json_is_a_bad_request(door: Door, body: bytes) -> None:
    answer = await post(door, body, JSON)
    assert (answer.status, answer.code) == (400, "bad_request")
    assert answer.json == {"error": "The body is not valid JSON.", "code": "bad_request", "turn_id": None}


async def test_a_body_that_is_nested_too_deeply_is_a_bad_request(door: Door) -> None:
    answer = await post(door, b'{"name":' * 50_000, JSON)
    assert (answer.status, answer.code) == (400, "bad_request")


async def test_an_unknown_field_is_named(door: Door) -> None:
    answer = await post(door, b'{"name":"a","role":"owner"}', JSON)
    assert (answer.status, answer.code) == (422, "unknown_field")
    assert answer.json["fields"] == [{"field": "role", "error": "Unknown field."}]


@pytest.mark.parametrize(
    ("body", "field"),
    [(b"{}", "name"), (b'{"name":1}', "name"), (b'{"name":"a","count":"x"}', "count"), (b"[]", ""), (b"", "")],
)
async def test_a_wrong_value_is_a_validation_failure_that_names_its_field(door: Door, body: bytes, field: str) -> None:
    answer = await post(door, body, JSON)
    assert (answer.status, answer.code) == (422, "validation_failed")
    assert [item["field"] for item in answer.json["fields"]] == [field]


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "text/plain; application/json",
        "application/jsonx",
    ],
)
async def test_l14_a_form_or_text_to_a_json_route_is_refused(door: Door, kind: str) -> None:
    answer = await post(door, b'{"name":"a"}', f"Content-Type: {kind}")
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


async def test_l14_a_body_without_a_type_is_refused(door: Door) -> None:
    assert (await post(door, b'{"name":"a"}')).code == "unsupported_media_type"


@pytest.mark.parametrize("path", ["/v1/nothing", "/api/nothing", "/v1", "/auth/nothing", "/docs/nothing", "/healthzz"])
async def test_an_unknown_api_path_is_not_found_and_never_the_web_app(door: Door, path: str) -> None:
    answer = await door.get(path)
    assert (answer.status, answer.code) == (404, "not_found")


async def test_a_wrong_method_says_which_are_allowed(door: Door) -> None:
    answer = await door.get("/v1/items")
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


async def test_an_error_of_ours_keeps_its_sentence_and_code(door: Door) -> None:
    answer = await door.get("/v1/fail/conflict")
    assert (answer.status, answer.json["error"], answer.code) == (409, "It is taken.", "conflict")


async def test_the_text_of_a_bug_is_never_sent(door: Door) -> None:
    answer = await door.get("/v1/fail/bug")
    assert (answer.status, answer.code) == (500, "internal")
    assert b"secret" not in answer.body


async def test_every_answer_forbids_guessing_its_type(door: Door) -> None:
    for path in ("/v1/echo", "/v1/nothing", "/", "/v1//echo"):
        assert (await door.get(path)).headers["x-content-type-options"] == "nosniff"
