"""Sign-in with second factors, one's own account, pairing, and people for admins: in a browser, as a person does it."""

import base64
import hmac
import json
import re
import time
from collections.abc import Generator
from typing import Any, ClassVar

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.installation import OWNER, Installation, installed

pytestmark = pytest.mark.timeout(300)

STEP_SECONDS = 30


@pytest.fixture(scope="module")
def installation() -> Generator[Installation]:
    with installed() as one:
        yield one


@pytest.fixture
def context(browser: Browser, installation: Installation) -> Generator[BrowserContext]:
    """A browser in which nobody is signed in."""
    context = browser.new_context(base_url=installation.url, viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    page = context.new_page()
    page.set_default_timeout(20_000)
    return page


class Secrets:
    """What a person keeps from one test to the next."""

    totp = ""
    recovery: ClassVar[list[str]] = []
    last_step = 0

    @classmethod
    def code(cls) -> str:
        """The app's code of now; each step's once, as the server asks for it."""
        while int(time.time() // STEP_SECONDS) <= cls.last_step:
            time.sleep(0.5)
        cls.last_step = int(time.time() // STEP_SECONDS)
        return totp(cls.totp, cls.last_step)


def totp(secret: str, step: int) -> str:
    """RFC 6238 with its defaults."""
    digest = hmac.digest(base64.b32decode(secret + "=" * (-len(secret) % 8)), step.to_bytes(8), "sha1")
    at = digest[-1] & 15
    return f"{(int.from_bytes(digest[at : at + 4]) & 0x7FFFFFFF) % 1_000_000:06}"


def type_password(page: Page, email: str = OWNER["email"], password: str = OWNER["password"]) -> None:
    page.goto("/sign-in?next=/account")
    page.get_by_label("E-mail").fill(email)
    page.locator("input[name=password]").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def heading(page: Page, name: str) -> Any:
    return page.get_by_role("heading", name=name, exact=True)


def with_authenticator(page: Page) -> None:
    """Give the page's browser a security key that answers by itself."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def test_a_wrong_password_is_told_in_a_sentence_and_signs_nobody_in(page: Page) -> None:
    type_password(page, password="not this one")
    expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    assert page.request.get("/v1/auth/me").status == 401


def test_a_key_is_made_with_its_scopes_shown_once_and_revoked(page: Page, installation: Installation) -> None:
    type_password(page)
    expect(heading(page, "Your account")).to_be_visible()
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name", exact=True).last.fill("Nightly report")
    page.get_by_label("Memory", exact=True).check()
    for unused in ("Agents", "Sandbox"):  # no route asks for these
        expect(page.get_by_label(unused, exact=True)).to_have_count(0)
    page.get_by_role("button", name="Make the key").click()
    shown = page.get_by_test_id("new-key").locator("code")
    expect(shown).to_have_text(re.compile(r"aibox_\w+"))
    key = shown.inner_text()
    page.get_by_role("button", name="I have copied it").click()
    row = page.get_by_test_id("api-key").filter(has_text="Nightly report")
    expect(row).to_contain_text("Chat, Memory, Models")
    expect(row).to_contain_text("Never used")
    with installation.client(key) as client:
        assert client.get("/v1/auth/me").status_code == 200
    row.get_by_role("button", name="Revoke Nightly report").click()
    page.get_by_role("button", name="Revoke the key").click()
    expect(row).to_contain_text("Revoked")
    with installation.client(key) as client:
        assert client.get("/v1/auth/me").status_code == 401


def test_an_old_sign_in_is_confirmed_in_a_window_and_the_act_is_done_then(page: Page) -> None:
    type_password(page)
    asked: list[str] = []

    def refuse_once(route: Route) -> None:
        asked.append(route.request.method)
        if route.request.method != "POST" or asked.count("POST") > 1:
            return route.continue_()
        body = {"error": "Confirm.", "code": "insufficient_user_authentication", "turn_id": None}
        return route.fulfill(status=401, content_type="application/json", body=json.dumps(body))

    page.route("**/v1/auth/keys", refuse_once)
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name", exact=True).last.fill("After a while")
    page.get_by_role("button", name="Make the key").click()
    expect(heading(page, "Confirm that it is you")).to_be_visible()
    window = page.get_by_role("dialog", name="Confirm that it is you")
    window.locator("input[name=password]").fill("not this one")
    window.get_by_role("button", name="Confirm").click()
    expect(window.get_by_role("alert")).to_contain_text("not your password")
    window.locator("input[name=password]").fill(OWNER["password"])
    window.get_by_role("button", name="Confirm").click()
    expect(page.get_by_test_id("new-key")).to_be_visible()
    assert asked.count("POST") == 2


def test_an_authenticator_app_is_set_up_by_its_first_code_and_ten_recovery_codes_follow(page: Page) -> None:
    type_password(page)
    page.get_by_role("button", name="Set up").click()
    expect(page.get_by_role("img", name="QR code for the authenticator app")).to_be_visible()
    Secrets.totp = page.get_by_test_id("totp-secret").inner_text().replace(" ", "")
    page.get_by_label("Code of six digits").press_sequentially(Secrets.code())
    expect(heading(page, "Save your recovery codes")).to_be_visible()
    Secrets.recovery = page.get_by_test_id("recovery-codes").locator("li").all_inner_texts()
    assert len(set(Secrets.recovery)) == 10
    with page.expect_download() as download:
        expect(page.get_by_role("link", name="Save as a file")).to_be_focused()
        page.get_by_role("link", name="Save as a file").click()
    saved = download.value.path().read_text()
    assert all(code in saved for code in Secrets.recovery)
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_text("10 of 10 left")).to_be_visible()


def test_the_app_s_code_signs_in_with_its_sixth_digit_and_nothing_does_before(page: Page) -> None:
    type_password(page)
    expect(heading(page, "Confirm that it is you")).to_be_visible()
    assert page.request.get("/v1/auth/me").status == 401
    code = page.get_by_label("Code of six digits")
    code.press_sequentially("000000")
    expect(page.get_by_text("This code does not fit")).to_be_visible()
    expect(code).to_have_value("")
    code.press_sequentially(Secrets.code())
    expect(heading(page, "Your account")).to_be_visible(timeout=40_000)


def test_a_recovery_code_signs_in_once(page: Page, context: BrowserContext) -> None:
    code = Secrets.recovery.pop()
    type_password(page)
    page.get_by_role("button", name="Use a recovery code").click()
    page.get_by_label("Recovery code").fill(code)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("9 of 10 left")).to_be_visible()
    context.clear_cookies()
    type_password(page)
    page.get_by_role("button", name="Use a recovery code").click()
    page.get_by_label("Recovery code").fill(code)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("This is no unused recovery code")).to_be_visible()


def test_a_passkey_is_added_and_then_signs_in(page: Page, context: BrowserContext) -> None:
    with_authenticator(page)
    type_password(page)
    page.get_by_label("Code of six digits").press_sequentially(Secrets.code())
    page.get_by_role("button", name="Add a passkey").click(timeout=40_000)
    page.get_by_label("Name of the passkey").fill("Work laptop")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_test_id("passkey")).to_contain_text("Work laptop")
    context.clear_cookies()
    type_password(page)
    page.get_by_role("button", name="Use the passkey").click()
    expect(page.get_by_test_id("passkey")).to_contain_text("last used")
    page.get_by_role("button", name="Remove the passkey Work laptop").click()
    page.get_by_role("button", name="Remove the passkey", exact=True).click()
    expect(page.get_by_test_id("passkey")).to_have_count(0)


def test_a_paired_phone_approves_a_sign_in_by_the_number_and_a_wrong_number_ends_it(
    page: Page, browser: Browser, installation: Installation
) -> None:
    type_password(page)
    page.get_by_label("Code of six digits").press_sequentially(Secrets.code())
    page.get_by_role("button", name="Pair a device").click(timeout=40_000)
    expect(page.get_by_role("img", name="QR code that pairs a device")).to_be_visible()
    code = page.get_by_test_id("pairing-code").inner_text()
    pocket = browser.new_context(base_url=installation.url, viewport={"width": 375, "height": 720})
    phone = pocket.new_page()
    phone.goto(f"/pair#code={code}")
    phone.get_by_label("Name of this device").fill("Ada’s phone")
    phone.get_by_role("button", name="Pair this device").click()
    expect(heading(phone, "This device is paired")).to_be_visible()
    expect(page.get_by_text("Ada’s phone is paired")).to_be_visible()
    page.get_by_role("button", name="Done").click()

    other = browser.new_context(base_url=installation.url)
    desk = other.new_page()
    type_password(desk)
    number = desk.get_by_test_id("push-number")
    expect(number).to_have_text(re.compile(r"\d\d"))
    expect(heading(phone, "Is this you?")).to_be_visible(timeout=10_000)
    phone.get_by_label("Number on the other screen").fill(number.inner_text())
    phone.get_by_role("button", name="Approve").click()
    expect(heading(desk, "Your account")).to_be_visible(timeout=10_000)

    other.clear_cookies()
    type_password(desk)
    expect(number).to_have_text(re.compile(r"\d\d"))
    wrong = "11" if number.inner_text() != "11" else "12"
    phone.get_by_label("Number on the other screen").fill(wrong)
    phone.get_by_role("button", name="Approve").click()
    expect(desk.get_by_role("alert")).to_contain_text("wrong number", timeout=10_000)
    assert desk.request.get("/v1/auth/me").status == 401

    page.get_by_role("button", name="Unpair Ada’s phone").click()
    page.get_by_role("button", name="Unpair the device").click()
    expect(heading(phone, "This pairing has ended")).to_be_visible(timeout=10_000)
    other.close()
    pocket.close()


def test_the_app_is_removed_and_another_session_is_ended(
    page: Page, browser: Browser, installation: Installation
) -> None:
    type_password(page)
    page.get_by_label("Code of six digits").press_sequentially(Secrets.code())
    page.get_by_role("button", name="Remove the app").click(timeout=40_000)
    page.get_by_role("button", name="Remove the app").last.click()
    expect(page.get_by_role("button", name="Set up")).to_be_visible()

    other = browser.new_context(base_url=installation.url)
    desk = other.new_page()
    type_password(desk)
    expect(heading(desk, "Your account")).to_be_visible()
    page.reload()
    rows = page.get_by_test_id("session")
    expect(rows.filter(has_text="This one")).to_have_count(1)
    before = rows.count()
    rows.get_by_role("button", name="End the session").first.click()
    page.get_by_role("button", name="End the session", exact=True).click()
    expect(rows).to_have_count(before - 1)
    assert desk.request.get("/v1/auth/me").status == 401
    other.close()


def test_an_admin_adds_a_person_who_signs_in_until_suspended(
    page: Page, browser: Browser, installation: Installation
) -> None:
    type_password(page)
    expect(heading(page, "Your account")).to_be_visible()
    page.goto("/admin/users")
    page.get_by_role("button", name="Add a person").click()
    page.get_by_label("Name", exact=True).fill("Alan Turing")
    page.get_by_label("E-mail").fill("alan@example.com")
    password = page.get_by_label("First password").input_value()
    page.get_by_role("button", name="Add", exact=True).click()
    expect(heading(page, "Alan Turing may sign in")).to_be_visible()
    page.get_by_role("button", name="Done").click()

    other = browser.new_context(base_url=installation.url)
    desk = other.new_page()
    type_password(desk, "alan@example.com", password)
    expect(heading(desk, "Your account")).to_be_visible()
    desk.goto("/admin/users")
    expect(desk.get_by_text("This page is not yours to see")).to_be_visible()

    page.get_by_label("Search people").fill("turing")
    expect(page.get_by_test_id("person")).to_have_count(1)
    page.get_by_role("button", name="Alan Turing").click()
    page.get_by_label("Viewer", exact=True).check()
    page.get_by_label("Member", exact=True).uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(page.get_by_test_id("rights")).to_contain_text("read own")
    expect(page.get_by_test_id("rights")).not_to_contain_text("ask models")
    page.get_by_role("button", name="Suspend", exact=True).click()
    page.get_by_role("alertdialog").get_by_role("button", name="Suspend").click()
    expect(page.get_by_role("alertdialog")).to_have_count(0)
    assert desk.request.get("/v1/auth/me").status == 401
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("person")).to_contain_text("Suspended")
    other.close()


def test_after_too_many_wrong_passwords_the_page_says_how_long_to_wait(page: Page) -> None:
    for _ in range(6):
        type_password(page, "nobody@example.com", "not this one")
        expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("Too many attempts")
    expect(page.get_by_role("button", name=re.compile(r"Try again in \d+ (minutes|seconds)"))).to_be_disabled()
