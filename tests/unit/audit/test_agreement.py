"""The browser's verifier and the stand-alone one give the same verdict, word for word, on the same bytes."""

import base64
import json
import os
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from aibox.audit.verifier import verify
from tests.vectors import make
from tests.vectors.mutations import VALID, mutations
from tests.vectors.varied import varied

WEB = make.FOLDER.parent.parent / "web"
MUTANTS = 1500
VARIED = 200


@pytest.mark.skipif(
    not (WEB / "node_modules/vitest").exists() or shutil.which("node") is None,
    reason="the web app's packages are not installed (npm ci in web/)",
)
@pytest.mark.timeout(300)
def test_both_verifiers_agree_on_valid_invalid_and_mutated_receipts(tmp_path: Path) -> None:
    invalid = sorted((make.FOLDER / "invalid").glob("*.json"))
    receipts = [path.read_bytes() for path in [*VALID, *invalid]]
    receipts += [b"", b"{}", b"\xff", b"[" * 900 + b"]" * 900, *mutations(seed=2, count=MUTANTS)]
    receipts += varied(seed=2, count=VARIED)
    lines = [{"data": base64.b64encode(data).decode(), "verdict": asdict(verify(data))} for data in receipts]
    verdicts = tmp_path / "verdicts.jsonl"
    verdicts.write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    done = subprocess.run(
        ["node", "node_modules/vitest/vitest.mjs", "run", "src/verifier/agreement.test.ts"],
        cwd=WEB,
        env=os.environ | {"AIBOX_VERDICTS": str(verdicts)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert sum(line["verdict"]["ok"] for line in lines) == len(VALID) + VARIED  # type: ignore[index]
    assert done.returncode == 0, done.stdout[-4000:]
    assert "1 passed" in done.stdout
