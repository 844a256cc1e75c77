"""The built web app, as a browser gets it."""

from pathlib import Path

import httpx
import pytest
from litestar import Litestar

from aibox.gateway.errors import EXCEPTION_HANDLERS
from aibox.gateway.static import web_app


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>AIBox</title>")
    (tmp_path / "assets" / "index-B1x_9dQz.js").write_text("1")
    (tmp_path / "favicon.svg").write_text("<svg/>")
    (tmp_path.parent / "outside.txt").write_text("secret")
    (tmp_path / "assets" / "link.txt").symlink_to(tmp_path.parent / "outside.txt")
    return tmp_path


def client(folder: Path) -> httpx.AsyncClient:
    app = Litestar([web_app(folder)], exception_handlers=EXCEPTION_HANDLERS, openapi_config=None, logging_config=None)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")  # type: ignore[arg-type]


async def test_a_bundled_file_is_kept_for_a_year_and_the_page_is_asked_for_each_time(built: Path) -> None:
    async with client(built) as http:
        script = await http.get("/assets/index-B1x_9dQz.js")
        page = await http.get("/")
        icon = await http.get("/favicon.svg")
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert (page.headers["cache-control"], icon.headers["cache-control"]) == ("no-cache", "no-cache")


async def test_an_unchanged_page_is_not_sent_again(built: Path) -> None:
    async with client(built) as http:
        first = await http.get("/")
        again = await http.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_an_address_of_the_app_gets_the_page(built: Path) -> None:
    async with client(built) as http:
        page = await http.get("/chat/0192")
    assert page.status_code == 200
    assert "<title>AIBox</title>" in page.text


async def test_the_page_may_load_only_what_is_ours(built: Path) -> None:
    async with client(built) as http:
        policy = (await http.get("/setup")).headers["content-security-policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["script-src"] == "'self'"
    assert directives["frame-ancestors"] == "'none'"


@pytest.mark.parametrize(
    "path", ["/assets/missing.js", "/robots.txt", "/assets/link.txt", "/v1/x", "/API/x", "/docs/x"]
)
async def test_a_missing_file_or_api_path_is_not_found(built: Path, path: str) -> None:
    async with client(built) as http:
        answer = await http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_before_it_is_built_the_page_says_what_to_do(tmp_path: Path) -> None:
    async with client(tmp_path) as http:
        page = await http.get("/")
    assert page.status_code == 200
    assert "make up" in page.text


async def test_a_new_build_is_served_without_a_restart(built: Path) -> None:
    async with client(built) as http:
        before = await http.get("/")
        (built / "index.html").write_text("<!doctype html><title>Newer</title>")
        after = await http.get("/")
    assert "Newer" in after.text
    assert before.headers["etag"] != after.headers["etag"]


async def test_head_has_the_headers_of_get(built: Path) -> None:
    async with client(built) as http:
        head = await http.head("/")
    assert head.status_code == 200
    assert head.headers["content-type"] == "text/html; charset=utf-8"
