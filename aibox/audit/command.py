"""`aibox verify FILE|TURN|LOG`: judge a receipt, or with its files a whole log, and say what holds and what does not.

A pin is a file with the newest head that its owner has seen of a log. It is made at the first receipt that holds and
moved on, never back, by each later one; so a log that was cut or rewritten in between is found out.
"""

import argparse
import json
import os
import shutil
import sys
import textwrap
import time
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlencode
from uuid import UUID

from aibox.audit import notes
from aibox.audit.download import NotThere, UsageError, download
from aibox.audit.durable import write_durably
from aibox.audit.links import FaultFound
from aibox.audit.notes import Checkpoint, NoteError
from aibox.audit.timestamps import StampError, read_roots, stamped_at
from aibox.audit.verifier import Step, Verdict, verify
from aibox.audit.verifier.form import MAX_BYTES
from aibox.audit.whole import Audit, Folder, Server

KEY = "AIBOX_API_KEY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "receipt",
        metavar="FILE|TURN|LOG",
        help="receipt.json as downloaded; a turn's id to fetch it; with --tiles the name of a log, its origin",
    )
    parser.add_argument("--policy", type=Path, help="policy.json: the log keys you trust (GET /v1/audit/policy)")
    parser.add_argument("--pin", type=Path, help="the head you saw last; made at first use, moved on when all holds")
    parser.add_argument(
        "--timestamp", type=Path, help="an RFC 3161 time stamp of the head, or of the older one it names"
    )
    parser.add_argument("--roots", type=Path, help="PEM certificates of the time stamp authority you trust")
    parser.add_argument("--tiles", metavar="FOLDER|URL", help="where the files of a log are: audits all of it")
    parser.add_argument("--server", help=f"where to fetch a turn's receipt from, with the API key in {KEY}")
    parser.add_argument("--save", type=Path, help="keep the fetched receipt in this file")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    parser.add_argument("--quiet", action="store_true", help="print the verdict only")


def run(options: argparse.Namespace, *, server: str) -> int:
    """Verify and print; 0 when all holds, 1 when not, 2 when there is nothing to judge."""
    if options.tiles:
        return _audit(options)
    try:
        pin = _read(options.pin) if options.pin and options.pin.exists() else None
        data = _receipt(options, server, pin)
        policy = _read(options.policy) if options.policy else None
        verdict = verify(data, policy, pin)
        if options.timestamp:
            verdict = _with(verdict, _timestamp(options, data)) if verdict.ok else verdict
        pinned = _pin(options.pin, pin, data) if options.pin and verdict.ok else None
        if options.save:
            _replace(options.save, data)
    except UsageError as why:
        print(f"aibox: {why}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({**asdict(verdict), "pinned": pinned}, ensure_ascii=False, indent=1))
    else:
        _print(verdict, pinned, has_policy=policy is not None, quiet=options.quiet)
    return 0 if verdict.ok else 1


def _receipt(options: argparse.Namespace, server: str, pin: bytes | None) -> bytes:
    path = Path(options.receipt)
    if path.exists():
        return _read(path)
    try:
        turn = UUID(options.receipt)
    except ValueError:
        raise UsageError(f"{path}: there is no such file, and it is not the id of a turn") from None
    head = _head(pin) if pin is not None else None
    return fetch(options.server or server, turn, pin=head, key=os.environ.get(KEY, ""))


def fetch(server: str, turn: UUID, *, pin: Checkpoint | None, key: str) -> bytes:
    """The receipt of a turn as its server gives it. Raises UsageError."""
    if not key:
        raise UsageError(f"to fetch a receipt, put an API key with the scope audit:read into {KEY}")
    url = f"{server.rstrip('/')}/v1/receipts/{turn}/proof{_query(pin)}"
    what = f"the receipt of turn {turn}"
    try:
        return download(url, key=key, limit=MAX_BYTES + 1, what=what)
    except NotThere as why:
        raise UsageError(f"the server refused {what}: {why}") from None


def _query(pin: Checkpoint | None) -> str:
    """Asks for the proof that the receipt's head continues the pinned one, which may be of the log before."""
    if pin is None:
        return ""
    return "?" + urlencode({"pin": pin.size, "pin_log": pin.origin.split("/")[-2:-1]}, doseq=True)


def _pin(path: Path, pin: bytes | None, data: bytes) -> dict[str, object]:
    """Move the pin on to the head of a receipt that held against it; what the file pins then."""
    note: str = json.loads(data)["checkpoint"]
    head, before = notes.parse_checkpoint(note), None if pin is None else _head(pin)
    is_newer = before is None or head.origin != before.origin or head.size > before.size
    if is_newer:
        _replace(path, note.encode())
    return {
        "file": str(path),
        "from": before and before.size,
        "size": head.size if is_newer or not before else before.size,
    }


def _timestamp(options: argparse.Namespace, data: bytes) -> Step:
    """A time stamp of the head of a receipt that held, or of the older head that it proved to continue."""
    if not options.roots:
        raise UsageError("a time stamp is as good as its authority: give its certificates as --roots")
    bundle = json.loads(data)
    head = notes.parse_checkpoint(bundle["checkpoint"])
    texts = {head.size: head.body}
    if old := bundle.get("consistency"):
        texts[old["from"]] = notes.checkpoint_text(head.origin, old["from"], bytes.fromhex(old["root"]))
    faults = []
    for size, text in texts.items():
        try:
            at = stamped_at(_read(options.timestamp), text.encode(), read_roots(options.roots))
            return Step("timestamp", True, f"the head of {size} entries was there at {at:%Y-%m-%dT%H:%M:%SZ}")
        except StampError as why:
            faults.append(str(why))
    return Step("timestamp", False, faults[-1])


def _with(verdict: Verdict, step: Step) -> Verdict:
    """The verdict with one step more."""
    summary = verdict.summary if step.ok else f"Refused at {step.name}: {step.detail}."
    return Verdict(step.ok, (*verdict.steps, step), summary)


def _audit(options: argparse.Namespace) -> int:
    """Audit a whole log from its files."""
    place, begun = options.tiles, time.monotonic()
    is_told = not options.quiet and sys.stderr.isatty()
    audit = None
    try:
        if not options.policy:
            raise UsageError("a whole log is judged by the keys you trust: give them as --policy")
        files = Server(place, key=os.environ.get(KEY, "")) if "://" in place else Folder(Path(place))
        pin = _head(_read(options.pin)) if options.pin else None
        audit = Audit(files, options.receipt, _read(options.policy), pin)
        for checked in audit.run():
            if is_told:
                print(f"\r  {checked:,} of {audit.head.size:,} entries", end="", file=sys.stderr, flush=True)
    except UsageError as why:
        print(f"aibox: {why}", file=sys.stderr)
        return 2
    except FaultFound as fault:
        return _fault(options, audit, fault)
    finally:
        if is_told:
            print(file=sys.stderr)
    found = {"ok": True, "log": audit.head.origin, "checked": audit.checked, "entries": dict(audit.kinds)}
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        kinds = ", ".join(f"{count:,} {name.split('.')[1]}" for name, count in sorted(audit.kinds.items()))
        seconds = time.monotonic() - begun
        print(
            f"All {audit.checked:,} entries of {audit.head.origin} are what was signed ({kinds}; {seconds:.1f} s). "
            "What its turns hold is not among these files.\n" + _coloured(GREEN, "Verified.")
        )
    return 0


def _fault(options: argparse.Namespace, audit: Audit | None, fault: FaultFound) -> int:
    """Say what is not as it was signed, and at which entry."""
    index = audit.at if audit is not None else None
    if options.json:
        print(
            json.dumps(
                {"ok": False, "log": options.receipt, "first_bad": {"idx": index, "reason": str(fault)}}, indent=1
            )
        )
    else:
        where = "" if index is None else f"at entry {index}: "
        print(f"{where}{fault}\n{_coloured(RED, 'NOT verified.')}")
    return 1


def _head(pin: bytes) -> Checkpoint:
    try:
        return notes.parse_checkpoint(pin.decode())
    except (NoteError, UnicodeDecodeError):
        raise UsageError("the file given as --pin is not a checkpoint") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as why:
        raise UsageError(f"{path}: {why.strerror}") from None


def _replace(path: Path, data: bytes) -> None:
    """Write the file whole: a crash leaves the old one or the new one."""
    try:
        write_durably(path, data)
    except OSError as why:
        raise UsageError(f"{path}: {why.strerror}") from None


# --- for a person at a terminal -------------------------------------------------------------------------------------

GREEN, RED, YELLOW, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[0m"


def _print(verdict: Verdict, pinned: dict[str, object] | None, *, has_policy: bool, quiet: bool) -> None:
    if not quiet:
        for step in verdict.steps:
            print(_line(step, left_open=step.name == "trust" and step.ok and not has_policy))
        if pinned is not None:
            print(_paragraph(f"  {'':14}", _pinned(pinned)))
        print(f"\n{verdict.summary}")
    print(_coloured(GREEN, "Verified.") if verdict.ok else _coloured(RED, "NOT verified."))


def _line(step: Step, *, left_open: bool) -> str:
    """One step: held, failed, or left for the reader to say."""
    colour, sign = (YELLOW, "?") if left_open else (GREEN, "✓") if step.ok else (RED, "✗")
    text = _paragraph(f"  {sign} {step.name:<10}  ", step.detail)
    return text.replace(sign, _coloured(colour, sign), 1)


def _paragraph(begin: str, text: str) -> str:
    """The text beside its beginning, folded to the width of the terminal."""
    width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 10_000
    return textwrap.fill(text, width, initial_indent=begin, subsequent_indent=" " * len(begin), break_on_hyphens=False)


def _pinned(pinned: dict[str, object]) -> str:
    if pinned["from"] is None:
        return f"{pinned['file']} now pins this head of {pinned['size']} entries; there was none to compare it with"
    return f"{pinned['file']} pinned the head of {pinned['from']} entries, and now that of {pinned['size']}"


def _coloured(colour: str, text: str) -> str:
    return f"{colour}{text}{PLAIN}" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text
