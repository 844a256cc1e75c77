"""The token attacks of identity.md (rows T02 to T18) against the strict reader and the verification behind it."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwe, jwt
from joserfc.jwk import OctKey

from aibox.core.errors import AIBoxError, BootRefused
from aibox.core.keyring import Ring
from aibox.identity import InvalidToken
from aibox.identity.tokens import AccessTokens, parse

SEED = bytes(range(32))
OTHER_SEED = bytes(range(1, 33))
NOW = 1_800_000_000
USER, SESSION = UUID(int=7), UUID(int=9)


def tokens(ring: Ring | None = None, *, now: float = NOW) -> AccessTokens:
    return AccessTokens(
        ring or Ring("token", (("k1", SEED),)), base_url="https://ai.example", life=900, clock=lambda: now
    )


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(
    header: dict[str, Any] | bytes | None = None,
    claims: dict[str, Any] | bytes | None = None,
    *,
    seed: bytes = SEED,
    without: tuple[str, ...] = (),
) -> str:
    """A token signed with our own key, but with these parts: to be refused although its signature is good."""
    good_header = {"alg": "Ed25519", "kid": "k1", "typ": "at+jwt"}
    good_claims = {
        "iss": "https://ai.example/auth",
        "aud": "aibox-frontend",
        "client_id": "aibox",
        "sub": str(USER),
        "sid": str(SESSION),
        "iat": NOW,
        "exp": NOW + 900,
        "jti": "j",
    }
    head = header if isinstance(header, bytes) else _json({**good_header, **(header or {})}, without)
    body = claims if isinstance(claims, bytes) else _json({**good_claims, **(claims or {})}, without)
    signed = f"{b64(head)}.{b64(body)}"
    return f"{signed}.{b64(Ed25519PrivateKey.from_private_bytes(seed).sign(signed.encode()))}"


def _json(parts: dict[str, Any], without: tuple[str, ...]) -> bytes:
    return json.dumps({name: value for name, value in parts.items() if name not in without}).encode()


def refusal(token: str, verifier: AccessTokens | None = None) -> str:
    with pytest.raises(AIBoxError) as refused:
        (verifier or tokens()).verify(token)
    assert refused.value.status == 401
    return refused.value.code


def test_a_token_of_ours_is_accepted() -> None:
    claims = tokens().verify(tokens().issue(user=USER, session=SESSION))
    assert (claims.user, claims.session, claims.expires) == (USER, SESSION, NOW + 900)


def test_the_forgery_helper_makes_a_good_token_when_nothing_is_changed() -> None:
    assert tokens().verify(forged()).user == USER


@pytest.mark.parametrize("alg", ["none", "nOnE", "None", "", "NONE"])
def test_t02_alg_none_is_refused(alg: str) -> None:
    unsigned = forged({"alg": alg}).rpartition(".")[0]
    assert refusal(f"{unsigned}.") == "invalid_token"
    assert refusal(f"{unsigned}.{b64(b'x')}") == "invalid_token"


def test_t03_hs256_keyed_with_the_public_key_is_refused() -> None:
    x = tokens().jwks()["keys"][0]["x"]
    for secret in (x.encode(), base64.urlsafe_b64decode(x + "=")):
        claims = json.loads(base64.urlsafe_b64decode(forged().split(".")[1] + "=="))
        header = {"alg": "HS256", "kid": "k1", "typ": "at+jwt"}
        token = jwt.encode(header, claims, OctKey.import_key(secret), algorithms=["HS256"])
        assert refusal(token) == "invalid_token"


@pytest.mark.parametrize("alg", ["EdDSA", "ES256", "RS256", "PS256", "HS512", "Ed448", "ed25519"])
def test_t04_an_alg_off_the_issuers_list_is_refused(alg: str) -> None:
    assert refusal(forged({"alg": alg})) == "invalid_token"


@pytest.mark.parametrize(
    "kid",
    ["k2", "../../etc/passwd", "k1' OR '1'='1", "https://evil.example/jwks", "k" * 4096, 1, None, "", ["k1"], "k1\x00"],
)
def test_t05_a_strange_kid_is_refused(kid: object) -> None:
    assert refusal(forged({"kid": kid})) == "invalid_token"


def test_t05_a_missing_kid_is_refused() -> None:
    assert refusal(forged(without=("kid",))) == "invalid_token"


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c"])
def test_t06_a_key_brought_along_is_refused(name: str) -> None:
    assert refusal(forged({name: "https://evil.example"})) == "invalid_token"


@pytest.mark.parametrize("extra", [{"crit": []}, {"crit": ["exp"]}, {"b64": False}, {"zip": "DEF"}, {"cty": "JWT"}])
def test_t07_crit_b64_and_zip_are_refused(extra: dict[str, Any]) -> None:
    assert refusal(forged(extra)) == "invalid_token"


def test_t08_an_encrypted_nested_json_or_detached_token_is_refused() -> None:
    key = OctKey.import_key(b"0" * 32)
    encrypted = jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, forged().encode(), key)
    head, body, signature = forged().split(".")
    general = json.dumps({"payload": body, "signatures": [{"protected": head, "signature": signature}]})
    for token in (encrypted, general, f"{head}..{signature}", f"{head}.{body}", f"{head}.{body}.{signature}.x", ""):
        assert refusal(token) == "invalid_token"


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        (b'{"alg":"Ed25519","kid":"k1","typ":"at+jwt","alg":"Ed25519"}', None),
        (None, b'{"iss":"https://evil.example","iss":"https://ai.example/auth","exp":1}'),
        (None, b'{"iss":"https://ai.example/auth","deep":{"a":1,"a":2}}'),
    ],
)
def test_t09_a_duplicate_key_at_any_depth_is_refused(header: bytes | None, claims: bytes | None) -> None:
    assert refusal(forged(header, claims)) == "invalid_token"


def test_t10_an_altered_payload_or_signature_is_refused() -> None:
    head, body, signature = forged().split(".")
    der = bytes.fromhex("3006020100020100")
    for token in (
        f"{head}.{forged(claims={'sub': str(UUID(int=8))}).split('.')[1]}.{signature}",
        f"{head}.{body}.{signature[:-4]}",
        f"{head}.{body}.{b64(bytes(64))}",
        f"{head}.{body}.{b64(der)}",
        forged(seed=OTHER_SEED),
    ):
        assert refusal(token) == "invalid_token"


@pytest.mark.parametrize(
    "change",
    [
        lambda h, b, s: f"{h}.{b}.{s}==",
        lambda h, b, s: f"{h}=.{b}.{s}",
        lambda h, b, s: f"{h}.{b}.{s}\n",
        lambda h, b, s: f" {h}.{b}.{s}",
        lambda h, b, s: f"{h[:4]} {h[4:]}.{b}.{s}",
        lambda h, b, s: f"{h}.{b}.{s[:-1]}{'+' if s[-1] != '+' else '/'}",
        lambda h, b, s: f"{h}.{b}.{_trailing_bits(s)}",
    ],
)
def test_t11_another_spelling_of_the_same_bytes_is_refused(change: Callable[[str, str, str], str]) -> None:
    token = change(*forged().split("."))
    assert refusal(token) == "invalid_token"
    with pytest.raises(InvalidToken):
        parse(token)  # by our own reader, whatever joserfc would say


def _trailing_bits(segment: str) -> str:
    """The same bytes with a stray last bit: 64 bytes leave four bits of the last character unused."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) | 1]


def test_t12_a_token_is_expired_31_seconds_past_its_end_and_not_at_29() -> None:
    token = tokens().issue(user=USER, session=SESSION)
    assert tokens(now=NOW + 900 + 29).verify(token).user == USER
    assert refusal(token, tokens(now=NOW + 900 + 31)) == "token_expired"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": str(NOW + 900)},
        {"exp": float(NOW + 900)},
        {"exp": True},
        {"exp": 10**30},
        {"exp": None},
        {"exp": NOW + 3601},
        {"exp": NOW - 1},
        {"nbf": NOW + 31},
        {"iat": NOW + 31, "exp": NOW + 931},
        {"iat": float(NOW)},
        {"iat": "now"},
        {"nbf": None},
    ],
)
def test_t13_odd_times_are_refused(claims: dict[str, Any]) -> None:
    assert refusal(forged(claims=claims)) == "invalid_token"


@pytest.mark.parametrize("name", ["exp", "iat", "sub", "sid"])
def test_t13_a_missing_claim_is_refused(name: str) -> None:
    assert refusal(forged(without=(name,))) == "invalid_token"


@pytest.mark.parametrize(
    "claims",
    [{"aud": "account"}, {"aud": "aibox-frontend-x"}, {"aud": "aibox"}, {"aud": []}, {"aud": [1]}, {"aud": None}],
)
def test_t14_an_audience_that_does_not_name_us_is_refused(claims: dict[str, Any]) -> None:
    assert refusal(forged(claims=claims)) == "invalid_audience"


def test_t14_a_missing_audience_or_an_unlisted_client_is_refused() -> None:
    assert refusal(forged(without=("aud",))) == "invalid_audience"
    assert refusal(forged(claims={"client_id": "other"})) == "invalid_audience"
    assert refusal(forged(claims={"azp": "other"}, without=("client_id",))) == "invalid_audience"


def test_a_list_of_audiences_that_names_us_is_accepted() -> None:
    assert tokens().verify(forged(claims={"aud": ["account", "aibox-frontend"]})).user == USER


@pytest.mark.parametrize(
    "iss",
    [
        "https://evil.example/auth",
        "https://ai.example/auth/",
        "https://AI.example/auth",
        "http://ai.example/auth",
        "https://ai.example",
        "https://аi.example/auth",
        ["https://ai.example/auth"],
        None,
        1,
    ],
)
def test_t15_an_issuer_is_compared_byte_for_byte(iss: object) -> None:
    assert refusal(forged(claims={"iss": iss})) == "invalid_issuer"


def test_t15_a_missing_issuer_is_refused() -> None:
    assert refusal(forged(without=("iss",))) == "invalid_issuer"


def test_t16_the_same_kid_with_another_installations_key_is_refused() -> None:
    other = AccessTokens(Ring("token", (("k1", OTHER_SEED),)), base_url="https://ai.example", life=900)
    assert refusal(other.issue(user=USER, session=SESSION), tokens(now=time.time())) == "invalid_token"


@pytest.mark.parametrize("typ", ["JWT", "id_token", "dpop+jwt", "logout+jwt", "AT+JWT", ""])
def test_t18_another_kind_of_token_is_refused(typ: str) -> None:
    assert refusal(forged({"typ": typ})) == "wrong_token_type"


def test_t18_a_token_without_typ_is_refused() -> None:
    assert refusal(forged(without=("typ",))) == "wrong_token_type"


@pytest.mark.parametrize(
    "token", ["' OR 1=1 --", "*)(uid=*))(|(uid=*", "{{7*7}}", "${jndi:ldap://evil}", "\x00", "a.b.c", "…"]
)
def test_t29_an_injection_is_no_token(token: str) -> None:
    assert refusal(token) == "invalid_token"


@pytest.mark.parametrize(
    "claims",
    [
        b'{"a":' * 9 + b"1" + b"}" * 9,
        b"[" * 4000 + b"]" * 4000,
        b"[]",
        b'"x"',
        b'{"a":NaN}',
        b'{"a":1.5}',
        b'{"a":9007199254740993}',
        b"\xff\xfe",
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":1}{"a":1}',
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_a_payload_that_others_may_read_differently_is_refused(claims: bytes) -> None:
    assert refusal(forged(claims=claims)) == "invalid_token"


def test_a_token_over_eight_kibibytes_or_a_header_over_512_bytes_is_refused() -> None:
    assert refusal(forged(claims={"pad": "a" * 8192})) == "invalid_token"
    assert refusal(forged({"x5t": "a" * 512})) == "invalid_token"


def test_the_thumbprint_headers_are_let_by_and_ignored() -> None:
    assert parse(forged({"x5t": "a", "x5t#S256": "b"})).header["x5t"] == "a"


def test_a_key_in_grace_still_verifies_and_a_removed_one_does_not() -> None:
    old = tokens()
    token = old.issue(user=USER, session=SESSION)
    rotated = tokens(Ring("token", (("k2", OTHER_SEED), ("k1", SEED))))
    assert rotated.verify(token).user == USER
    assert refusal(token, tokens(Ring("token", (("k2", OTHER_SEED),)))) == "invalid_token"
    assert jwt.decode(rotated.issue(user=USER, session=SESSION), _key(rotated, 0), ["Ed25519"]).header["kid"] == "k2"


def test_the_published_keys_hold_no_private_part() -> None:
    for key in tokens(Ring("token", (("k2", OTHER_SEED), ("k1", SEED)))).jwks()["keys"]:
        assert set(key) == {"kty", "crv", "x", "kid", "alg", "use"}


def test_b02_a_token_key_that_is_no_seed_does_not_start() -> None:
    with pytest.raises(BootRefused) as refused:
        tokens(Ring("token", (("k1", bytes(range(33))),)))
    assert refused.value.code == "boot_bad_key"


def _key(verifier: AccessTokens, index: int) -> Any:
    from joserfc.jwk import OKPKey

    return OKPKey.import_key(verifier.jwks()["keys"][index])
