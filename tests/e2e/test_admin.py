"""The administration in a real browser: providers, models, roles, staged changes, usage, budgets, turns, activity."""

import contextlib
import csv
import io
import re
from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.installation import OWNER, Installation, StubProvider, installed

pytestmark = pytest.mark.timeout(240)

WAIT_MS = 20_000


@pytest.fixture(scope="module")
def stub() -> Generator[StubProvider]:
    """A provider whose models do what their names say."""
    with StubProvider() as stub:
        yield stub


@pytest.fixture(scope="module")
def one(stub: StubProvider) -> Generator[Installation]:
    """Changes of its catalogue are staged until they are applied."""
    with installed(
        AIBOX_ROUTER_LOCAL="false", AIBOX_ROUTER_APPLY="explicit", AIBOX_HTTP_INTERNAL_HOSTS=stub.authority
    ) as one:
        yield one


@pytest.fixture(scope="module")
def page(browser: Browser, one: Installation) -> Page:
    """The owner's page, signed in."""
    page = browser.new_page()
    sign_in(page, one, OWNER["email"], OWNER["password"])
    return page


@pytest.fixture(scope="module")
def provider(page: Page, one: Installation, stub: StubProvider) -> Locator:
    """The card of a provider that was added by its pasted address, with a key."""
    page.goto(f"{one.url}/admin/inference")
    page.get_by_role("button", name="Add a provider").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Address").fill(f"{stub.url}/chat/completions?x=1")
    dialog.get_by_label("Name").fill("stub")
    dialog.get_by_label("API key").fill("sk-nobody-sees-this")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog).to_be_hidden(timeout=WAIT_MS)
    return page.get_by_test_id("provider").filter(has=page.get_by_role("heading", name="stub"))


def sign_in(page: Page, one: Installation, email: str, password: str) -> None:
    page.goto(f"{one.url}/sign-in")
    page.get_by_label("E-mail").fill(email)
    page.locator("input[type=password]").first.fill(password)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("composer")).to_be_visible(timeout=WAIT_MS)


def apply(page: Page) -> None:
    """Let calls use what is staged."""
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_test_id("staged-changes")).to_be_hidden(timeout=WAIT_MS)


def test_an_address_that_does_not_answer_is_refused_and_nothing_is_saved(page: Page, one: Installation) -> None:
    page.goto(f"{one.url}/admin/inference")
    page.get_by_role("button", name="Add a provider").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Address").fill("http://127.0.0.1:9/v1")
    dialog.get_by_label("Name").fill("nowhere")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("alert")).to_be_visible(timeout=WAIT_MS)
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="nowhere")).to_have_count(0)


def test_a_provider_is_added_by_its_address_and_its_key_is_never_shown(
    provider: Locator, page: Page, stub: StubProvider
) -> None:
    expect(provider).to_contain_text(stub.url)
    expect(provider).not_to_contain_text("chat/completions?")
    expect(provider).to_contain_text("key stored")
    assert "sk-nobody-sees-this" not in page.content()


def test_the_test_button_says_how_long_it_took_and_what_is_listed(provider: Locator) -> None:
    provider.get_by_role("button", name="Test stub").click()
    expect(provider.get_by_test_id("test-result")).to_contain_text(
        re.compile(r"It answered in \d+ ms and lists \d+ models\."), timeout=WAIT_MS
    )


def test_a_price_is_set_and_shown_with_its_source(provider: Locator, page: Page) -> None:
    provider.get_by_role("button", name="Edit ok", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Input", exact=True).fill("1000")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_contain_text("A price needs both input and output.")
    dialog.get_by_label("Output", exact=True).fill("2000.50")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden(timeout=WAIT_MS)
    row = provider.get_by_test_id("model").filter(has_text=re.compile(r"^ok"))
    expect(row).to_contain_text("$1000.00 in, $2000.50 out")
    expect(row).to_contain_text("set here")


def test_a_role_gets_its_fallbacks_and_their_order_by_keyboard(provider: Locator, page: Page) -> None:
    page.get_by_role("button", name="Edit the role default").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Model", exact=True).select_option("stub/echo")
    dialog.get_by_label("Add a fallback").select_option("stub/ok")
    rows = dialog.get_by_role("list", name="In this order").get_by_role("listitem")
    rows.nth(1).focus()
    page.keyboard.press("Alt+ArrowUp")
    expect(rows.first).to_contain_text("stub/ok")
    expect(rows.first).to_be_focused()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden(timeout=WAIT_MS)
    expect(page.get_by_test_id("role-default").get_by_role("listitem")).to_have_text(["firststub/ok", "thenstub/echo"])
    assert provider


def test_staged_changes_are_told_as_sentences_and_count_once_applied(page: Page, one: Installation) -> None:
    page.goto(f"{one.url}/admin/inference")
    staged = page.get_by_test_id("staged-changes")
    expect(staged).to_contain_text(re.compile(r"The provider stub \(.*\) is added with \d+ models"), timeout=WAIT_MS)
    expect(staged).to_contain_text("The role default leads to stub/ok, then stub/echo instead of nothing.")
    with one.client(one.key("models", "chat")) as client:
        assert "ok" not in [model["id"] for model in client.get("/v1/models").json()["data"]]
        apply(page)
        assert "ok" in [model["id"] for model in client.get("/v1/models").json()["data"]]


def test_a_staged_change_is_discarded_after_a_question(provider: Locator, page: Page) -> None:
    provider.get_by_role("button", name="Options for stub").click()
    page.get_by_role("menuitem", name="Switch off").click()
    expect(provider).to_contain_text("Switched off", timeout=WAIT_MS)
    page.get_by_role("button", name="Discard…").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Discard").click()
    expect(page.get_by_test_id("staged-changes")).to_be_hidden(timeout=WAIT_MS)
    expect(provider).not_to_contain_text("Switched off", timeout=WAIT_MS)


def test_what_was_asked_is_in_the_usage_and_in_its_csv(provider: Locator, page: Page, one: Installation) -> None:
    assert provider
    with one.client(one.key("models", "chat")) as client:
        for _ in range(3):
            question = {"model": "stub/ok", "messages": [{"role": "user", "content": "hi"}]}
            assert client.post("/v1/chat/completions", json=question).status_code == 200
    row = page.get_by_test_id("usage-row").filter(has_text="stub/ok")
    for _ in range(20):  # usage follows the log, a moment behind
        page.goto(f"{one.url}/admin/usage")
        with contextlib.suppress(AssertionError):
            expect(row).to_be_visible(timeout=1000)
            break
    spent, requests = (row.get_by_role("cell").nth(at).inner_text() for at in (1, 2))
    assert requests == "3"
    assert float(spent.removeprefix("$").replace(",", "")) > 0
    expect(page.get_by_test_id("spend-bars").get_by_role("img")).to_be_visible()
    with page.expect_download() as started:
        page.get_by_role("link", name="Download CSV").click()
    (line,) = [
        one for one in csv.DictReader(io.StringIO(Path(started.value.path()).read_text())) if one["model"] == "ok"
    ]
    assert (line["provider"], line["requests"]) == ("stub", "3")
    assert f"${float(line['cost_usd']):.2f}" == spent or float(line["cost_usd"]) < 1


def test_a_budget_shows_its_burn_down_and_goes_after_a_question(page: Page, one: Installation) -> None:
    page.goto(f"{one.url}/admin/usage?tab=budgets")
    page.get_by_role("button", name="Add a budget").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Limit in dollars").fill("1,000")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog).to_contain_text("An amount without thousands separators")
    dialog.get_by_label("Limit in dollars").fill("1000")
    dialog.get_by_role("button", name="Add", exact=True).click()
    budget = page.get_by_test_id("budget")
    expect(budget).to_contain_text("$1,000.00 a month, then calls are refused", timeout=WAIT_MS)
    expect(budget.get_by_role("img", name="Burn-down")).to_be_visible()
    budget.get_by_role("button", name="Edit the budget of Everybody").click()
    dialog.get_by_label("When it is used up").select_option("warn")
    dialog.get_by_role("button", name="Save").click()
    expect(budget).to_contain_text("then it is noted", timeout=WAIT_MS)
    budget.get_by_role("button", name="Remove the budget of Everybody").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Remove").click()
    expect(budget).to_have_count(0, timeout=WAIT_MS)


def test_a_turn_opens_as_a_waterfall_and_as_a_receipt(page: Page, one: Installation) -> None:
    page.goto(f"{one.url}/admin/usage?tab=traces")
    page.get_by_test_id("turn-row").first.get_by_role("link").click()
    expect(page.get_by_test_id("waterfall")).to_contain_text("stub/ok", timeout=WAIT_MS)
    expect(page.get_by_test_id("waterfall")).to_contain_text("1 message, passed")
    expect(page.get_by_test_id("waterfall")).to_contain_text("the answer, passed")
    page.get_by_role("button", name="Receipt").click()
    expect(page.get_by_test_id("receipt-verdict")).to_have_text("Verified", timeout=WAIT_MS)


def test_activity_is_filtered_and_the_log_is_verified(page: Page, one: Installation) -> None:
    page.goto(f"{one.url}/admin/activity")
    page.get_by_label("Events").select_option("admin.*")
    events = page.get_by_test_id("activity-event")
    added = events.filter(has_text="A provider was added").filter(has_text="stub")
    expect(added).to_have_count(1, timeout=WAIT_MS)
    expect(events.filter(has_text="The model was called")).to_have_count(0)
    added.click()
    expect(page.get_by_role("dialog")).to_contain_text('"provider": "stub"')
    page.keyboard.press("Escape")
    expect(added).to_be_focused()
    page.get_by_role("button", name="Verify the log").click()
    expect(page.get_by_test_id("verify-result")).to_contain_text("entries are sound.", timeout=WAIT_MS)


def test_the_filters_of_the_activity_outlive_a_look_at_a_turn(page: Page, one: Installation) -> None:
    page.goto(f"{one.url}/admin/activity")
    page.get_by_label("Events").select_option("admin.*")
    page.get_by_label("From", exact=True).fill("2026-01-01")
    page.get_by_test_id("activity-event").filter(has_text="A provider was added").first.click()
    page.get_by_role("link", name="The turn as it ran").click()
    expect(page.get_by_role("heading", name="Turn", exact=True)).to_be_visible(timeout=WAIT_MS)
    page.go_back()
    expect(page.get_by_label("Events")).to_have_value("admin.*", timeout=WAIT_MS)
    expect(page.get_by_label("From", exact=True)).to_have_value("2026-01-01")
    expect(page.get_by_test_id("activity-event").filter(has_text="The model was called")).to_have_count(0)


def test_a_page_is_found_by_its_name_in_the_command_palette(page: Page, one: Installation) -> None:
    page.goto(one.url)
    expect(page.get_by_test_id("composer")).to_be_visible(timeout=WAIT_MS)
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Search commands, pages and chats").fill("activ")
    expect(page.get_by_role("option", name="Administration: Activity")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Activity", timeout=WAIT_MS)


def test_every_page_fits_a_phone(page: Page, one: Installation) -> None:
    page.set_viewport_size({"width": 375, "height": 800})
    for path in ("inference", "users", "usage", "usage?tab=budgets", "usage?tab=traces", "activity"):
        page.goto(f"{one.url}/admin/{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=WAIT_MS)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        if path in ("inference", "users", "usage", "usage?tab=traces"):  # tables that show all of their row
            table = page.get_by_role("table").first
            expect(table).to_be_visible(timeout=WAIT_MS)
            assert table.evaluate("table => table.parentElement.scrollWidth <= table.parentElement.clientWidth")
    page.get_by_label("Page of the administration").select_option(label="Usage")
    expect(page.get_by_role("heading", level=1)).to_have_text("Usage")
    page.set_viewport_size({"width": 1280, "height": 800})


def test_a_member_sees_their_own_usage_and_no_administration(browser: Browser, page: Page, one: Installation) -> None:
    assert page
    password = "a member's long password"
    one.admin("users", "add", "bob@example.com", "--name", "Bob", "--password-stdin", stdin=password)
    member = browser.new_page()
    sign_in(member, one, "bob@example.com", password)
    member.goto(f"{one.url}/usage")
    expect(member.get_by_text("Nothing used yet")).to_be_visible(timeout=WAIT_MS)
    member.get_by_role("button", name=re.compile("^Account of")).click()
    expect(member.get_by_role("menuitem", name="Your usage")).to_be_visible()
    expect(member.get_by_role("menuitem", name="Administration")).to_have_count(0)
    member.goto(f"{one.url}/admin/inference")
    expect(member.get_by_text("This page is not yours to see")).to_be_visible(timeout=WAIT_MS)
    member.close()
