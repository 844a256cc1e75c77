"""Tools and approvals in the chat as a person meets them: a model that uses tools, and a browser that is asked."""

import asyncio
import threading
from collections.abc import Generator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.test_knowledge_pages import sign_in
from tests.installation import Installation, installed
from tests.integration.runtime.test_trace import SUSPICIOUS
from tests.stub_upstream import Stub, run_stub, says, uses

WAIT_MS = 30_000
RED = "The user's favourite colour is red."
OLD = "The user lives in Bergen."

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def stub() -> Generator[Stub]:
    """A provider in a thread of its own: Playwright keeps this one's loop to itself."""
    stub = Stub()
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        async with run_stub(stub):
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    yield stub
    loop.call_soon_threadsafe(over.set)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="module")
def one(stub: Stub) -> Generator[Installation]:
    authority = stub.base_url.removeprefix("http://").removesuffix("/v1")
    with installed(AIBOX_ROUTER_LOCAL="false", AIBOX_HTTP_INTERNAL_HOSTS=authority) as one:
        yield one


@pytest.fixture(scope="module")
def page(browser: Browser, one: Installation, stub: Stub) -> Page:
    """The owner's page; the model `stub/ok` answers there, and can use tools."""
    page = browser.new_context().new_page()
    sign_in(page, one.url)
    page.goto(f"{one.url}/admin/inference")
    page.get_by_role("button", name="Add a provider").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Address").fill(stub.base_url)
    dialog.get_by_label("Name").fill("stub")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog).to_be_hidden(timeout=WAIT_MS)
    page.get_by_role("button", name="Edit ok", exact=True).click()
    dialog.get_by_label("tools", exact=True).check()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden(timeout=WAIT_MS)
    page.get_by_role("button", name="Edit the role default").click()
    dialog.get_by_label("Model", exact=True).select_option("stub/ok")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden(timeout=WAIT_MS)
    return page


@pytest.fixture(scope="module")
def key(one: Installation) -> str:
    return one.key("memory", "knowledge")


@pytest.fixture(scope="module")
def old(one: Installation, key: str) -> str:
    """The id of a memory that the owner has."""
    with one.client(key) as client:
        return str(client.post("/v1/memory", json={"content": OLD, "memory_type": "user"}).json()["id"])


def remembered(one: Installation, key: str) -> set[str]:
    with one.client(key) as client:
        return {memory["content"] for memory in client.get("/v1/memory").json()["memories"]}


def ask(page: Page, text: str) -> Locator:
    """Send a message; the answer that begins."""
    answered = page.get_by_test_id("assistant-message").count()
    page.get_by_test_id("composer").fill(text)
    page.keyboard.press("Enter")
    return page.get_by_test_id("assistant-message").nth(answered)


def test_a_tool_is_told_between_the_words_and_one_that_asks_is_denied(
    page: Page, one: Installation, stub: Stub, key: str, old: str
) -> None:
    stub.next_frames = [
        uses(("memory_store", {"content": RED}), text="I keep that."),
        uses(("memory_delete", {"memory_id": old})),
        says("As you wish."),
    ]
    page.goto(one.url)
    answer = ask(page, "Note it, and forget the rest.")
    tools = answer.get_by_test_id("tool")
    expect(tools).to_contain_text(["Remembered"], timeout=WAIT_MS)
    approval = answer.get_by_role("region", name="AIBox wants to delete a memory")
    expect(approval).to_contain_text("This cannot be taken back. It waits until", timeout=WAIT_MS)
    expect(approval).to_contain_text(OLD)
    expect(approval.get_by_role("button", name="Edit")).to_have_count(0)  # there is an id to change, and nothing else
    approval.get_by_role("button", name="Deny").click()
    expect(answer).to_contain_text("As you wish.", timeout=WAIT_MS)
    expect(approval).to_be_hidden()
    expect(tools).to_contain_text(["Remembered", "Wanted to delete a memory"])
    expect(tools.last).to_contain_text("you denied")
    expect(tools.last.locator("summary")).to_be_focused()
    assert remembered(one, key) == {OLD, RED}
    read = answer.inner_text()
    assert read.index("I keep that.") < read.index("Remembered") < read.index("As you wish.")


def test_what_asks_is_still_there_after_a_reload_and_is_done_when_approved(
    page: Page, one: Installation, stub: Stub, key: str, old: str
) -> None:
    stub.next_frames = [uses(("memory_delete", {"memory_id": old})), says("Gone.")]
    answer = ask(page, "Forget it after all.")
    expect(answer.get_by_test_id("approval")).to_be_visible(timeout=WAIT_MS)
    page.reload()
    approval = page.get_by_test_id("approval")
    expect(approval).to_contain_text(OLD, timeout=WAIT_MS)
    approval.get_by_role("button", name="Approve").click()
    answer = page.get_by_test_id("assistant-message").last
    expect(answer).to_contain_text("Gone.", timeout=WAIT_MS)
    expect(answer.get_by_test_id("tool")).to_contain_text("Deleted a memory")
    expect(answer.get_by_test_id("tool")).to_contain_text("you approved")
    assert remembered(one, key) == {RED}


def test_a_reload_keeps_which_tools_were_used_and_their_words_come_from_the_record(
    page: Page, one: Installation, old: str
) -> None:
    expect(page.get_by_test_id("receipt-badge")).to_have_count(2, timeout=WAIT_MS)
    page.reload()
    tools = page.get_by_test_id("tool")
    expect(tools).to_contain_text(["Remembered", "Wanted to delete a memory", "Deleted a memory"], timeout=WAIT_MS)
    expect(tools.nth(2)).to_contain_text("you approved")
    expect(tools.nth(0)).not_to_contain_text(RED)
    tools.nth(0).locator("summary").click()
    expect(tools.nth(0)).to_contain_text("From the sealed record of this turn", timeout=WAIT_MS)
    expect(tools.nth(0)).to_contain_text(RED)
    tools.nth(2).locator("summary").click()
    expect(tools.nth(2)).to_contain_text(f"deleted{old}", timeout=WAIT_MS)
    assert one.url in page.url


def test_what_a_tool_asks_for_can_be_changed_first(page: Page, one: Installation, stub: Stub, key: str) -> None:
    stub.next_frames = [uses(("wiki_write", {"topic": "colours", "content": "# Red"})), says("Written.")]
    answer = ask(page, "Write it down for all.")
    approval = answer.get_by_role("region", name="AIBox wants to write a wiki page")
    expect(approval.get_by_text("# Red", exact=True)).to_be_visible(timeout=WAIT_MS)  # as it is written
    expect(approval).to_contain_text("Others will see it.")
    approval.get_by_role("button", name="Edit").click()
    approval.get_by_label("Content").fill("")
    approval.get_by_role("button", name="Approve as edited").click()
    expect(approval.get_by_label("Content")).to_have_attribute("aria-invalid", "true", timeout=WAIT_MS)
    approval.get_by_label("Content").fill("# Blue")
    page.keyboard.press("Enter")
    expect(answer).to_contain_text("Written.", timeout=WAIT_MS)
    expect(answer.get_by_test_id("tool")).to_contain_text("you changed and approved")
    with one.client(key) as client:
        assert client.get("/v1/knowledge/wiki/colours").json()["content"] == "# Blue"


def test_an_answer_to_what_is_decided_elsewhere_is_too_late(
    page: Page, one: Installation, stub: Stub, key: str
) -> None:
    stub.next_frames = [uses(("wiki_write", {"topic": "colours", "content": "# Green"})), says("Left.")]
    answer = ask(page, "Change it again.")
    approval = answer.get_by_test_id("approval")
    expect(approval).to_be_visible(timeout=WAIT_MS)
    page.route(
        "**/v1/user/approvals/*/approve",
        lambda route: route.fulfill(status=409, json={"error": "It is too late.", "code": "approval_closed"}),
    )
    approval.get_by_role("button", name="Approve").click()
    expect(approval).to_contain_text("too late to answer", timeout=WAIT_MS)
    expect(approval.get_by_role("button", name="Approve")).to_be_hidden()
    page.unroute("**/v1/user/approvals/*/approve")
    page.get_by_test_id("stop").click()
    expect(answer).to_contain_text("You stopped this answer.", timeout=WAIT_MS)
    expect(approval).to_be_hidden()
    with one.client(key) as client:
        assert client.get("/v1/knowledge/wiki/colours").json()["content"] == "# Blue"


def test_a_tool_that_asks_fits_a_phone_and_is_answered_by_keyboard(page: Page, one: Installation, stub: Stub) -> None:
    page.set_viewport_size({"width": 375, "height": 800})
    wide = "x" * 400
    stub.next_frames = [uses(("wiki_write", {"topic": "wide", "content": f"```\n{wide}\n```"})), says("No.")]
    answer = ask(page, "And this.")
    approval = answer.get_by_test_id("approval")
    expect(approval).to_be_visible(timeout=WAIT_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    approval.get_by_role("button", name="Edit").focus()
    page.keyboard.press("Enter")
    expect(approval.get_by_label("Topic")).to_be_focused()
    page.keyboard.press("Escape")
    expect(approval.get_by_role("button", name="Edit")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(approval.get_by_role("button", name="Deny")).to_be_focused()
    page.keyboard.press("Enter")
    expect(answer.get_by_test_id("tool")).to_contain_text("you denied", timeout=WAIT_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert one.url in page.url


def test_what_a_flagged_message_says_of_its_writer_is_kept_only_when_approved(
    page: Page, one: Installation, stub: Stub, key: str
) -> None:
    stub.next_frames = [says("It tells a model how to answer.")]
    page.goto(one.url)
    answer = ask(page, SUSPICIOUS)
    offer = answer.get_by_test_id("offer")
    expect(offer).to_contain_text("I live in Bergen.", timeout=WAIT_MS)
    assert "I live in Bergen." not in remembered(one, key)
    offer.get_by_role("button", name="Approve").click()
    expect(offer).to_contain_text("Remembered", timeout=WAIT_MS)
    assert "I live in Bergen." in remembered(one, key)
