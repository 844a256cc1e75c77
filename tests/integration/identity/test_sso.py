"""Signing in with a real OpenID provider (npm `oidc-provider`): code and PKCE, key rotation, and what L09 tries."""

import base64
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from msgspec.structs import replace

import tests
from aibox.identity import Issuer, MfaSettings, Settings
from tests.conftest import Kernel
from tests.installation import free_port
from tests.integration.identity.house import BASE, House, opened

FOLDER = Path(tests.__file__).parent / "oidc"
CALLBACK = f"{BASE}/v1/auth/callback"


@pytest.fixture(scope="module")
def provider() -> Generator[str]:
    """The provider's address; its library is installed beside it when it is missing."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("Node.js is not installed, in which the OpenID provider is written")
    if not (FOLDER / "node_modules" / "oidc-provider").is_dir():
        command = ["npm", "install", "--no-save", "--silent", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=110)
        assert done.returncode == 0, done.stdout + done.stderr
    port = free_port()
    process = subprocess.Popen(
        ["node", "provider.mjs", str(port), CALLBACK],
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "NODE_NO_WARNINGS": "1"},
    )
    assert process.stdout is not None
    assert any("READY" in line for line in process.stdout)
    threading.Thread(target=process.stdout.read, daemon=True).start()  # it must not block on a full pipe
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


def row(provider: str) -> Issuer:
    return Issuer(
        iss=provider,
        alias="corp",
        name="Corporate",
        jwks_url=f"{provider}/jwks",
        authorization_url=f"{provider}/auth",
        token_url=f"{provider}/token",
        client_secret="a-secret-of-the-tests-that-is-long-enough",
        scopes="openid email profile groups",
        typ="at+jwt",
        groups={"members": "member"},
    )


@pytest.fixture
async def house(kernel: Kernel, provider: str) -> AsyncGenerator[House]:
    async with opened(kernel, settings=Settings(additional_issuers=(row(provider),))) as house:
        yield house


async def consented(address: str, login: str = "alice") -> str:
    """What a person does at the provider: signs in and consents. The address it sends them back to."""
    async with httpx.AsyncClient(follow_redirects=False) as browser:
        answer = await browser.get(address)
        while True:
            if answer.is_redirect:
                target = str(answer.url.join(answer.headers["location"]))
                if target.startswith(CALLBACK):
                    return target
                answer = await browser.get(target)
                continue
            assert answer.status_code == 200, answer.text
            action = html.unescape(re.findall(r'<form[^>]*action="([^"]+)"', answer.text)[0])
            prompt = dict(re.findall(r'name="(prompt)" value="([^"]+)"', answer.text))
            form = {**prompt, **({"login": login, "password": "x"} if prompt.get("prompt") == "login" else {})}
            answer = await browser.post(answer.url.join(action), data=form)


async def begun(http: httpx.AsyncClient, redirect: str = "/c/1") -> str:
    """Begin in a browser of ours; the provider's address."""
    answer = await http.get("/v1/auth/login", params={"idp": "corp", "redirect": redirect})
    assert answer.status_code == 302, answer.text
    return str(answer.headers["location"])


async def test_a_browser_signs_in_at_the_provider_and_gets_our_cookie_and_no_token(house: House) -> None:
    async with house.http() as http:
        address = await begun(http)
        assert {"code_challenge_method": ["S256"], "response_type": ["code"]}.items() <= parse_qs(
            urlsplit(address).query
        ).items()
        answer = await http.get(await consented(address))
        me = (await http.get("/v1/auth/me")).json()
    cookies = answer.headers.get_list("set-cookie")
    assert answer.status_code == 200, answer.text
    assert 'content="0;url=/c/1"' in answer.text
    assert [cookie.partition("=")[0] for cookie in cookies] == ["aibox-sso", "aibox"]
    assert "SameSite=Strict" in cookies[1]
    assert "eyJ" not in answer.text + str(cookies)
    assert me["user"]["email"] == "alice@id.example"
    assert me["roles"] == ["member"]
    assert [body["method"] for _, body in await house.events("auth.login")] == ["oidc"]


async def test_the_sign_in_goes_on_after_the_provider_rotated_its_keys(house: House, provider: str) -> None:
    async with house.http() as http:
        await http.get(await consented(await begun(http)))
    async with httpx.AsyncClient() as operator, house.http() as http:
        await operator.get(f"{provider}/_rotate?keep=no")
        answer = await http.get(await consented(await begun(http)))
        assert answer.status_code == 200, answer.text
        assert (await http.get("/v1/auth/me")).status_code == 200


async def test_an_access_token_of_the_provider_opens_the_api_and_its_id_token_does_not(
    house: House, provider: str
) -> None:
    """Another client, such as a script, makes its own exchange and brings what the provider gave it."""
    verifier = "a-verifier-of-the-tests-with-at-least-43-characters"
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    async with house.http() as http, httpx.AsyncClient() as script:
        address = re.sub(r"code_challenge=[^&]*", f"code_challenge={challenge}", await begun(http))
        code = httpx.URL(await consented(address)).params["code"]
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": verifier,
        }
        secret = ("aibox-frontend", "a-secret-of-the-tests-that-is-long-enough")
        tokens = (await script.post(f"{provider}/token", data=form, auth=secret)).json()
        opened_by = await http.get("/v1/whoami", headers={"Authorization": f"Bearer {tokens['access_token']}"})
        refused = await http.get("/v1/whoami", headers={"Authorization": f"Bearer {tokens['id_token']}"})
    assert (opened_by.status_code, opened_by.json()["roles"]) == (200, ["member"])
    assert (refused.status_code, refused.json()["code"]) == (401, "wrong_token_type")


@pytest.mark.parametrize(
    "redirect", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "/a\nb"]
)
async def test_l09_an_open_redirect_is_refused(house: House, redirect: str) -> None:
    async with house.http() as http:
        answer = await http.get("/v1/auth/login", params={"idp": "corp", "redirect": redirect})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "change",
    [
        {"state": ""},
        {"state": "x" * 43},
        {"iss": "https://evil.example"},
        {"iss": ""},
        {"code": ""},
        {"code": "stolen"},
    ],
)
async def test_l09_an_answer_that_is_not_the_one_we_wait_for_is_refused(house: House, change: dict[str, str]) -> None:
    async with house.http() as http:
        target = httpx.URL(await consented(await begun(http)))
        answer = await http.get("/v1/auth/callback", params={**target.params, **change})
        assert (await http.get("/v1/auth/me")).status_code == 401
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_l09_without_the_cookie_in_another_browser_or_twice_it_is_refused(house: House) -> None:
    async with house.http() as http, house.http() as thief, house.http() as victim:
        target = await consented(await begun(http))
        assert (await thief.get(target)).json()["code"] == "invalid_request"
        await begun(victim)
        assert (await victim.get(target)).json()["code"] == "invalid_request"
        assert (await http.get(target)).status_code == 200
        assert (await http.get(target)).json()["code"] == "invalid_request"


async def test_l09_a_parameter_twice_is_refused(house: House) -> None:
    async with house.http() as http:
        target = await consented(await begun(http))
        answer = await http.get(f"{target}&state=other")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_l09_an_id_token_with_another_nonce_is_refused(house: House) -> None:
    async with house.http() as http:
        address = await begun(http)
        nonce = parse_qs(urlsplit(address).query)["nonce"][0]
        answer = await http.get(await consented(address.replace(nonce, "another")))
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


async def test_l09_the_provider_refuses_a_flow_whose_pkce_was_taken_out(house: House) -> None:
    async with house.http() as http:
        address = re.sub(r"&code_challenge(_method)?=[^&]*", "", await begun(http))
        answer = await http.get(await consented(address))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_an_unknown_service_is_refused_and_the_offered_ones_are_listed(house: House) -> None:
    async with house.http() as http:
        assert (await http.get("/v1/auth/login", params={"idp": "nope"})).json()["code"] == "invalid_request"
        assert (await http.get("/v1/auth/idps")).json() == [{"alias": "corp", "displayName": "Corporate"}]


async def test_a_provider_that_is_down_is_503(kernel: Kernel, provider: str) -> None:
    dead = replace(row(provider), token_url=f"http://127.0.0.1:{free_port()}/token")
    async with opened(kernel, settings=Settings(additional_issuers=(dead,))) as house, house.http() as http:
        answer = await http.get(await consented(await begun(http)))
    assert (answer.status_code, answer.json()["code"]) == (503, "idp_unavailable")


async def test_where_the_policy_asks_for_a_second_factor_the_page_gets_a_challenge_and_no_cookie(
    kernel: Kernel, provider: str
) -> None:
    settings = Settings(additional_issuers=(row(provider),), mfa=MfaSettings(policy="required"))
    async with opened(kernel, settings=settings) as house, house.http() as http:
        answer = await http.get(await consented(await begun(http)))
        address = urlsplit(html.unescape(re.findall(r'href="([^"]+)"', answer.text)[0]))
        assert (address.path, parse_qs(address.query)) == ("/sign-in", {"next": ["/c/1"]})
        pending = json.loads(parse_qs(address.fragment)["pending"][0])
        assert pending["methods"] == ["totp"]
        assert pending["enrolment"]["uri"].startswith("otpauth://totp/")
        assert [cookie.partition("=")[0] for cookie in answer.headers.get_list("set-cookie")] == ["aibox-sso"]
        assert (await http.get("/v1/auth/me")).status_code == 401
