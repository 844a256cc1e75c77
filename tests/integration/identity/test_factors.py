"""Second factors, step-up, paired devices and approvals over HTTP: the rows L03 to L08 and T27."""

import asyncio
import base64
import time
from typing import Any

import asyncpg
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from aibox.identity import MfaSettings, PasswordSettings, Settings, User
from aibox.identity import totp as codes
from tests.conftest import Kernel
from tests.integration.identity.authenticator import USER_PRESENT, Authenticator
from tests.integration.identity.house import BASE, PASSWORD, TENANT, House, opened

LOGIN = {"username": "ada@example.org", "password": PASSWORD}


def totp_code(secret: str, *, steps: int = 0) -> str:
    """The code of an authenticator app, some steps from now."""
    raw = base64.b32decode(secret + "=" * (-len(secret) % 8))
    return codes.code(raw, int(time.time()) // codes.STEP_SECONDS + steps)


async def early_in_a_step() -> None:
    """Return when at least half of a step is left: for who counts steps from now several times."""
    left = codes.STEP_SECONDS - time.time() % codes.STEP_SECONDS
    if left < codes.STEP_SECONDS / 2:
        await asyncio.sleep(left)


async def enrolled_app(page: httpx.AsyncClient) -> tuple[str, list[str]]:
    """(secret, recovery codes) of an app enrolled in a signed-in page, by the code of the step before."""
    secret = (await page.post("/v1/auth/2fa/totp")).json()["secret"]
    answer = await page.post("/v1/auth/2fa/totp/confirm", json={"code": totp_code(secret, steps=-1)})
    assert answer.status_code == 200, answer.text
    return secret, answer.json()["recovery_codes"]


async def enrolled_passkey(page: httpx.AsyncClient) -> Authenticator:
    authenticator = Authenticator()
    options = (await page.post("/v1/auth/2fa/passkeys/options")).json()
    credential = authenticator.create(options, origin=BASE)
    answer = await page.post("/v1/auth/2fa/passkeys", json={"name": "laptop", "credential": credential})
    assert answer.status_code == 201, answer.text
    return authenticator


async def challenged(http: httpx.AsyncClient) -> dict[str, Any]:
    """The pending sign-in after the right password."""
    answer = await http.post("/v1/auth/login", json=LOGIN)
    assert answer.status_code == 202, answer.text
    pending: dict[str, Any] = answer.json()
    return pending


async def second(http: httpx.AsyncClient, pending: dict[str, Any], method: str, **proof: Any) -> httpx.Response:
    body = {"challenge_token": pending["challenge_token"], "method": method, **proof}
    return await http.post("/v1/auth/login/2fa", json=body)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_with_an_app_enrolled_the_password_gets_a_challenge_and_no_token(house: House) -> None:
    await house.person()
    async with house.browser() as page, house.http() as http:
        secret, _ = await enrolled_app(page)
        pending = await challenged(http)
        assert set(pending) == {"challenge_id", "challenge_token", "methods", "expires_in", "status"}
        assert (pending["methods"], pending["expires_in"], pending["status"]) == (["totp", "recovery"], 120, "pending")
        answer = await second(http, pending, "totp", code=totp_code(secret))
        assert answer.status_code == 200
        token = answer.json()["access_token"]
        assert (await http.get("/v1/auth/verify", headers={"Authorization": f"Bearer {token}"})).status_code == 204


async def test_a_browser_gets_its_cookie_after_the_second_factor_only(house: House) -> None:
    await house.person()
    async with house.browser() as page, house.http(Origin=BASE) as http:
        secret, _ = await enrolled_app(page)
        pending = await challenged(http)
        assert "aibox" not in http.cookies
        answer = await second(http, pending, "totp", code=totp_code(secret))
        assert set(answer.json()) == {"user", "csrfToken"}
        assert (await http.get("/v1/auth/me")).status_code == 200


async def test_each_code_counts_once_and_only_one_step_either_side(house: House) -> None:
    await house.person()
    await early_in_a_step()
    async with house.browser() as page, house.http() as http:
        secret, _ = await enrolled_app(page)
        for steps in (-1, -2, 2):  # the first was spent at the enrolment
            answer = await second(http, await challenged(http), "totp", code=totp_code(secret, steps=steps))
            assert code_of(answer) == (401, "challenge_invalid")
        code = totp_code(secret, steps=1)
        assert (await second(http, await challenged(http), "totp", code=code)).status_code == 200
        assert code_of(await second(http, await challenged(http), "totp", code=code)) == (401, "challenge_invalid")


async def test_a_recovery_code_works_once_however_it_is_typed(house: House) -> None:
    await house.person()
    async with house.browser() as page, house.http() as http:
        _, recovery = await enrolled_app(page)
        assert len(set(recovery)) == 10
        typed = recovery[0].lower().replace("-", " ")
        assert (await second(http, await challenged(http), "recovery", code=typed)).status_code == 200
        again = await second(http, await challenged(http), "recovery", code=recovery[0])
        assert code_of(again) == (401, "challenge_invalid")
        assert (await page.get("/v1/auth/2fa")).json()["recovery_codes_left"] == 9
        await page.post("/v1/auth/2fa/recovery-codes")
        void = await second(http, await challenged(http), "recovery", code=recovery[1])
        assert code_of(void) == (401, "challenge_invalid")


async def test_l03_a_challenge_is_spent_by_its_use_and_of_ten_at_once_one_signs_in(house: House) -> None:
    await house.person()
    async with house.browser() as page, house.http() as http:
        _, recovery = await enrolled_app(page)
        pending = await challenged(http)
        tries = [second(http, pending, "recovery", code=code) for code in recovery]
        answers = await asyncio.gather(*tries)
        assert sorted(answer.status_code for answer in answers).count(200) == 1
        assert code_of(await second(http, pending, "recovery", code=recovery[9])) == (401, "challenge_invalid")


async def test_l03_a_challenge_is_bound_to_its_client_and_ends_after_five_tries(house: House) -> None:
    await house.person()
    async with house.browser() as page, house.http() as http, house.http(**{"User-Agent": "thief"}) as thief:
        secret, _ = await enrolled_app(page)
        pending = await challenged(http)
        stolen = await second(thief, pending, "totp", code=totp_code(secret))
        assert code_of(stolen) == (401, "challenge_invalid")
        for _ in range(5):
            assert code_of(await second(http, pending, "totp", code="000000")) == (401, "challenge_invalid")
        late = await second(http, pending, "totp", code=totp_code(secret))
        assert code_of(late) == (401, "challenge_invalid")


async def test_l03_a_made_up_challenge_or_a_method_not_offered_is_refused(house: House) -> None:
    await house.person()
    async with house.browser() as page, house.http() as http:
        await enrolled_app(page)
        pending = await challenged(http)
        assert code_of(await second(http, {"challenge_token": "x" * 43}, "totp", code="1")) == (
            401,
            "challenge_invalid",
        )
        for method in ("push", "webauthn"):
            assert code_of(await second(http, pending, method)) == (401, "challenge_invalid")


async def test_the_tenth_wrong_code_over_all_challenges_closes_the_second_factor_for_a_while(house: House) -> None:
    await house.person()
    async with house.browser() as page, house.http() as http:
        await enrolled_app(page)
        answers = []
        for _ in range(3):
            pending = await challenged(http)
            answers += [await second(http, pending, "totp", code="000000") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401] * 9 + [429] * 3  # the enrolment's try counts too
    assert answers[-1].json()["code"] == "rate_limited"
    assert int(answers[-1].headers["retry-after"]) > 0


# --- policy ---


@pytest.mark.parametrize(
    ("policy", "role", "status"),
    [
        ("off", "owner", 200),
        ("optional", "owner", 200),
        ("admins", "member", 200),
        ("admins", "owner", 202),
        ("admins", "admin", 202),
        ("required", "member", 202),
    ],
)
async def test_the_policy_says_who_needs_a_second_factor(kernel: Kernel, policy: Any, role: str, status: int) -> None:
    async with opened(kernel, settings=Settings(mfa=MfaSettings(policy=policy))) as house, house.http() as http:
        await house.person("ada", role)
        assert (await http.post("/v1/auth/login", json=LOGIN)).status_code == status


async def test_who_needs_one_and_has_none_enrols_it_before_the_first_token(kernel: Kernel) -> None:
    settings = Settings(mfa=MfaSettings(policy="required"))
    async with opened(kernel, settings=settings) as house, house.http() as http:
        await house.person()
        pending = await challenged(http)
        assert pending["methods"] == ["totp"]
        assert pending["enrolment"]["uri"].startswith("otpauth://totp/AIBox:ada%40example.org?secret=")
        wrong = await second(http, pending, "totp", code="000000")
        assert code_of(wrong) == (401, "challenge_invalid")
        answer = await second(http, pending, "totp", code=totp_code(pending["enrolment"]["secret"], steps=-1))
        assert answer.status_code == 200
        assert len(answer.json()["recovery_codes"]) == 10
        assert "enrolment" not in await challenged(http)
        assert [body["method"] for _, body in await house.events("auth.mfa_enrolled")] == ["totp", "recovery"]


async def test_l11_a_password_is_no_way_in_where_it_is_switched_off(kernel: Kernel) -> None:
    settings = Settings(issuer="https://id.example/realms/aibox", password=PasswordSettings(login=False))
    async with opened(kernel, settings=settings) as house, house.http() as http:
        await house.person()
        assert code_of(await http.post("/v1/auth/login", json=LOGIN)) == (403, "method_disabled")
        assert (await http.get("/v1/auth/config")).json()["passwordLoginEnabled"] is False


async def test_l11_before_the_second_factor_nothing_opens(house: House) -> None:
    await house.person()
    async with house.browser() as page, house.http() as http:
        await enrolled_app(page)
        pending = await challenged(http)
        for credential in (pending["challenge_token"], pending["challenge_id"]):
            answer = await http.get("/v1/auth/me", headers={"Authorization": f"Bearer {credential}"})
            assert answer.status_code == 401
            answer = await http.get("/v1/auth/me", headers={"Cookie": f"aibox={credential}"})
            assert answer.status_code == 401


# --- passkeys ---


async def test_a_passkey_signs_in_and_its_counter_is_kept(house: House) -> None:
    await house.person()
    async with house.browser() as page, house.http() as http:
        authenticator = await enrolled_passkey(page)
        for _ in range(2):
            pending = await challenged(http)
            assert pending["methods"] == ["webauthn", "recovery"]
            assertion = authenticator.get(pending["webauthn"], origin=BASE)
            assert (await second(http, pending, "webauthn", assertion=assertion)).status_code == 200
        listed = (await page.get("/v1/auth/2fa")).json()["passkeys"]
        assert [(item["name"], item["used_at"] is not None) for item in listed] == [("laptop", True)]
        assert (await page.delete(f"/v1/auth/2fa/passkeys/{listed[0]['id']}")).status_code == 204
        assert (await http.post("/v1/auth/login", json=LOGIN)).status_code == 200


@pytest.mark.parametrize(
    "flaw",
    [
        {"origin": "https://evil.example"},
        {"origin": f"{BASE}.evil.example"},
        {"rp_id": "evil.example"},
        {"challenge": base64.urlsafe_b64encode(b"x" * 64).rstrip(b"=").decode()},
        {"flags": USER_PRESENT},
        {"count": 1},
        {"kind": "webauthn.create"},
    ],
    ids=["origin", "origin suffix", "rpId", "challenge", "no user verification", "counter back", "another ceremony"],
)
async def test_l08_an_assertion_that_does_not_fit_is_refused(house: House, flaw: dict[str, Any]) -> None:
    await house.person()
    async with house.browser() as page, house.http() as http:
        authenticator = await enrolled_passkey(page)
        for _ in range(2):
            pending = await challenged(http)
            good = authenticator.get(pending["webauthn"], origin=BASE)
            assert (await second(http, pending, "webauthn", assertion=good)).status_code == 200
        pending = await challenged(http)
        assertion = authenticator.get(pending["webauthn"], **{"origin": BASE, **flaw})
        assert code_of(await second(http, pending, "webauthn", assertion=assertion)) == (401, "webauthn_failed")


async def test_l08_another_persons_passkey_a_foreign_key_and_nonsense_are_refused(house: House) -> None:
    await house.person()
    await house.person("eve")
    async with house.browser() as page, house.browser("eve") as hers, house.http() as http:
        mine, eves = await enrolled_passkey(page), await enrolled_passkey(hers)
        imposter = Authenticator()
        imposter.id = mine.id
        for wrong in (eves, imposter, Authenticator()):
            pending = await challenged(http)
            assertion = wrong.get(pending["webauthn"], origin=BASE)
            assert code_of(await second(http, pending, "webauthn", assertion=assertion)) == (401, "webauthn_failed")
        for nonsense in (
            {},
            {"rawId": 1},
            {"rawId": "!"},
            {"rawId": mine.create({"rp": {"id": "x"}, "challenge": "y"}, origin=BASE)["rawId"]},
        ):
            pending = await challenged(http)
            assert code_of(await second(http, pending, "webauthn", assertion=nonsense)) == (401, "webauthn_failed")


async def test_l08_a_registration_is_bound_to_its_session_and_origin_and_works_once(house: House) -> None:
    await house.person()
    async with house.browser() as page, house.browser() as other:
        options = (await page.post("/v1/auth/2fa/passkeys/options")).json()
        body = {"name": "x", "credential": Authenticator().create(options, origin=BASE)}
        assert code_of(await other.post("/v1/auth/2fa/passkeys", json=body)) == (401, "challenge_invalid")
        assert (await page.post("/v1/auth/2fa/passkeys", json=body)).status_code == 201
        assert code_of(await page.post("/v1/auth/2fa/passkeys", json=body)) == (401, "challenge_invalid")
        options = (await page.post("/v1/auth/2fa/passkeys/options")).json()
        body["credential"] = Authenticator().create(options, origin="https://evil.example")
        assert code_of(await page.post("/v1/auth/2fa/passkeys", json=body)) == (401, "webauthn_failed")


# --- step-up ---


async def age(house: House, minutes: int) -> None:
    """Let every sign-in be that old."""
    owner = await asyncpg.connect(house.kernel.urls.owner)
    await owner.execute("UPDATE identity.session SET auth_time = now() - make_interval(mins => $1)", minutes)
    await owner.close()
    house.identity._standing._forget_all()


async def test_t27_an_old_sign_in_makes_no_key_until_the_password_confirms_it(house: House) -> None:
    await house.person()
    body = {"name": "k", "scopes": ["chat"]}
    async with house.browser() as page:
        await age(house, 11)
        refused = await page.post("/v1/auth/keys", json=body)
        assert code_of(refused) == (401, "insufficient_user_authentication")
        assert 'max_age="600"' in refused.headers["www-authenticate"]
        assert code_of(await page.post("/v1/auth/step-up", json={"password": "wrong"})) == (401, "invalid_credentials")
        assert (await page.post("/v1/auth/keys", json=body)).status_code == 401
        assert (await page.post("/v1/auth/step-up", json={"password": PASSWORD})).status_code == 204
        assert (await page.post("/v1/auth/keys", json=body)).status_code == 201


async def test_t27_where_a_second_factor_is_enrolled_it_confirms_and_the_password_does_not(house: House) -> None:
    await house.person()
    async with house.browser() as page:
        secret, _ = await enrolled_app(page)
        authenticator = await enrolled_passkey(page)
        await age(house, 11)
        by_password = await page.post("/v1/auth/step-up", json={"password": PASSWORD})
        assert code_of(by_password) == (400, "invalid_request")
        by_app = await page.post("/v1/auth/step-up", json={"method": "totp", "code": totp_code(secret)})
        assert by_app.status_code == 204
        await age(house, 11)
        options = (await page.post("/v1/auth/step-up/options")).json()
        assertion = authenticator.get(options, origin=BASE)
        body = {"method": "webauthn", "assertion": assertion}
        assert (await page.post("/v1/auth/step-up", json=body)).status_code == 204
        assert code_of(await page.post("/v1/auth/step-up", json=body)) == (401, "challenge_invalid")
        assert (await page.post("/v1/auth/2fa/recovery-codes")).status_code == 201


# --- the password ---


async def test_changing_ones_password_needs_the_old_one_and_ends_all_other_sessions(house: House) -> None:
    await house.person()
    fresh = "quite another passphrase"
    async with house.browser() as page, house.browser() as other, house.http() as http:
        wrong = await page.post("/v1/auth/password", json={"current": "wrong", "new": fresh})
        assert code_of(wrong) == (401, "invalid_credentials")
        weak = await page.post("/v1/auth/password", json={"current": PASSWORD, "new": "password"})
        assert code_of(weak) == (422, "validation_failed")
        assert (await page.post("/v1/auth/password", json={"current": PASSWORD, "new": fresh})).status_code == 200
        assert (await page.get("/v1/auth/me")).status_code == 200
        assert (await other.get("/v1/auth/me")).json()["code"] == "session_revoked"
        assert (await http.post("/v1/auth/login", json={**LOGIN, "password": fresh})).status_code == 200


# --- devices ---


class Phone:
    """A paired device: its key, and the tokens it was given."""

    def __init__(self, *, is_p256: bool = False) -> None:
        self.ed25519 = Ed25519PrivateKey.generate()
        self.p256 = ec.generate_private_key(ec.SECP256R1()) if is_p256 else None

    @property
    def public_key(self) -> str:
        if self.p256 is not None:
            return _b64(self.p256.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
        return _b64(self.ed25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, request: str, number: str) -> str:
        message = f"aibox-push/1\n{request}\n{number}".encode()
        if self.p256 is None:
            return _b64(self.ed25519.sign(message))
        r, s = decode_dss_signature(self.p256.sign(message, ec.ECDSA(SHA256())))
        return _b64(r.to_bytes(32) + s.to_bytes(32))


async def paired(house: House, page: httpx.AsyncClient, phone: Phone) -> httpx.AsyncClient:
    """A client that speaks for the phone."""
    started = (await page.post("/v1/auth/pair/start")).json()
    async with house.http() as http:
        body = {"code": started["code"], "device_name": "Phone", "public_key": phone.public_key}
        answer = await http.post("/v1/auth/pair/complete", json=body)
    assert answer.status_code == 200, answer.text
    return house.http(Authorization=f"Bearer {answer.json()['access_token']}")


async def test_a_pairing_code_works_once_and_the_device_can_be_revoked(house: House) -> None:
    await house.person()
    async with house.browser() as page, house.http() as http:
        started = (await page.post("/v1/auth/pair/start")).json()
        assert started["expires_in"] == 600
        assert started["qr"] == f"{BASE}/pair#code={started['code']}"
        body = {"code": started["code"].lower(), "device_name": "Phone", "public_key": Phone().public_key}
        made = await http.post("/v1/auth/pair/complete", json=body)
        again = await http.post("/v1/auth/pair/complete", json=body)
        assert (made.status_code, code_of(again)) == (200, (400, "invalid_grant"))
        tokens = {"Authorization": f"Bearer {made.json()['access_token']}"}
        assert (await http.get("/v1/auth/verify", headers=tokens)).status_code == 204
        (device,) = (await page.get("/v1/auth/devices")).json()["devices"]
        assert (await page.delete(f"/v1/auth/devices/{device['id']}")).status_code == 204
        assert code_of(await http.get("/v1/auth/me", headers=tokens)) == (401, "session_revoked")
        assert (await page.delete(f"/v1/auth/devices/{device['id']}")).status_code == 404


async def test_a_paired_device_never_administers_and_is_no_fresh_sign_in(house: House) -> None:
    await house.person("ada", "owner")
    async with house.browser() as page, await paired(house, page, Phone()) as phone:
        assert (await phone.get("/v1/auth/me")).json()["permissions"]["admin"]["manage_users"] is False
        assert code_of(await phone.get("/v1/admin/users")) == (403, "forbidden")
        refused = await phone.post("/v1/auth/keys", json={"name": "k", "scopes": ["chat"]})
        assert code_of(refused) == (401, "insufficient_user_authentication")


async def test_l06_guessed_pairing_codes_are_refused_and_soon_slowed_down(house: House) -> None:
    async with house.http() as http:
        body = {"device_name": "Phone", "public_key": Phone().public_key}
        answers = [
            await http.post("/v1/auth/pair/complete", json={**body, "code": f"BCDF-GHJ{letter}"}) for letter in "BCDFGH"
        ]
    assert [code_of(answer) for answer in answers] == [(400, "invalid_grant")] * 5 + [(400, "slow_down")]


async def test_l06_a_public_key_that_is_none_is_refused_and_the_code_stays(house: House) -> None:
    await house.person()
    async with house.browser() as page, house.http() as http:
        code = (await page.post("/v1/auth/pair/start")).json()["code"]
        for key in ("", "!", "AAAA", _b64(b"\x04" + bytes(64))):
            body = {"code": code, "device_name": "Phone", "public_key": key}
            assert code_of(await http.post("/v1/auth/pair/complete", json=body)) == (422, "validation_failed")
        body["public_key"] = Phone().public_key
        assert (await http.post("/v1/auth/pair/complete", json=body)).status_code == 200


# --- approvals ---


@pytest.mark.parametrize("is_p256", [False, True], ids=["ed25519", "p256"])
async def test_a_sign_in_is_approved_on_the_device_by_the_number_it_shows(house: House, is_p256: bool) -> None:
    await house.person()
    phone = Phone(is_p256=is_p256)
    async with house.browser() as page, house.http() as http:
        await enrolled_app(page)
        async with await paired(house, page, phone) as device:
            pending = await challenged(http)
            assert pending["methods"] == ["totp", "recovery", "push"]
            asked = await second(http, pending, "push")
            assert asked.status_code == 202
            number = asked.json()["number"]
            (request,) = (await device.get("/v1/auth/challenges")).json()["challenges"]
            assert "number" not in request
            assert (request["origin"], request["address"]) == (BASE, "192.0.2.7")
            assert (await second(http, pending, "push")).json()["number"] == number, "asked again, it is the same"
            body = {"number": number, "signature": phone.sign(request["id"], number)}
            answer = await device.post(f"/v1/auth/challenges/{request['id']}/approve", json=body)
            assert answer.status_code == 204
            assert (await second(http, pending, "push")).status_code == 200
            assert (await device.get("/v1/auth/challenges")).json()["challenges"] == []
            again = await device.post(f"/v1/auth/challenges/{request['id']}/approve", json=body)
            assert code_of(again) == (401, "challenge_invalid")


async def test_denying_is_heard_as_a_denial(house: House) -> None:
    await house.person()
    async with house.browser() as page, house.http() as http:
        await enrolled_app(page)
        async with await paired(house, page, Phone()) as device:
            pending = await challenged(http)
            await second(http, pending, "push")
            assert (await device.post(f"/v1/auth/challenges/{pending['challenge_id']}/deny")).status_code == 204
            assert code_of(await second(http, pending, "push")) == (401, "challenge_denied")


@pytest.mark.parametrize("flaw", ["number", "signature", "number of another", "foreign key"])
async def test_l04_a_wrong_number_or_signature_ends_the_sign_in(house: House, flaw: str) -> None:
    await house.person()
    phone = Phone()
    async with house.browser() as page, house.http() as http:
        await enrolled_app(page)
        async with await paired(house, page, phone) as device:
            pending = await challenged(http)
            number = (await second(http, pending, "push")).json()["number"]
            wrong = "11" if number != "11" else "12"
            request = pending["challenge_id"]
            body = {
                "number": {"number": wrong, "signature": number, "number of another": number, "foreign key": number},
                "signature": {
                    "number": phone.sign(request, wrong),
                    "signature": _b64(bytes(64)),
                    "number of another": phone.sign(request, wrong),
                    "foreign key": Phone().sign(request, number),
                },
            }
            answer = await device.post(
                f"/v1/auth/challenges/{request}/approve", json={name: kinds[flaw] for name, kinds in body.items()}
            )
            assert code_of(answer) == (401, "challenge_invalid")
            right = {"number": number, "signature": phone.sign(request, number)}
            late = await device.post(f"/v1/auth/challenges/{request}/approve", json=right)
            assert code_of(late) == (401, "challenge_invalid")
            assert code_of(await second(http, pending, "push")) == (401, "challenge_invalid")


async def test_l04_an_older_request_another_persons_or_a_page_that_is_no_device_cannot_be_answered(
    house: House,
) -> None:
    await house.person()
    await house.person("eve")
    phone, eves = Phone(), Phone()
    async with house.browser() as page, house.browser("eve") as hers, house.http() as http:
        await enrolled_app(page)
        async with await paired(house, page, phone) as device, await paired(house, hers, eves) as other:
            older = await challenged(http)
            number = (await second(http, older, "push")).json()["number"]
            body = {"number": number, "signature": phone.sign(older["challenge_id"], number)}
            address = f"/v1/auth/challenges/{older['challenge_id']}/approve"
            assert code_of(await other.post(address, json=body)) == (401, "challenge_invalid")
            assert code_of(await page.post(address, json=body)) == (401, "challenge_invalid")
            await second(http, await challenged(http), "push")
            assert code_of(await device.post(address, json=body)) == (401, "challenge_invalid")
            assert code_of(await second(http, older, "push")) == (401, "challenge_invalid")


async def test_l05_the_fourth_request_in_five_minutes_waits(house: House) -> None:
    await house.person()
    async with house.browser() as page, house.http() as http:
        await enrolled_app(page)
        async with await paired(house, page, Phone()):
            for _ in range(3):
                assert (await second(http, await challenged(http), "push")).status_code == 202
            fourth = await second(http, await challenged(http), "push")
    assert code_of(fourth) == (429, "rate_limited")
    assert int(fourth.headers["retry-after"]) > 0


# --- administration ---


async def test_an_admin_resets_factors_and_signs_a_person_out(house: House) -> None:
    await house.person()
    await house.person("olga", "owner")
    async with house.browser() as page, house.browser("olga") as admin, house.http() as http:
        await enrolled_app(page)
        await enrolled_passkey(page)
        user = (await page.get("/v1/auth/me")).json()["user"]["id"]
        assert (await admin.post(f"/v1/admin/users/{user}/reset-2fa")).status_code == 204
        assert (await http.post("/v1/auth/login", json=LOGIN)).status_code == 200
        assert (await admin.post(f"/v1/admin/users/{user}/signout")).status_code == 204
        assert code_of(await page.get("/v1/auth/me")) == (401, "session_revoked")
        assert (await admin.get(f"/v1/admin/users/{user}/permissions")).json()["roles"] == ["member"]


async def test_break_glass_lets_an_owner_in_whom_nothing_else_would(house: House) -> None:
    user: User = await house.person("ada", "member")
    async with house.browser() as page, house.http() as http:
        await enrolled_app(page)
        await house.identity.set_status(house.console, user.id, "suspended")
        password = await house.identity.break_glass(house.console, "ada@example.org")
        answer = await http.post("/v1/auth/login", json={**LOGIN, "password": password})
        assert answer.status_code == 200
        assert (await http.post("/v1/auth/login", json=LOGIN)).status_code == 401
    again = await house.identity.break_glass(house.console, "new@example.org")
    made = await house.identity.user_by_email(house.console, "new@example.org")
    assert (made.roles, made.tenant, len(again)) == (("owner",), TENANT, 43)


async def test_nothing_of_a_factor_is_stored_or_logged_in_the_clear(house: House) -> None:
    await house.person()
    async with house.browser() as page:
        secret, recovery = await enrolled_app(page)
    pool = house.kernel.connections.system
    owner = await asyncpg.connect(house.kernel.urls.owner)
    stored = str(await owner.fetch("SELECT * FROM identity.totp")) + str(
        await owner.fetch("SELECT * FROM identity.recovery_code")
    )
    await owner.close()
    logged = str(await pool.fetch("SELECT data FROM core.event"))
    for text in (secret, base64.b32decode(secret + "=" * (-len(secret) % 8)).hex(), recovery[0]):
        assert text not in stored + logged


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
