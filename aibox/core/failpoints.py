"""Named places where a crash test stops this process, breaks a step, or bends a bit. Unarmed, a place costs one test.

    eventlog.insert=kill@3                 SIGKILL at the third time that the place is reached
    sealer.commit=kill:/data/pg.pid        SIGKILL of the process whose id is the file's first line: PostgreSQL's
    sealer.entry=flip                      one bit of the data that passes the place

Several are separated by `;`. The other actions are `exit` (`os._exit`, nothing is flushed) and `raise` (`Broken`).
`make crash` arms every place in turn (tests/crash); production refuses to start with one armed.
"""

import os
import signal
from pathlib import Path
from typing import Literal, get_args

import structlog
from msgspec import Struct

from aibox.core.errors import BootRefused

log = structlog.get_logger("aibox.core.failpoints")

Action = Literal["raise", "exit", "kill", "flip"]

EXIT_CODE = 86
"""What a process says whose action is `exit`."""

STEPS = {
    "eventlog.insert": "events are about to be inserted",
    "eventlog.inserted": "events are on disk, and nobody has been told",
    "work.commit": "a Work is about to commit with its events",
    "work.committed": "a Work has committed, and nobody has been told",
    "delivery.handle": "a batch of events is about to be handed to a subscriber",
    "delivery.handled": "a subscriber has handled a batch, and its cursor has not moved",
    "reaper.end": "a turn that a crash left is about to be ended",
    "reaper.ended": "it has been ended",
    "sealer.take": "ended turns have been taken, under the head's lock",
    "sealer.written": "envelopes and nodes are written, and not read back",
    "sealer.sign": "all was computed again, and the head is about to be signed",
    "sealer.signed": "the head is signed and stored in the transaction",
    "sealer.commit": "the seal is about to commit",
    "sealer.committed": "the seal has committed, and nobody has been told",
    "heads.copy": "a head is about to be copied out",
    "heads.copied": "it was written once, and the newest copy still is an older one",
    "heads.moved": "the newest copy moved, and the database does not know",
    "objects.put": "an object is about to be written",
    "objects.drafted": "its bytes are on disk under another name",
    "objects.replaced": "it is in place, and its folder is not flushed",
    "erasure.destroy": "data keys are about to be destroyed",
    "erasure.destroyed": "they are destroyed, with their tombstone due",
}
"""Every place that is reached, in the order of a turn's life, with what it stands before or behind."""

DATA = {
    "sealer.event": "the bytes of an event, as the sealer read them",
    "sealer.entry": "the bytes of an entry, as they go to the disk",
    "sealer.node": "a hash of the tree, as it goes to the disk",
    "sealer.root": "the root, as it goes to the signer",
}
"""Every place that data passes."""


class Broken(Exception):
    """What a place raises whose action is `raise`."""


class Charge(Struct):
    """What happens at a place, when it has been reached `left` more times."""

    action: Action
    file: str
    left: int


_armed: dict[str, Charge] = {}


def arm(text: str) -> None:
    """Arm the places of `text`, and no others. Raises `BootRefused` for a place or an action that does not exist."""
    _armed.clear()
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        place, _, rest = entry.partition("=")
        rest, _, count = rest.partition("@")
        action, _, file = rest.partition(":")
        known = {"flip"} if place in DATA else {*get_args(Action)} - {"flip"} if place in STEPS else set()
        if action not in known or not (count or "1").isdigit():
            raise BootRefused("boot_failpoints", f"AIBOX_FAILPOINTS names no place or action of the code: {entry}.")
        charge: Action = action  # type: ignore[assignment]  # it is one of those just asked for
        _armed[place] = Charge(charge, file, int(count or "1"))
        log.warning("failpoints.armed", place=place, action=action)


def reach(place: str) -> None:
    """The process stands at `place`."""
    if _armed and (charge := _due(place)) is not None:
        _act(place, charge)


def bend(place: str, data: bytes) -> bytes:
    """`data` as it passes `place`: the same bytes, unless a test flips a bit of them."""
    if _armed and _due(place) is not None:
        return bytes([data[0] ^ 1]) + data[1:]
    return data


def _due(place: str) -> Charge | None:
    charge = _armed.get(place)
    if charge is None:
        return None
    charge.left -= 1
    if charge.left:
        return None
    del _armed[place]
    return charge


def _act(place: str, charge: Charge) -> None:
    match charge.action:
        case "exit":
            os._exit(EXIT_CODE)
        case "kill":
            os.kill(
                int(Path(charge.file).read_text().split("\n", 1)[0]) if charge.file else os.getpid(), signal.SIGKILL
            )
        case _:
            raise Broken(place)
