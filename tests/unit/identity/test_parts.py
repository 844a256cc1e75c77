"""Passwords, API keys, roles, the cookie's form and the policy check: what needs no database."""

import re
from decimal import Decimal

import pytest
from litestar import Litestar, get

from aibox.core.errors import BootRefused, ValidationFailed
from aibox.core.keyring import Ring, parse_ring
from aibox.core.turn import CostLimits, Permissions, Principal, uuid7
from aibox.identity import CsrfFailed, is_api
from aibox.identity.passwords import Passwords, weakness
from aibox.identity.policy import check_routes
from aibox.identity.roles import Rights, checked_roles, covers, is_within, permission_object, rights_of
from aibox.identity.secrets import api_key_digests, csrf_tokens, is_api_key, is_csrf_token, new_api_key
from aibox.identity.web import Web

RING = Ring("cookie", (("k2", bytes(range(32))), ("k1", bytes(range(1, 33)))))


@pytest.mark.parametrize(
    "password", ["short", "a" * 129, "password", "PassWord123", "12345678", "aaaaaaaaaa", "ababababab"]
)
def test_a_short_long_or_common_password_is_refused(password: str) -> None:
    assert weakness(password) is not None


@pytest.mark.parametrize(
    "password", ["correct horse battery", "ünïcödé pässwörter", "        x        y", "tr0ub4dor&3-zzq"]
)
def test_a_password_needs_no_composition_rules(password: str) -> None:
    assert weakness(password) is None


def test_ones_own_e_mail_is_no_password() -> None:
    assert weakness("Ada@Example.org", person=("ada@example.org",)) is not None


async def test_a_hash_is_argon2id_with_19_mebibytes_and_verifies_only_its_password() -> None:
    passwords = Passwords()
    stored = await passwords.hash("a long enough passphrase")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.verify("a long enough passphrase", stored)
    assert not await passwords.verify("a long enough passphrasE", stored)
    assert not await passwords.verify("a long enough passphrase", None)
    assert not passwords.needs_rehash(stored)


def test_an_api_key_has_its_form_and_a_checksum_over_all_of_it() -> None:
    key_id, key = new_api_key()
    assert re.fullmatch(rf"aibox_{key_id}_[0-9A-Za-z]{{43}}_[0-9A-Za-z]{{6}}", key)
    assert is_api_key(key)
    swapped = "B" if key[20] != "B" else "C"
    assert not is_api_key(key[:20] + swapped + key[21:])
    assert not is_api_key(key + "x")


def test_a_keys_digest_is_found_under_every_ring_key_and_differs_between_them() -> None:
    _, key = new_api_key()
    current, old = api_key_digests(RING, key)
    assert current != old
    assert api_key_digests(Ring("apikey", RING.keys[1:]), key) == [old]


def test_a_csrf_token_belongs_to_one_session_and_survives_a_key_rotation() -> None:
    session, other = uuid7(), uuid7()
    before_rotation = csrf_tokens(Ring("cookie", RING.keys[1:]), session)[0]
    assert is_csrf_token(RING, session, before_rotation.encode())
    assert not is_csrf_token(RING, other, before_rotation.encode())
    assert not is_csrf_token(RING, session, b"\xff")


def test_roles_unite_and_an_unknown_one_grants_nothing() -> None:
    assert rights_of(["viewer", "member"]) == rights_of(["member"])
    assert rights_of(["nonsense"]) == Rights()


def test_a_denial_of_any_role_holds_whatever_another_grants() -> None:
    denied = Permissions(tools_allowed=frozenset({"*"}), tools_denied=frozenset({"shell"}))
    caller = Principal(kind="user", tenant=uuid7(), id=uuid7(), pseudonym="p", permissions=denied)
    assert caller.may("tools.search")
    assert not caller.may("tools.shell")


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        ("owner", "admin.manage_tenant", None),
        ("admin", "admin.manage_users", "admin.manage_tenant"),
        ("member", "chat", "admin.manage_users"),
        ("viewer", "memory.read_own", "chat"),
    ],
)
def test_the_shipped_roles_permit_what_the_table_says(role: str, may: str, may_not: str | None) -> None:
    caller = Principal(
        kind="user", tenant=uuid7(), id=uuid7(), pseudonym="p", permissions=rights_of([role]).permissions
    )
    assert caller.may(may)
    assert may_not is None or not caller.may(may_not)


def test_an_admin_cannot_hand_out_what_only_an_owner_has() -> None:
    rights = rights_of(["admin"])
    admin = Principal(kind="user", tenant=uuid7(), id=uuid7(), pseudonym="p", permissions=rights.permissions)
    assert covers(admin, rights_of(["admin", "member"]))
    assert not covers(admin, rights_of(["owner"]))
    assert not covers(admin, rights_of(["platform_admin"]))


def test_of_several_roles_the_lowest_limit_and_every_denial_hold() -> None:
    thrifty = Rights(limits=CostLimits(monthly_usd=Decimal(10), per_request_usd=Decimal(1)))
    careful = Rights(
        permissions=Permissions(tools_denied=frozenset({"shell"})), limits=CostLimits(monthly_usd=Decimal(20))
    )
    both = rights_of(["member", "thrifty", "careful"], {"thrifty": thrifty, "careful": careful})
    assert both.limits == CostLimits(monthly_usd=Decimal(10), per_request_usd=Decimal(1))
    assert both.permissions.tools_denied == {"shell"}
    assert both.permissions.chat


TOOLS = [
    (({"*"}, {"shell"}), ({"*"}, set()), True),
    (({"*"}, set()), ({"*"}, {"shell"}), False),
    (({"shell"}, set()), ({"*"}, {"shell"}), False),
    (({"shell"}, {"shell"}), ({"*"}, {"shell"}), True),
    (({"search"}, set()), ({"search", "shell"}, set()), True),
    (({"search"}, set()), ({"shell"}, set()), False),
    (({"*"}, set()), ({"search"}, set()), False),
]


@pytest.mark.parametrize(("wanted", "has", "fits"), TOOLS)
def test_what_is_denied_to_someone_is_not_theirs_to_hand_out(
    wanted: tuple[set[str], set[str]], has: tuple[set[str], set[str]], fits: bool
) -> None:
    def rights(tools: tuple[set[str], set[str]]) -> Rights:
        allowed, denied = tools
        return Rights(permissions=Permissions(tools_allowed=frozenset(allowed), tools_denied=frozenset(denied)))

    assert is_within(rights(wanted), rights(has)) is fits


@pytest.mark.parametrize(
    ("wanted", "has", "fits"), [(None, None, True), (5, None, True), (5, 5, True), (6, 5, False), (None, 5, False)]
)
def test_a_limit_is_not_lifted_by_whom_it_binds(wanted: int | None, has: int | None, fits: bool) -> None:
    def rights(usd: int | None) -> Rights:
        return Rights(limits=CostLimits(monthly_usd=None if usd is None else Decimal(usd)))

    assert is_within(rights(wanted), rights(has)) is fits


def test_roles_are_listed_once_and_in_their_order() -> None:
    assert checked_roles(["member", "owner", "member"]) == ["owner", "member"]
    for wrong in ([], ["root"]):
        with pytest.raises(ValidationFailed):
            checked_roles(wrong)


def test_the_permission_object_has_the_groups_of_the_specification() -> None:
    shown = permission_object(
        rights_of(["viewer"]).permissions, Principal(kind="user", tenant=uuid7(), id=uuid7(), pseudonym="p").limits
    )
    assert shown["agents"] == {"configure": False, "create": False, "delete": False, "use_templates": []}
    assert shown["memory"]["read_own"] is True
    assert set(shown["admin"].values()) == {False}


def test_on_https_the_cookie_is_secure_and_bound_to_the_host() -> None:
    web = Web("https://ai.example", production=True)
    assert web.cookie("s", seconds=60) == "__Host-aibox=s; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"


@pytest.mark.parametrize(
    "url", ["http://localhost:8080", "http://127.0.0.1:8080", "http://192.168.1.5", "http://[::1]:80"]
)
def test_outside_production_a_local_plain_http_address_may_have_a_plain_cookie(url: str) -> None:
    assert Web(url, production=False).cookie_name == "aibox"


@pytest.mark.parametrize(
    ("url", "production"),
    [("http://localhost:8080", True), ("http://ai.example", False), ("ftp://localhost", False), ("localhost", False)],
)
def test_b03_a_plain_http_address_that_others_could_listen_on_does_not_start(url: str, production: bool) -> None:
    with pytest.raises(BootRefused) as refused:
        Web(url, production=production)
    assert refused.value.code == "boot_bad_issuer"


@pytest.mark.parametrize("cookies", [b"aibox=a; aibox=b", b"aibox=", b" aibox = "])
def test_a_session_cookie_that_stands_twice_or_empty_is_no_session(cookies: bytes) -> None:
    assert Web("http://localhost:8080", production=False).secret([(b"cookie", cookies)]) == ""


def _headers(**sent: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()]


def test_behind_https_a_page_is_ours_by_scheme_host_and_port() -> None:
    web = Web("https://ai.example", production=True)
    assert web.is_own_page(_headers(host="ai.example", origin="https://ai.example", sec_fetch_site="same-origin"))
    assert not web.is_own_page(_headers(host="ai.example")), "no browser sent this"
    for origin in ("http://ai.example", "https://ai.example:8443", "https://ai.example.evil", "null", ""):
        with pytest.raises(CsrfFailed):
            web.is_own_page(_headers(host="ai.example", origin=origin))


async def test_a_password_longer_than_any_is_never_the_one_stored() -> None:
    passwords = Passwords()
    stored = await passwords.hash("x9" * 64)
    assert await passwords.verify("x9" * 64, stored)
    assert not await passwords.verify("x9" * 64 + "y", stored)


def test_other_cookies_are_none_of_our_business() -> None:
    assert Web("http://localhost:8080", production=False).secret([(b"cookie", b"theme=dark; x-aibox=1")]) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("k1:c2hvcnQ=", "boot_bad_key"),
        ("k1:not base64", "boot_bad_key"),
        ("K1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "boot_bad_key"),
        ("k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "boot_bad_key"),
    ],
)
def test_b02_a_bad_key_does_not_start(text: str, code: str) -> None:
    with pytest.raises(BootRefused) as refused:
        parse_ring("cookie", text)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "options", [{}, {"policy": "anyone"}, {"policy": "admin.everything"}, {"policy": "chat", "scope": "all"}]
)
def test_b12_a_route_that_states_no_policy_does_not_start(options: dict[str, str]) -> None:
    @get("/v1/thing", opt=options)
    async def thing() -> None: ...

    with pytest.raises(BootRefused) as refused:
        check_routes(Litestar([thing], openapi_config=None, logging_config=None))
    assert refused.value.code == "boot_route_policy"
    assert "/v1/thing" in str(refused.value)


@pytest.mark.parametrize("path", ["/v1/x", "/V1/x", "/api", "/auth/jwks", "/docs/openapi.json", "/metrics"])
def test_credentials_are_read_on_the_apis_paths(path: str) -> None:
    assert is_api(path)


@pytest.mark.parametrize("path", ["/", "/chat/1", "/v10/x", "/apiary", "/healthz"])
def test_credentials_are_not_read_for_the_web_apps_files(path: str) -> None:
    assert not is_api(path)
