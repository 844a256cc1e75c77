"""NTLMSSP messages read strictly: what a client sends, what is nearly that, and anything at all."""

import contextlib
import os
import struct
import time
from pathlib import Path

import pytest
import spnego
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st
from spnego.channel_bindings import GssChannelBindings

from aibox.identity import ntlm
from aibox.identity.ntlm import NtlmError, Target
from tests import windows

TARGET = Target(name="CORP", is_domain=True, pairs={1: "FILESRV".encode("utf-16-le"), 2: "CORP".encode("utf-16-le")})
BINDING = GssChannelBindings(application_data=b"tls-server-end-point:" + bytes(32))


def exchange(
    account: str = "CORP\\alice", binding: GssChannelBindings | None = BINDING
) -> tuple[bytes, bytes, bytes, bytes]:
    """The three messages of a sign-in, and the session's key."""
    client = spnego.client(
        account, "secret", hostname="ai.example", service="http", protocol="ntlm", channel_bindings=binding
    )
    first = client.step() or b""
    flags = ntlm.offered(first)
    second = ntlm.challenge(TARGET, flags, os.urandom(8), handle="0" * 32, now=time.time())
    third = client.step(second) or b""
    return first, second, third, client.session_key


FIRST, SECOND, THIRD, KEY = exchange()
BOUND = struct.pack("<HH", ntlm.AV_BINDING, 16)


def test_a_clients_answer_says_who_they_are_and_over_what_they_prove() -> None:
    answer = ntlm.authenticate(THIRD)
    assert (answer.domain, answer.account) == ("CORP", "alice")
    assert ntlm.handle_of(answer) == "0" * 32
    assert ntlm.repeats(answer, ntlm.pairs_of(SECOND))
    assert ntlm.is_for(answer, "AI.example", 443)
    assert not ntlm.is_for(answer, "ai.example.evil", 443)
    assert ntlm.target_of(SECOND).domain == "CORP"


@pytest.mark.parametrize(
    ("named", "is_ours"),
    [("ai.example:8443", True), ("ai.example:443", False), ("ai.example:8443:1", False), ("ai.example/x", False)],
)
def test_a_browser_names_a_port_that_is_not_the_schemes_own(named: str, is_ours: bool) -> None:
    client = spnego.client("CORP\\a", "secret", hostname=named, service="HTTP", protocol="ntlm")
    flags = ntlm.offered(client.step() or b"")
    answer = ntlm.authenticate(client.step(ntlm.challenge(TARGET, flags, bytes(8), handle="h", now=1.8e9)) or b"")
    assert ntlm.is_for(answer, "ai.example", 8443) is is_ours


def test_the_integrity_code_holds_for_the_three_messages_that_the_client_saw() -> None:
    client = spnego.client("CORP\\alice", "secret", hostname="ai.example", service="http", protocol="ntlm")
    first = client.step() or b""
    second = ntlm.challenge(TARGET, ntlm.offered(first), bytes(8), handle="h", now=1.8e9)
    answer = ntlm.authenticate(client.step(second) or b"")
    assert ntlm.is_whole(answer, first, second, client.session_key)
    assert not ntlm.is_whole(answer, first + b"\x00", second, client.session_key)
    assert not ntlm.is_whole(answer, first, second, bytes(16))


def test_a_certificates_binding_is_what_a_client_of_ntlm_sends_for_it(tmp_path: Path) -> None:
    certificate = windows.certificate(tmp_path, "ai.example")
    answer = ntlm.authenticate(exchange(binding=certificate.binding)[2])
    bindings = ntlm.bindings_of(certificate.path.read_bytes())
    assert ntlm.is_bound(answer, bindings)
    assert not ntlm.is_bound(ntlm.authenticate(THIRD), bindings)
    assert not ntlm.is_bound(ntlm.authenticate(exchange(binding=None)[2]), bindings)


def test_a_file_without_a_usable_certificate_is_no_binding(tmp_path: Path) -> None:
    for text in (b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(ValueError, match=r"."):
            ntlm.bindings_of(text)
    with pytest.raises(ValueError, match="no hash"):
        ntlm.bindings_of(windows.certificate(tmp_path, "h", key=Ed25519PrivateKey.generate()).path.read_bytes())


@pytest.mark.parametrize(
    "spoilt",
    [
        THIRD[:-1],  # a field that ends outside
        THIRD[:87],
        b"NTLMSSQ" + THIRD[7:],
        SECOND,
        FIRST,
        THIRD + bytes(9000),
        THIRD.replace(BOUND, BOUND[:2] + b"\x08\x00" + BOUND[4:]),  # a binding of eight bytes
        THIRD.replace(b"\x06\x00\x04\x00\x02", b"\x06\x00\x04\x00\x00"),  # no integrity code, it says
        windows.with_flags(THIRD, 60, put=ntlm.ANONYMOUS),
        windows.with_flags(THIRD, 60, put=ntlm.KEY_EXCHANGE),
        windows.with_flags(THIRD, 60, clear=ntlm.EXTENDED_SECURITY),
        windows.with_flags(THIRD, 60, clear=ntlm.UNICODE),
        THIRD.replace(b"\x01\x01\x00\x00\x00\x00\x00\x00", b"\x01\x01\x00\x00\x00\x00\x00\x01"),
    ],
    ids=lambda _: "message",  # they hold a time: their own bytes would be other ids in each process
)
def test_a_message_that_is_not_exactly_a_clients_is_refused(spoilt: bytes) -> None:
    assert spoilt != THIRD
    with pytest.raises(NtlmError):
        ntlm.authenticate(spoilt)


@pytest.mark.parametrize("flags", [0, ntlm.UNICODE, ntlm.WANTED & ~ntlm.EXTENDED_SECURITY, ntlm.WANTED & ~ntlm.UNICODE])
def test_a_client_that_offers_no_ntlm_v2_gets_no_challenge(flags: int) -> None:
    with pytest.raises(NtlmError):
        ntlm.offered(FIRST[:12] + struct.pack("<I", flags) + FIRST[16:])


@given(st.binary(max_size=600))
@example(ntlm.SIGNATURE + b"\x03")
@example(ntlm.SIGNATURE + b"\x03\x00\x00\x00" + b"\xff" * 200)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (ntlm.kind_of, ntlm.offered, ntlm.authenticate, ntlm.target_of):
        with contextlib.suppress(NtlmError):
            read(data)


@given(st.lists(st.tuples(st.integers(0, len(THIRD) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_bent_message_is_refused_or_no_longer_whole(bends: list[tuple[int, int]]) -> None:
    bent = bytearray(THIRD)
    for at, value in bends:
        bent[at] = value
    try:
        answer = ntlm.authenticate(bytes(bent))
        ntlm.handle_of(answer)
        ntlm.is_for(answer, "ai.example", 443)
    except NtlmError:
        return
    assert bytes(bent) == THIRD or not ntlm.is_whole(answer, FIRST, SECOND, KEY)


@given(st.dictionaries(st.integers(1, 65535), st.binary(max_size=80), max_size=12))
def test_the_names_of_any_machine_come_back_from_its_challenge(pairs: dict[int, bytes]) -> None:
    target = Target(name="X", is_domain=False, pairs=pairs)
    try:
        second = ntlm.challenge(target, ntlm.WANTED, bytes(8), handle="h", now=0)
        sent = ntlm.pairs_of(second)
    except NtlmError:  # a name of a kind whose size is fixed
        return
    assert {kind: value for kind, value in sent.items() if kind not in (5, 7)} == {
        kind: value for kind, value in pairs.items() if kind not in (5, 7)
    }
    assert ntlm.target_of(second).is_domain is False
