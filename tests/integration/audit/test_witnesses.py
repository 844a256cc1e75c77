"""AIBox and real witnesses over HTTP: heads are cosigned, receipts show it, a witness that misbehaves is told of."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest
from aiohttp.test_utils import TestServer

from aibox.audit import Settings, verifier
from aibox.audit.service import Audit
from aibox.audit.witness import Witness, application, open_witness
from aibox.audit.witnesses import Known, Witnesses
from aibox.core import http
from aibox.core.errors import BootRefused, ValidationFailed
from aibox.core.http import Outgoing
from aibox.core.turn import Turn
from tests.integration.audit.conftest import ANN, Bench


class Watched:
    """An audit module with witnesses, each a server of its own."""

    def __init__(self, bench: Bench, outgoing: Outgoing, folder: Path) -> None:
        self.bench = bench
        self.outgoing = outgoing
        self.folder = folder
        self.servers: dict[str, TestServer] = {}
        self.vkeys: dict[str, str] = {}

    async def start(self, name: str, *, port: int | None = None) -> Witness:
        """Start, or start again, the witness that lives in the folder of that name."""
        policy = self.folder / "policy.json"
        policy.write_bytes(await policy_of(self.bench))
        (self.folder / name / "lock").unlink(missing_ok=True)
        witness = open_witness(self.folder / name, f"witness.test/{name}", policy)
        self.servers[name] = TestServer(application(witness), host="127.0.0.1", port=port)
        await self.servers[name].start_server()
        self.vkeys[name] = " ".join(map(str, witness.cosigner.keys))
        return witness

    async def restart(self, name: str) -> None:
        port = self.servers[name].port
        await self.servers[name].close()
        await self.start(name, port=port)

    def audit(self, *, quorum: int) -> tuple[Audit, Witnesses]:
        known = tuple(f"http://127.0.0.1:{server.port} {self.vkeys[name]}" for name, server in self.servers.items())
        settings = Settings(witnesses=known, witness_quorum=quorum)
        witnesses = Witnesses(settings, self.bench.kernel.connections, self.outgoing)
        audit = Audit(
            settings,
            self.bench.kernel.connections,
            self.bench.kernel.db,
            self.bench.objects,
            self.bench.kernel.rings["audit"],
            self.bench.kernel.keys,
            host="aibox.test",
            build="0.1.0",
            policy="default@1",
            witnesses=witnesses,
        )
        return audit, witnesses


@pytest.fixture
async def watched(bench: Bench, tmp_path: Path) -> AsyncGenerator[Watched]:
    outgoing = Outgoing(http.Settings(internal_hosts=("127.0.0.1",)))
    async with outgoing.run():
        made = Watched(bench, outgoing, tmp_path)
        yield made
        for server in made.servers.values():
            await server.close()


async def policy_of(bench: Bench) -> bytes:
    turn = await bench.ended()
    await bench.audit.sealer.seal_pending()
    pinned = (await bench.audit.policy(turn)).logs
    return json.dumps({"logs": [{"origin": log.origin, "vkeys": list(log.vkeys)} for log in pinned]}).encode()


async def sealed(bench: Bench) -> Turn:
    turn = await bench.ended(ANN)
    await bench.audit.sealer.seal_pending()
    return turn


async def test_a_cosigned_receipt_is_witnessed_and_holds_under_a_policy_with_a_quorum(watched: Watched) -> None:
    await watched.start("a")
    await watched.start("b")
    audit, witnesses = watched.audit(quorum=2)
    turn = await sealed(watched.bench)

    await witnesses.ask()

    assert (await audit.receipt(turn, turn.id)).state == "witnessed"
    policy = json.dumps(await published(audit, turn)).encode()
    verdict = verifier.verify(await audit.proof(turn, turn.id), policy)
    assert verdict.ok, verdict.summary
    assert "2 of its witnesses cosigned the head, of 2" in verdict.steps[-1].detail
    later = await sealed(watched.bench)
    assert not verifier.verify(await audit.proof(later, later.id), policy).ok


async def test_one_of_two_is_not_enough_and_the_receipt_stays_as_it_was(watched: Watched) -> None:
    await watched.start("a")
    await watched.start("b")
    audit, witnesses = watched.audit(quorum=2)
    port = watched.servers["b"].port
    await watched.servers["b"].close()
    turn = await sealed(watched.bench)

    await witnesses.ask()

    assert (await audit.receipt(turn, turn.id)).state == "sealed"
    shown = json.loads(await audit.proof(turn, turn.id))["witnesses"]
    assert {vkey.split("+")[0] for vkey in shown} == {"witness.test/a"}
    assert list(witnesses.refusals) == ["witness.test/b"]
    await watched.start("b", port=port)
    await witnesses.ask()
    assert (await audit.receipt(turn, turn.id)).state == "witnessed"
    assert not witnesses.refusals


async def test_a_restarted_witness_goes_on_where_it_was(watched: Watched) -> None:
    await watched.start("a")
    audit, witnesses = watched.audit(quorum=1)
    await sealed(watched.bench)
    await witnesses.ask()

    await watched.restart("a")
    turn = await sealed(watched.bench)
    await witnesses.ask()

    assert (await audit.receipt(turn, turn.id)).state == "witnessed"


async def test_a_witness_that_was_rolled_back_is_told_of(watched: Watched, capsys: pytest.CaptureFixture[str]) -> None:
    await watched.start("a")
    _, witnesses = watched.audit(quorum=1)
    await sealed(watched.bench)
    await witnesses.ask()
    backup = (watched.folder / "a/heads.json").read_bytes()
    await sealed(watched.bench)
    await witnesses.ask()

    (watched.folder / "a/heads.json").write_bytes(backup)
    await watched.restart("a")
    turn = await sealed(watched.bench)
    await witnesses.ask()

    assert "audit.witness_rolled_back" in capsys.readouterr().out
    assert (await watched.bench.audit.receipt(turn, turn.id)).state == "witnessed"


async def test_a_log_that_lost_entries_gets_no_cosignature_any_more(watched: Watched) -> None:
    witness = await watched.start("a")
    _, witnesses = watched.audit(quorum=1)
    turn = await sealed(watched.bench)
    receipt = await watched.bench.audit.receipt(turn, turn.id)
    memory = watched.folder / "a/heads.json"
    ahead = {receipt.log: {"size": 900, "root": "A" * 43 + "="}}
    memory.write_text(json.dumps(ahead))
    await watched.restart("a")

    await witnesses.ask()

    assert witnesses.refusals == {witness.cosigner.name: "it has cosigned a head of 900 entries, and this log has 4"}
    assert (await watched.bench.audit.receipt(turn, turn.id)).state == "sealed"


async def test_a_witness_with_other_keys_than_configured_does_not_count(watched: Watched) -> None:
    await watched.start("a")
    await watched.start("b")
    known, other = f"http://127.0.0.1:{watched.servers['a'].port}", watched.vkeys["b"]
    settings = Settings(witnesses=(f"{known} {other}",))
    witnesses = Witnesses(settings, watched.bench.kernel.connections, watched.outgoing)
    turn = await sealed(watched.bench)

    await witnesses.ask()

    assert witnesses.refusals == {
        "witness.test/b": "its answer holds no cosignature by a key that is configured for it"
    }
    assert (await watched.bench.audit.receipt(turn, turn.id)).state == "sealed"


@pytest.mark.parametrize("text", ["", "http://w.test", "http://w.test x+y+z", "http://w.test {log}", "{a} {b}"])
def test_a_witness_that_is_not_one_refuses_the_start(text: str) -> None:
    with pytest.raises(BootRefused):
        Known.parse(text.format(log="k+00000000+AAAA", a="http://w.test", b="w+00000000+BAAA"))


def test_a_quorum_larger_than_the_witnesses_refuses_the_start(bench: Bench) -> None:
    with pytest.raises(BootRefused, match="AIBOX_AUDIT_WITNESS_QUORUM"):
        Witnesses(Settings(witnesses=(KEYED,), witness_quorum=2), bench.kernel.connections, Outgoing(http.Settings()))


async def test_a_receipt_continues_the_head_that_its_reader_pinned(bench: Bench) -> None:
    early = await sealed(bench)
    log = (await bench.audit.receipt(early, early.id)).log or ""
    pin = (await bench.audit.checkpoint(early, log.split("/")[-2])).encode()
    for _ in range(5):
        await sealed(bench)
    late = await sealed(bench)

    for turn in (early, late):
        proof = await bench.audit.proof(turn, turn.id, pin=2)
        verdict = verifier.verify(proof, pin=pin)
        assert verdict.ok, verdict.summary
        assert verdict.steps[-1].detail.endswith(f"the first 2 entries of {log} are those of the pinned head")
    newest = json.loads(await bench.audit.proof(early, early.id, pin=8))
    assert newest["checkpoint"].split("\n")[1] == "8"
    assert "consistency" not in newest


async def test_a_pin_of_more_entries_than_the_log_ever_had_is_said_to_be_of_no_head(bench: Bench) -> None:
    turn = await sealed(bench)

    with pytest.raises(ValidationFailed) as refused:
        await bench.audit.proof(turn, turn.id, pin=99)

    assert refused.value.fields[0]["error"].startswith("The log never had so many entries")


async def published(audit: Audit, turn: Turn) -> object:
    """The policy as `GET /v1/audit/policy` answers it."""
    return msgspec.to_builtins(await audit.policy(turn))


KEYED = "http://w.test witness.example/a+06e21a09+BNv2eCZ9CFTHPGGMxqdBtEgcr2EsWDoWwEU1uwUhzni/"
