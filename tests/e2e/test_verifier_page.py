"""The page that verifies a dropped receipt, in a real browser: from a disk without a network, and from the server."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from aibox.gateway.static import FOLDER, web_app
from tests.e2e.test_first_turn import CHROMIUM, FLAGS
from tests.vectors import make

ALONE = FOLDER / "aibox-verifier.html"
VALID, INVALID, POLICIES = (make.FOLDER / name for name in ("valid", "invalid", "policies"))

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Generator[Page]:
    """A copy of the one file, opened from a disk by a browser that is offline and was asked for nothing else."""
    copy = tmp_path / "saved.html"
    copy.write_bytes(ALONE.read_bytes())
    context = browser.new_context(offline=True)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(copy.as_uri())
    yield page
    assert asked == [copy.as_uri()]
    context.close()


def give(page: Page, *paths: Path) -> None:
    page.locator("input[type=file]").set_input_files(list(paths))


def test_a_valid_receipt_is_verified_without_a_network(page: Page) -> None:
    give(page, VALID / "chat.json")

    expect(page.get_by_test_id("verdict")).to_have_text("Verified")
    expect(page.locator(".steps li")).to_have_count(9)
    expect(page.get_by_text("By the keys that the receipt itself states.")).to_be_visible()


def test_a_receipt_and_a_policy_are_told_apart_whichever_comes_first(page: Page) -> None:
    give(page, POLICIES / "policy.json")
    give(page, VALID / "chat.json")

    expect(page.get_by_test_id("verdict")).to_have_text("Verified")
    expect(page.get_by_text("Keys pinned by policy.json")).to_be_visible()
    expect(page.get_by_text("By the keys that the receipt itself states.")).to_have_count(0)


def test_a_forged_receipt_that_holds_together_is_refused_by_the_policy(page: Page, tmp_path: Path) -> None:
    forged = tmp_path / "forged.json"
    forged.write_bytes(make.Case(signer=make.signer(make.ORIGIN, "forger")).build())

    give(page, forged, POLICIES / "policy.json")

    expect(page.get_by_test_id("verdict")).to_have_text("Not verified")
    expect(page.locator(".steps .mark.bad")).to_have_count(1)


def test_every_invalid_vector_is_refused(page: Page) -> None:
    for path in sorted(INVALID.glob("*.json")):
        give(page, path)
        expect(page.locator(".head .name")).to_have_text(path.name)
        expect(page.get_by_test_id("verdict")).to_have_text("Not verified")


def test_opened_artifacts_are_shown_as_text_and_never_as_markup(page: Page, tmp_path: Path) -> None:
    give(page, VALID / "opened.json")
    opened = json.loads((VALID / "opened.json").read_bytes())["openings"]

    expect(page.locator("figure")).to_have_count(len(opened))
    assert page.evaluate("document.querySelectorAll('#result script, #result img').length") == 0


def test_a_dropped_file_is_verified_too(page: Page) -> None:
    content = (VALID / "small.json").read_text()
    page.evaluate(
        """content => {
            const data = new DataTransfer();
            data.items.add(new File([content], "dropped.json"));
            window.dispatchEvent(new DragEvent("drop", {dataTransfer: data, cancelable: true}));
        }""",
        content,
    )

    expect(page.get_by_test_id("verdict")).to_have_text("Verified")
    expect(page.locator(".head .name")).to_have_text("dropped.json")


def test_the_server_serves_the_page_under_its_strict_policy_and_offers_the_file(browser: Browser) -> None:
    app: Any = Litestar([web_app()], openapi_config=None)
    page = browser.new_page()
    with TestClient(app) as client:

        def answer(route: Route) -> None:
            response = client.get(route.request.url.removeprefix("http://localhost"))
            assert "script-src 'self';" in response.headers["content-security-policy"]
            route.fulfill(status=response.status_code, headers=dict(response.headers), body=response.content)

        page.route("http://localhost/**", answer)
        page.goto("http://localhost/verify.html")
        give(page, VALID / "chat.json")
        expect(page.get_by_test_id("verdict")).to_have_text("Verified")

        saved = page.get_by_role("link", name="save this page as one file")
        assert saved.get_attribute("download") == "aibox-verifier.html"
        assert client.get(f"/{saved.get_attribute('href')}").content == ALONE.read_bytes()
    page.close()
