"""Roles, invitations, other sign-in services, passkeys alone, and tenants: in a real browser, as a person does it."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

import tests
from tests.e2e.test_account import with_authenticator
from tests.installation import OWNER, Installation, free_port, installed

pytestmark = pytest.mark.timeout(300)

PASSWORD = "a passphrase of hers"
WAIT_MS = 20_000
OIDC = Path(tests.__file__).parent / "oidc"


@pytest.fixture(scope="module")
def one() -> Generator[Installation]:
    """An installation that trusts a real OpenID provider, where there is Node.js."""
    folder = Path(tempfile.mkdtemp(prefix="aibox-", dir="/tmp"))
    folder.chmod(0o755)
    one = Installation(folder, AIBOX_ROUTER_LOCAL="false", AIBOX_HTTP_INTERNAL_HOSTS="127.0.0.1")
    with provided(f"{one.url}/v1/auth/callback") as provider:
        if provider is not None:
            one.environment["AIBOX_AUTH_ADDITIONAL_ISSUERS"] = json.dumps([issuer(provider)])
        try:
            one.start()
            one.create_owner()
            yield one
        finally:
            one.stop()
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def provided(callback: str) -> Generator[str | None]:
    """The provider's address; None where its library is not installed (tests/integration/identity/test_sso.py does)."""
    if shutil.which("node") is None or not (OIDC / "node_modules" / "oidc-provider").is_dir():
        yield None
        return
    port = free_port()
    process = subprocess.Popen(
        ["node", "provider.mjs", str(port), callback],
        cwd=OIDC,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "NODE_NO_WARNINGS": "1"},
    )
    assert process.stdout is not None
    assert any("READY" in line for line in process.stdout)
    threading.Thread(target=process.stdout.read, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def issuer(provider: str) -> dict[str, object]:
    return {
        "iss": provider,
        "alias": "corp",
        "name": "Corporate",
        "jwks_url": f"{provider}/jwks",
        "authorization_url": f"{provider}/auth",
        "token_url": f"{provider}/token",
        "client_secret": "a-secret-of-the-tests-that-is-long-enough",
        "scopes": "openid email profile groups",
        "typ": "at+jwt",
        "groups": {"nobody-is-in-this": "member"},
    }


@pytest.fixture(scope="module")
def page(browser: Browser, one: Installation) -> Page:
    """The owner's page, signed in."""
    page = new_page(browser, one)
    sign_in(page, OWNER["email"], OWNER["password"])
    return page


@pytest.fixture
def desk(browser: Browser, one: Installation) -> Generator[Page]:
    """Another browser, in which nobody is signed in."""
    desk = new_page(browser, one)
    yield desk
    desk.context.close()


def new_page(browser: Browser, one: Installation) -> Page:
    context: BrowserContext = browser.new_context(base_url=one.url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    return context.new_page()


def sign_in(page: Page, email: str, password: str, organisation: str | None = None) -> None:
    page.goto("/sign-in")
    if organisation is not None:
        page.get_by_label("Organisation").fill(organisation)
    page.get_by_label("E-mail").fill(email)
    page.locator("input[name=password]").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_test_id("composer")).to_be_visible()


def invite(page: Page, email: str, *roles: str) -> str:
    """Invite as the page's person does; the link."""
    page.goto("/admin/users")
    page.get_by_role("button", name="Invite", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("E-mail").fill(email)
    for role in roles:
        dialog.get_by_label(role, exact=True).check()
    dialog.get_by_role("button", name="Invite", exact=True).click()
    link = page.get_by_test_id("invitation-link").locator("code").inner_text()
    page.get_by_role("button", name="Done").click()
    return link


def test_a_role_is_made_in_its_table_and_listed_with_what_it_denies(page: Page) -> None:
    page.goto("/admin/roles")
    expect(page.get_by_test_id("role")).to_have_count(4)
    page.get_by_role("link", name="New role").click()
    listed = page.get_by_role("navigation", name="Administration")
    expect(listed.get_by_role("link", name="Roles")).to_have_attribute("aria-current", "page")
    page.get_by_label("Title").fill("Sales (EMEA)")
    expect(page.get_by_label("Name in the API")).to_have_value("sales-emea")
    page.get_by_label("Read own", exact=True).check()
    page.get_by_label("Never these tools").fill("shell, browser")
    page.get_by_label("A month, in dollars").fill("-5")
    page.get_by_label("A month, in dollars").fill("25.50")
    page.get_by_role("button", name="Make the role").click()
    expect(page.get_by_role("heading", name="Sales (EMEA)", level=1)).to_be_visible()
    expect(page.get_by_text("Nobody yet.")).to_be_visible()
    page.get_by_role("link", name="All roles").click()
    row = page.get_by_test_id("role").filter(has_text="Sales (EMEA)")
    expect(row).to_contain_text("Memory: read own")
    expect(row).to_contain_text("never shell")
    expect(row).to_contain_text("at most $25.50 a month")


def test_an_invitation_is_accepted_by_its_link_and_the_role_is_in_effect(page: Page, desk: Page) -> None:
    link = invite(page, "grace@example.com", "Sales (EMEA)")
    row = page.get_by_test_id("invitation")
    expect(row).to_contain_text("grace@example.com")
    expect(row).to_contain_text("Member, Sales (EMEA)")
    desk.goto(link)
    expect(desk.get_by_text("You are invited as grace@example.com.")).to_be_visible()
    assert "token" not in desk.url, "the address forgets it"
    desk.get_by_label("Your name").fill("Grace Hopper")
    desk.locator("input[type=password]").fill(PASSWORD)
    desk.get_by_role("button", name="Make my account").click()
    expect(desk.get_by_test_id("composer")).to_be_visible()
    rights = desk.request.get("/v1/auth/me").json()["permissions"]
    assert rights["tools"] == {"allowed": ["*"], "denied": ["browser", "shell"]}
    assert rights["cost"] == {"monthly_limit_usd": "25.50"}
    desk.goto("/admin/roles")
    expect(desk.get_by_text("This page is not yours to see")).to_be_visible()
    page.goto("/admin/users")
    expect(page.get_by_test_id("person").filter(has_text="Grace Hopper")).to_contain_text("Member, Sales (EMEA)")
    expect(page.get_by_test_id("invitation")).to_have_count(0)
    page.goto("/admin/roles/sales-emea")
    expect(page.get_by_test_id("role-holders")).to_contain_text("Grace Hopper")


def test_a_role_is_changed_and_felt_and_not_deleted_while_somebody_has_it(page: Page, desk: Page) -> None:
    sign_in(desk, "grace@example.com", PASSWORD)
    page.goto("/admin/roles/sales-emea")
    page.get_by_label("Never these tools").fill("browser")
    page.get_by_label("Activity", exact=True).check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    rights = desk.request.get("/v1/auth/me").json()["permissions"]
    assert rights["tools"]["denied"] == ["browser"]
    assert rights["admin"]["view_audit_log"] is True
    page.get_by_role("button", name="Delete the role…").click()
    question = page.get_by_role("alertdialog")
    question.get_by_role("button", name="Delete the role").click()
    expect(question).to_contain_text("Somebody still has this role.")
    question.get_by_role("button", name="Cancel").click()


def test_a_revoked_invitation_does_not_open(page: Page, desk: Page) -> None:
    link = invite(page, "eve@example.com")
    page.get_by_role("button", name="Revoke the invitation of eve@example.com").click()
    page.get_by_role("button", name="Revoke the invitation", exact=True).click()
    expect(page.get_by_test_id("invitation")).to_have_count(0)
    desk.goto(link)
    expect(desk.get_by_role("heading", name="This invitation does not open")).to_be_visible()


def test_the_shipped_roles_are_shown_and_stay(page: Page) -> None:
    page.goto("/admin/roles/owner")
    expect(page.get_by_text("The shipped roles stay as they are.")).to_be_visible()
    expect(page.get_by_label("Settings", exact=True)).to_be_checked()
    expect(page.get_by_label("Settings", exact=True)).to_be_disabled()
    expect(page.get_by_role("button", name="Save")).to_have_count(0)


def test_a_passkey_alone_signs_in(desk: Page) -> None:
    with_authenticator(desk)
    sign_in(desk, "grace@example.com", PASSWORD)
    desk.goto("/account")
    desk.get_by_role("button", name="Add a passkey").click()
    desk.get_by_label("Name of the passkey").fill("Laptop")
    desk.get_by_role("button", name="Go on").click()
    desk.get_by_label("I keep these codes in a safe place.").check()
    desk.get_by_role("button", name="Done").click()
    desk.context.clear_cookies()
    desk.goto("/sign-in")
    desk.get_by_role("button", name="Sign in with a passkey").click()
    expect(desk.get_by_test_id("composer")).to_be_visible()
    assert desk.request.get("/v1/auth/me").json()["user"]["email"] == "grace@example.com"


@pytest.fixture
def service(page: Page) -> Page:
    page.goto("/admin/sign-in-services")
    expect(page.get_by_role("heading", name="Sign-in services", level=1)).to_be_visible()
    page.wait_for_load_state("networkidle")
    if page.get_by_test_id("sign-in-service").count() == 0:
        pytest.skip("The OpenID provider's library is not installed: npm install in tests/oidc")
    return page


def sign_in_there(page: Page, login: str) -> None:
    """What a person does at the other service."""
    page.locator("input[name=login]").fill(login)
    page.locator("input[name=password]").fill("x")
    page.locator("button[type=submit]").click()
    page.locator("button[type=submit]").click()


def test_a_refused_sign_in_comes_back_as_a_page_that_names_the_code(service: Page, desk: Page) -> None:
    assert service
    desk.goto("/sign-in")
    desk.get_by_role("link", name="Sign in with Corporate").click()
    sign_in_there(desk, "zoe")
    refusal = desk.get_by_role("alert")
    expect(refusal).to_contain_text("Your account there has no role here.")
    expect(refusal).to_contain_text("role_not_mapped")
    expect(desk.get_by_label("E-mail")).to_be_visible()


def test_a_group_gets_a_role_after_a_test_sign_in_showed_its_name(service: Page, desk: Page) -> None:
    card = service.get_by_test_id("sign-in-service")
    card.get_by_role("button", name="Fetch its keys").click()
    expect(card).to_contain_text("Healthy")
    card.get_by_role("button", name="Test…").click()
    service.get_by_role("button", name="Sign in at Corporate").click()
    sign_in_there(service, "zoe")
    examined = service.get_by_test_id("examined")
    expect(examined).to_contain_text("They would be refused")
    expect(examined).to_contain_text('"members"')
    service.keyboard.press("Escape")
    assert service.request.get("/v1/auth/me").json()["user"]["email"] == OWNER["email"]

    card.get_by_role("button", name="Add a group").click()
    line = card.get_by_test_id("group").last
    line.get_by_label("Group", exact=True).fill("members")
    line.get_by_role("combobox").select_option("viewer")
    card.get_by_role("button", name="Save the groups").click()
    expect(card).to_contain_text("Set here")
    desk.goto("/sign-in")
    desk.get_by_role("link", name="Sign in with Corporate").click()
    sign_in_there(desk, "zoe")
    expect(desk).to_have_url(re.compile(r"/$"))
    assert desk.request.get("/v1/auth/me").json()["roles"] == ["viewer"]


def test_every_page_fits_a_phone(page: Page, browser: Browser, one: Installation) -> None:
    link = invite(page, "ida@example.com")
    page.set_viewport_size({"width": 375, "height": 800})
    for path in ("users", "roles", "roles/sales-emea", "new-role", "sign-in-services"):
        page.goto(f"/admin/{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, path
    phone = browser.new_context(base_url=one.url, viewport={"width": 375, "height": 800}).new_page()
    for address in (link, "/sign-in"):
        phone.goto(address)
        phone.wait_for_load_state("networkidle")
        assert phone.evaluate("document.documentElement.scrollWidth") <= 375, address
    phone.context.close()
    page.set_viewport_size({"width": 1280, "height": 900})


def test_with_several_tenants_one_is_made_joined_entered_and_suspended(browser: Browser) -> None:
    with installed(AIBOX_ROUTER_LOCAL="false", AIBOX_TENANCY_MODE="multi") as several:
        several.admin("users", "roles", OWNER["email"], "owner", "platform_admin")
        page, desk = new_page(browser, several), new_page(browser, several)
        sign_in(page, OWNER["email"], OWNER["password"])
        page.goto("/admin/tenants")
        page.get_by_role("button", name="New tenant").click()
        page.get_by_label("Name").fill("Babbage Ltd")
        page.get_by_label("E-mail of its first owner").fill("eve@babbage.example")
        page.get_by_role("button", name="Make it").click()
        link = page.get_by_test_id("invitation-link").locator("code").inner_text()
        page.get_by_role("button", name="Done").click()

        desk.goto(link)
        expect(desk.get_by_role("heading", name="Join Babbage Ltd")).to_be_visible()
        desk.get_by_label("Your name").fill("Eve")
        desk.locator("input[type=password]").fill(PASSWORD)
        desk.get_by_role("button", name="Make my account").click()
        expect(desk.get_by_test_id("composer")).to_be_visible()
        desk.context.clear_cookies()
        sign_in(desk, "eve@babbage.example", PASSWORD, organisation="babbage ltd")
        desk.goto("/admin/tenants")
        expect(desk.get_by_text("This page is not yours to see")).to_be_visible()

        stale = page.context.new_page()  # a second page, which does not know where its session goes
        stale.goto("/admin/users")
        expect(stale.get_by_text(OWNER["email"])).to_be_visible()
        page.get_by_role("button", name="Enter Babbage Ltd").click()
        page.get_by_role("alertdialog").get_by_role("button", name="Enter").click()
        expect(page.get_by_test_id("visit")).to_contain_text("You are inside Babbage Ltd as an owner")
        page.goto("/admin/users")
        expect(page.get_by_text("eve@babbage.example")).to_be_visible()
        expect(page.get_by_text(OWNER["email"])).not_to_be_visible()
        page.set_viewport_size({"width": 375, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        page.set_viewport_size({"width": 1280, "height": 900})
        stale.get_by_role("link", name="Guardrail").click()
        expect(stale.get_by_test_id("visit")).to_be_visible()  # it noticed, and began anew
        stale.close()
        page.get_by_test_id("visit").get_by_role("button", name="Leave").click()
        expect(page.get_by_test_id("visit")).not_to_be_visible()
        expect(page.get_by_test_id("tenant").first).to_contain_text("yours")

        page.get_by_role("button", name="Suspend Babbage Ltd").click()
        page.get_by_role("alertdialog").get_by_role("button", name="Suspend").click()
        expect(page.get_by_test_id("tenant").filter(has_text="Babbage Ltd")).to_contain_text("Suspended")
        assert desk.request.get("/v1/auth/me").json()["code"] == "tenant_not_provisioned"
        page.context.close()
        desk.context.close()
