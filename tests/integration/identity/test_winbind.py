"""NTLM against the real winbindd, over real TLS: the server as we ship it, behind a front that ends TLS."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx
import pytest
from msgspec import Struct
from playwright.async_api import HttpCredentials, async_playwright, expect

from aibox.core.connections import Urls
from aibox.identity import NtlmSettings, Settings
from aibox.identity.winbind import Winbind
from tests import windows
from tests.e2e.conftest import CHROMIUM, FLAGS
from tests.installation import free_port
from tests.samba import ACCOUNTS, PASSWORD, winbind
from tests.system import served
from tests.windows import Certificate, Windows, second_of, send

HOST = "localhost"
ALICE = f"FILESRV\\{ACCOUNTS[0]}"


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    with winbind(tmp_path_factory.mktemp("samba")) as path:
        yield path


class Front(Struct, frozen=True):
    """AIBox behind TLS at `url`."""

    url: str
    certificate: Certificate

    def http(self) -> httpx.AsyncClient:
        """A client with a connection of its own."""
        trusted = ssl.create_default_context(cafile=str(self.certificate.path))
        return httpx.AsyncClient(base_url=self.url, verify=trusted, timeout=30)

    def windows(self, account: str = ALICE, password: str = PASSWORD, *, host: str = HOST) -> Windows:
        return Windows(account, password, host=host, binding=self.certificate.binding)


@pytest.fixture
async def front(urls: Urls, tmp_path: Path, configuration: Path) -> AsyncGenerator[Front]:
    certificate, port = windows.certificate(tmp_path, HOST), free_port()
    ntlm = NtlmSettings(enabled=True, certificate=str(certificate.path), verifier=f"winbind:{configuration}")
    url = f"https://{HOST}:{port}"
    async with (
        served(urls, tmp_path / "data", public_url=url, auth=Settings(ntlm=ntlm)) as house,
        _ending_tls(port, certificate, httpx.URL(house.url).port or 0),
    ):
        yield Front(url, certificate)


@contextlib.asynccontextmanager
async def _ending_tls(port: int, certificate: Certificate, target: int) -> AsyncGenerator[None]:
    """What stands in front of AIBox: ends TLS, and hands each connection on as one of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.path, certificate.key)

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_behind = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(_copy(reader, to_behind), _copy(behind, writer))

    async with await asyncio.start_server(hand_on, "127.0.0.1", port, ssl=context):
        yield


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


async def test_a_windows_account_signs_in_over_tls(front: Front) -> None:
    async with front.http() as http:
        answer = await front.windows().sign_in(http)
        assert answer.status_code == 200, answer.text
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        me = (await http.get("/v1/auth/me", headers=bearer)).json()
        by_password = await http.post("/egauth/login", json={"username": ACCOUNTS[0], "password": PASSWORD})
        bearer = {"Authorization": f"Bearer {by_password.json()['access_token']}"}
        assert (await http.get("/v1/auth/me", headers=bearer)).json()["user"] == me["user"]
    assert (me["user"]["displayName"], me["user"]["handle"]) == (ALICE, ACCOUNTS[0])


async def test_a_person_clicks_on_sign_in_with_windows_in_a_real_browser(front: Front) -> None:
    """Chromium makes the messages itself: its channel binding, its target name, its integrity code."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for password, outcome in (("wrong password", "The Windows account was refused"), (PASSWORD, "Hello")):
            account = HttpCredentials(username=ALICE, password=password)
            page = await browser.new_page(base_url=front.url, ignore_https_errors=True, http_credentials=account)
            await page.goto("/sign-in")
            await page.get_by_role("button", name="Sign in with Windows").click()
            await expect(page.get_by_text(outcome).first).to_be_visible(timeout=30_000)
        me = await (await page.request.get("/v1/auth/me")).json()
        await browser.close()
    assert me["user"]["displayName"] == ALICE


async def test_l07_what_is_old_unbound_relayed_replayed_or_wrong_is_refused(
    front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attacker = windows.certificate(tmp_path, HOST, "attacker")
    async with front.http() as http:
        right = front.windows()
        third = right.third(second_of(await send(http, right.first())))
        assert (await send(http, third)).status_code == 200
        answers = [
            await send(http, third),
            await Windows(ALICE, PASSWORD, host=HOST).sign_in(http),
            await Windows(ALICE, PASSWORD, host=HOST, binding=attacker.binding).sign_in(http),
            await front.windows(host="files.corp.test").sign_in(http),
            await front.windows(password="wrong password").sign_in(http),
        ]
        monkeypatch.setenv("LM_COMPAT_LEVEL", "2")
        old = front.windows()
        first = windows.with_flags(old.first(), 12, put=0x80000)
        answers.append(await send(http, old.third(second_of(await send(http, first)))))
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(401, "ntlm_refused")] * 6


async def test_l07_a_challenge_is_of_the_tls_connection_that_asked_for_it(front: Front) -> None:
    client = front.windows()
    async with front.http() as http, front.http() as other:
        third = client.third(second_of(await send(http, client.first())))
        answer = await send(other, third)
    assert (answer.status_code, answer.json()["code"]) == (401, "ntlm_refused")


async def test_winbind_tells_people_from_what_is_not_there(configuration: Path) -> None:
    verifier = Winbind(f"winbind:{configuration}")
    assert (await verifier.target()).domain == "FILESRV"
    first = await verifier.password("FILESRV", ACCOUNTS[0], PASSWORD)
    second = await verifier.password("FILESRV", ACCOUNTS[1].upper(), PASSWORD)
    assert first is not None
    assert second is not None
    assert first.sid.startswith("S-1-5-21-")
    assert first.sid != second.sid
    for domain, account, password in (
        ("FILESRV", ACCOUNTS[0], "wrong password"),
        ("FILESRV", "nobody99", PASSWORD),
        ("ELSEWHERE", ACCOUNTS[0], PASSWORD),
    ):
        assert await verifier.password(domain, account, password) is None
