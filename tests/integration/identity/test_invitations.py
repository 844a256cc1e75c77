"""Invitations: a link that is good once, gives no more than its sender has, and says nothing to who guesses."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from aibox.core.errors import BootRefused
from aibox.core.mail import Mail
from aibox.core.mail import Settings as MailSettings
from aibox.identity import MfaSettings, PasswordSettings, Settings
from tests.conftest import Kernel
from tests.installation import free_port
from tests.integration.identity.house import BASE, PASSWORD, House, opened
from tests.integration.identity.test_factors import totp_code

INVITATIONS = "/v1/admin/invitations"
GRACE = {"email": "Grace@Example.org", "roles": ["member"]}


async def invited(house: House, by: str = "ada", **changes: Any) -> dict[str, Any]:
    """What the sender sees of a new invitation."""
    async with house.browser(by) as page:
        answer = await page.post(INVITATIONS, json={**GRACE, **changes})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def token_of(made: dict[str, Any]) -> str:
    token: str = made["link"].partition("#token=")[2]
    return token


async def accept(house: House, token: str, **changes: str) -> httpx.Response:
    async with house.http() as http:
        body = {"token": token, "name": "Grace Hopper", "password": PASSWORD, **changes}
        return await http.post("/v1/auth/invitation/accept", json=body)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_link_is_opened_accepted_and_signs_in(house: House) -> None:
    await house.person("ada", "owner")
    made = await invited(house)
    assert made["link"].startswith(f"{BASE}/invite#token=")
    assert made["is_sent"] is False, "there is no mail server"
    async with house.http(Origin=BASE) as http:
        welcome = await http.post("/v1/auth/invitation", json={"token": token_of(made)})
        body = {"token": token_of(made), "name": "Grace Hopper", "password": PASSWORD}
        answer = await http.post("/v1/auth/invitation/accept", json=body)
        me = (await http.get("/v1/auth/me")).json()
    assert (welcome.json()["email"], welcome.json()["tenant"]) == ("grace@example.org", "AIBox")
    assert answer.status_code == 200
    assert (me["user"]["email"], me["roles"]) == ("grace@example.org", ["member"])


async def test_l03_a_link_works_once_and_of_ten_at_once_one_makes_the_account(house: House) -> None:
    await house.person("ada", "owner")
    made = await invited(house)
    answers = await asyncio.gather(*(accept(house, token_of(made)) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 9
    assert code_of(await accept(house, token_of(made))) == (401, "challenge_invalid")
    people = await house.identity.users(house.console)
    assert [one.email for one in people] == ["ada@example.org", "grace@example.org"]


async def test_l03_wrong_revoked_expired_and_replaced_links_are_refused_in_the_same_words(house: House) -> None:
    await house.person("ada", "owner")
    revoked, replaced = await invited(house, email="a@example.org"), await invited(house, email="b@example.org")
    expired, _ = await invited(house, email="c@example.org"), await invited(house, email="b@example.org")
    async with house.browser() as page:
        assert (await page.delete(f"{INVITATIONS}/{revoked['invitation']['id']}")).status_code == 204
    await _execute(
        house, "UPDATE identity.invitation SET expires_at = now() WHERE id = $1::uuid", expired["invitation"]["id"]
    )
    tokens = ["nonsense", "", "\x00", *(token_of(made) for made in (revoked, replaced, expired))]
    async with house.http() as http:
        shown = [await http.post("/v1/auth/invitation", json={"token": token}) for token in tokens]
    used = [await accept(house, token) for token in tokens]
    said = {(a.status_code, a.json()["code"], a.json()["error"]) for a in (*shown, *used)}
    assert said == {(401, "challenge_invalid", "This link was used, has expired, or is not complete.")}


async def test_l02_who_tries_many_links_is_slowed_down(house: House) -> None:
    async with house.http() as http:
        answers = [await http.post("/v1/auth/invitation", json={"token": f"t{n}"}) for n in range(51)]
    assert [answer.status_code for answer in answers[:50]] == [401] * 50
    assert answers[50].status_code == 429
    assert int(answers[50].headers["retry-after"]) > 0


async def test_an_office_that_opens_good_links_is_not_slowed_down(house: House) -> None:
    await house.person("ada", "owner")
    made = await invited(house)
    async with house.http() as http:
        answers = [await http.post("/v1/auth/invitation", json={"token": token_of(made)}) for _ in range(60)]
    assert {answer.status_code for answer in answers} == {200}


async def test_a_password_that_is_refused_leaves_the_link_good(house: House) -> None:
    await house.person("ada", "owner")
    made = await invited(house)
    assert code_of(await accept(house, token_of(made), password="short")) == (422, "validation_failed")
    assert code_of(await accept(house, token_of(made), name=" ")) == (422, "validation_failed")
    assert (await accept(house, token_of(made))).status_code == 200


async def test_p10_nobody_invites_to_more_than_they_have(house: House) -> None:
    await house.person("ada", "admin")
    await house.person("bob", "member")
    async with house.browser("ada") as page:
        assert code_of(await page.post(INVITATIONS, json={**GRACE, "roles": ["owner"]})) == (403, "forbidden")
        assert code_of(await page.post(INVITATIONS, json={**GRACE, "roles": ["platform_admin"]})) == (
            422,
            "validation_failed",
        )
    async with house.browser("bob") as page:
        assert code_of(await page.post(INVITATIONS, json=GRACE)) == (403, "forbidden")
        assert code_of(await page.get(INVITATIONS)) == (403, "forbidden")


async def test_p10_a_link_gives_nothing_that_its_sender_has_lost_since(house: House) -> None:
    await house.person("ada", "owner")
    bob = await house.person("bob", "admin")
    demoted, suspended = (
        await invited(house, "bob", roles=["admin"]),
        await invited(house, "bob", email="x@example.org"),
    )
    await house.identity.set_roles(house.console, bob.id, ["member"])
    assert code_of(await accept(house, token_of(demoted))) == (401, "challenge_invalid")
    await house.identity.set_roles(house.console, bob.id, ["admin"])
    await house.identity.set_status(house.console, bob.id, "suspended")
    assert code_of(await accept(house, token_of(suspended))) == (401, "challenge_invalid")


async def test_p10_an_admin_does_not_take_back_an_owners_invitation_of_an_owner(house: House) -> None:
    await house.person("ada", "owner")
    await house.person("bob", "admin")
    made = await invited(house, roles=["owner"])
    async with house.browser("bob") as page:
        assert code_of(await page.delete(f"{INVITATIONS}/{made['invitation']['id']}")) == (403, "forbidden")


async def test_open_invitations_are_listed_without_their_links(house: House) -> None:
    await house.person("ada", "owner")
    first, second = await invited(house, email="a@example.org"), await invited(house, email="b@example.org", days=30)
    await accept(house, token_of(first))
    async with house.browser() as page:
        listed = (await page.get(INVITATIONS)).json()["invitations"]
    assert listed == [second["invitation"]]
    assert datetime.fromisoformat(listed[0]["expires_at"]) - datetime.now(UTC) > timedelta(days=29)


@pytest.mark.parametrize(
    ("change", "field"),
    [({"email": "nobody"}, "email"), ({"days": 0}, "days"), ({"days": 31}, "days"), ({"roles": ["root"]}, "roles")],
)
async def test_an_invitation_that_cannot_be_is_refused_by_its_field(
    house: House, change: dict[str, Any], field: str
) -> None:
    await house.person("ada", "owner")
    async with house.browser() as page:
        answer = await page.post(INVITATIONS, json={**GRACE, **change})
    assert answer.status_code == 422
    assert [entry["field"] for entry in answer.json()["fields"]] == [field]


async def test_who_is_here_already_is_not_invited(house: House) -> None:
    await house.person("ada", "owner")
    await house.person("grace")
    async with house.browser() as page:
        assert code_of(await page.post(INVITATIONS, json=GRACE)) == (409, "conflict")


async def test_only_the_digest_is_stored_and_the_address_goes_with_the_invitation(house: House) -> None:
    await house.person("ada", "owner")
    made = await invited(house)
    await accept(house, token_of(made))
    rows = await house.kernel.connections.system.fetch("SELECT i::text FROM identity.invitation i")
    logged = await house.kernel.connections.system.fetch("SELECT data FROM core.event")
    stored = "".join(row[0] for row in rows)
    assert token_of(made) not in stored
    assert "grace" not in stored
    assert not any(b"grace" in row["data"].lower() or token_of(made).encode() in row["data"] for row in logged)
    assert [kind for kind, _ in await house.events("admin.invitation.")] == [
        "admin.invitation.created",
        "admin.invitation.accepted",
    ]


async def test_where_the_policy_asks_the_second_factor_is_enrolled_before_the_first_token(kernel: Kernel) -> None:
    async with opened(kernel) as easy:
        await easy.person("ada", "owner")
        made = await invited(easy)
    async with opened(kernel, settings=Settings(mfa=MfaSettings(policy="required"))) as strict:
        answer = await accept(strict, token_of(made))
        assert answer.status_code == 202
        pending = answer.json()
        async with strict.http() as http:
            proof = {"challenge_token": pending["challenge_token"], "method": "totp"}
            code = totp_code(pending["enrolment"]["secret"])
            done = await http.post("/v1/auth/login/2fa", json={**proof, "code": code})
    assert done.status_code == 200
    assert "access_token" in done.json()


async def test_l11_a_link_makes_no_password_where_passwords_are_switched_off(kernel: Kernel) -> None:
    async with opened(kernel) as easy:
        await easy.person("ada", "owner")
        made = await invited(easy)
    settings = Settings(
        password=PasswordSettings(login=False), issuer="https://id.example/realms/x", client_secret="x" * 20
    )
    async with opened(kernel, settings=settings) as strict:
        assert code_of(await accept(strict, token_of(made))) == (403, "method_disabled")


async def test_l12_a_page_of_another_site_cannot_accept_for_its_visitor(house: House) -> None:
    await house.person("ada", "owner")
    made = await invited(house)
    async with house.http(Origin="https://evil.example") as http:
        body = {"token": token_of(made), "name": "Eve", "password": PASSWORD}
        for path in ("accept", "sso"):
            sent = body if path == "accept" else {"token": token_of(made), "idp": "corp"}
            assert code_of(await http.post(f"/v1/auth/invitation/{path}", json=sent)) == (403, "csrf_failed")


# The mail


class Inbox:
    """A real SMTP server with STARTTLS and a login, and what it was given."""

    def __init__(self, folder: Path) -> None:
        self.messages: list[Message] = []
        self.port = free_port()
        self.certificate = folder / "cert.pem"
        key = folder / "key.pem"
        _write_certificate(self.certificate, key)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(self.certificate, key)
        self.controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            tls_context=tls,
            authenticator=_authenticated,
            auth_required=True,
            require_starttls=True,
        )

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.messages.append(message_from_bytes(envelope.content))
        return "250 OK"

    def mail(self, *, password: str = "p", trusted: bool = True) -> Mail:
        settings = MailSettings(
            host="127.0.0.1", port=self.port, user="u", password=password, sender="aibox@example.org"
        )
        return Mail(settings, tls=ssl.create_default_context(cafile=self.certificate) if trusted else None)


def _authenticated(server: Any, session: Any, envelope: Any, mechanism: Any, data: Any) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"u", b"p"))


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncGenerator[Inbox]:
    inbox = Inbox(tmp_path)
    inbox.controller.start()
    try:
        yield inbox
    finally:
        inbox.controller.stop()


async def test_an_invitation_is_sent_by_mail_and_its_link_works(kernel: Kernel, inbox: Inbox) -> None:
    async with opened(kernel, mail=inbox.mail()) as house:
        await house.person("ada", "owner")
        made = await invited(house)
        (message,) = inbox.messages
        text = message.get_payload(decode=True).decode()  # type: ignore[union-attr]
        assert made["is_sent"] is True
        assert message["To"] == "grace@example.org"
        assert message["From"] == "AIBox <aibox@example.org>"
        assert made["link"] in text
        assert (await accept(house, token_of(made))).status_code == 200


@pytest.mark.parametrize("flaw", [{"password": "wrong"}, {"trusted": False}])
async def test_mail_that_does_not_go_out_leaves_the_link_to_copy(
    kernel: Kernel, inbox: Inbox, flaw: dict[str, Any]
) -> None:
    """A wrong login, and a server whose certificate nobody vouches for: it is given nothing."""
    async with opened(kernel, mail=inbox.mail(**flaw)) as house:
        await house.person("ada", "owner")
        made = await invited(house)
        assert made["is_sent"] is False
        assert (await accept(house, token_of(made))).status_code == 200
    assert inbox.messages == []


@pytest.mark.parametrize("to", ["a@b\r\nBcc: eve@example.org", "a@b>, <eve@example.org", "ü@b", "@", ""])
async def test_no_address_adds_a_header_or_a_recipient(inbox: Inbox, to: str) -> None:
    assert await inbox.mail().send(to, subject="s", text="t") is False
    assert inbox.messages == []


@pytest.mark.parametrize(
    "settings",
    [
        MailSettings(host="mail.example"),
        MailSettings(host="mail.example", sender="a@b", user="u", security="none"),
    ],
)
def test_a_mail_server_that_cannot_be_used_does_not_start(settings: MailSettings) -> None:
    with pytest.raises(BootRefused):
        Mail(settings)


def _write_certificate(certificate: Path, key_file: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


async def _execute(house: House, statement: str, *arguments: object) -> None:
    owner = await asyncpg.connect(house.kernel.urls.owner)
    await owner.execute(statement, *arguments)
    await owner.close()


@pytest.mark.parametrize(
    ("roles", "field", "error"),
    [
        (None, "roles", "Expected `array`, got `null`"),
        (30029202, "roles", "Expected `array`, got `int`"),
        ([None], "roles[0]", "Expected `str`, got `null`"),
    ],
)
async def test_a_wrong_value_of_a_member_that_is_called_as_a_dependency_is_the_callers(
    house: House, roles: object, field: str, error: str
) -> None:
    """Litestar calls it a bug of ours, for `roles` is also the name of a service."""
    await house.person("ada", "owner")
    async with house.browser("ada") as page:
        answer = await page.post(INVITATIONS, json={**GRACE, "roles": roles})
    assert code_of(answer) == (422, "validation_failed")
    assert answer.json()["fields"] == [{"field": field, "error": error}]
