"""The page that verifies a dropped receipt, in a real browser: from a disk without a network, and from the server."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from playwright.sync_api import Browser, Page, Route, expect

from aibox.gateway.static import FOLDER, web_app
from tests.vectors import make

ALONE = FOLDER / "aibox-verifier.html"
VALID, INVALID, POLICIES, PINS = (make.FOLDER / name for name in ("valid", "invalid", "policies", "pins"))

pytestmark = pytest.mark.timeout(120)


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
    assert [url for url in asked if not url.startswith("blob:")] == [copy.as_uri()]
    context.close()


def give(page: Page, *paths: Path) -> None:
    page.locator("input[type=file]").set_input_files(list(paths))


def test_a_valid_receipt_is_verified_without_a_network(page: Page) -> None:
    give(page, VALID / "chat.json")

    expect(page.get_by_test_id("verdict")).to_have_text("Verified")
    expect(page.locator(".steps li")).to_have_count(10)
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


def test_the_head_that_one_keeps_is_continued_by_the_receipt(page: Page) -> None:
    give(page, PINS / "pin-older.txt", POLICIES / "policy.json", VALID / "continued.json")

    expect(page.get_by_test_id("verdict")).to_have_text("Verified")
    expect(page.get_by_test_id("kept")).to_contain_text("The log continues the head you keep")
    expect(page.get_by_text("Head kept in pin-older.txt: 3 entries")).to_be_visible()


def test_a_pasted_head_is_compared_at_once_and_half_of_one_is_named_so(page: Page) -> None:
    note = (PINS / "pin-older.txt").read_text()
    give(page, VALID / "continued.json")
    page.get_by_text("Paste the head you keep").click()

    page.get_by_label("A signed head of the log that you saw before").fill(note[:200])
    expect(page.get_by_text("This is not a whole checkpoint")).to_be_visible()
    expect(page.get_by_test_id("kept")).to_have_count(0)

    page.get_by_label("A signed head of the log that you saw before").fill(f"\r\n{note.strip()}  ")
    expect(page.get_by_text("This is not a whole checkpoint")).to_be_hidden()
    expect(page.get_by_test_id("kept")).to_contain_text("The log continues the head you keep")

    page.get_by_role("button", name="Forget it").locator("visible=true").click()
    expect(page.get_by_test_id("kept")).to_have_count(0)
    expect(page.get_by_label("A signed head of the log that you saw before")).to_have_value("")


@pytest.mark.parametrize(
    ("receipt", "pin", "title", "why"),
    [
        ("continued", "pin-rewritten", "The log was rewritten", "Its first 10 entries are not those"),
        ("continued", "pin-older-rewritten", "The log was rewritten", "Its first 3 entries are not those"),
        ("small", "pin", "This receipt's head is older than the one you keep", "It covers 5 entries, and yours 10."),
        ("small", "pin-without-path", "Nothing here leads from the head you keep", "proof?pin=3&pin_log=k7dq2x5m"),
        ("continued", "pin-other-log", "The head you keep is of another log", "Each year begins a new log"),
    ],
)
def test_a_head_that_does_not_fit_is_a_warning_above_all_else(
    page: Page, receipt: str, pin: str, title: str, why: str
) -> None:
    give(page, VALID / f"{receipt}.json", PINS / f"{pin}.txt")

    expect(page.get_by_test_id("verdict")).to_have_text("Not verified")
    expect(page.get_by_test_id("kept")).to_contain_text(title)
    expect(page.get_by_test_id("kept")).to_contain_text(why)


def test_a_head_of_the_year_before_is_continued_by_this_years_log(page: Page) -> None:
    give(page, VALID / "next-year-from-3.json", PINS / "pin-last-year-older.txt")

    expect(page.get_by_test_id("verdict")).to_have_text("Verified")
    expect(page.get_by_test_id("kept")).to_contain_text("The log continues the head you keep")


def test_the_head_of_a_receipt_that_holds_is_saved_to_be_kept(page: Page, tmp_path: Path) -> None:
    give(page, VALID / "continued.json")

    with page.expect_download() as download:
        page.get_by_role("link", name="Save log.pin").click()
    download.value.save_as(tmp_path / "log.pin")

    kept = (tmp_path / "log.pin").read_text()
    assert kept == json.loads((VALID / "continued.json").read_bytes())["checkpoint"]
    give(page, tmp_path / "log.pin")
    expect(page.get_by_test_id("kept")).to_contain_text("The log continues the head you keep")
    expect(page.get_by_role("link", name="Save log.pin")).to_have_count(0)


def test_what_came_after_the_seal_is_shown_as_such(page: Page) -> None:
    give(page, VALID / "added-opened.json")

    expect(page.get_by_test_id("verdict")).to_have_text("Verified")
    expect(page.locator(".events li")).to_have_count(6)
    expect(page.locator(".events li").last).to_contain_text("came after the seal")
    expect(page.locator(".events li").last).to_contain_text("Delivered at gate 5.")


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
