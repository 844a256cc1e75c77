"""`aibox`: start the server, verify receipts, look at the installation, migrate the database.

Exit codes: 0 done, 1 failed or not verified, 2 wrong usage, 78 the server must not start like this.
"""

import argparse
import asyncio
import gc
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import uvloop

from aibox import __version__
from aibox.app import build, create_app
from aibox.audit import command
from aibox.core import telemetry
from aibox.core.connections import LOST
from aibox.core.errors import AIBoxError, BootRefused
from aibox.core.turn import system_turn
from aibox.doctor import examine, masked, preflight
from aibox.gateway.serve import serve
from aibox.settings import Loaded, Setting, catalogue, load
from aibox.stores import migrations
from aibox.stores.postgres import owner_url


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; ends the process with its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        code = options.act(options)
    except BootRefused as refused:
        print(f"aibox: {refused} ({refused.code})", file=sys.stderr)
        code = BootRefused.exit_code
    except AIBoxError as error:
        print(f"aibox: {error} ({error.code})", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aibox", description="AIBox, the self-hosted AI platform that proves itself.")
    parser.add_argument("--version", action="version", version=f"aibox {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, act, text in (
        ("up", _up, "check this machine, then start AIBox and print where it is"),
        ("serve", _serve, "start AIBox"),
        ("doctor", _doctor, "print every setting with its source, and the state of every part"),
        ("migrate", _migrate, "bring the database to this version"),
        ("openapi", _openapi, "print the OpenAPI document"),
    ):
        commands.add_parser(name, help=text, description=text.capitalize() + ".").set_defaults(act=act)
    check = commands.add_parser(
        "verify",
        help="verify a receipt, and say step by step what holds",
        description="Verify a receipt, offline when it is a file, and say step by step what holds and what does not.",
    )
    command.add_arguments(check)
    check.set_defaults(act=_verify)
    return parser


# --- up and serve ---------------------------------------------------------------------------------------------------


def _up(_: argparse.Namespace) -> int:
    """Like `serve`, for a person at a terminal."""
    loaded = load()
    telemetry.configure(msgspec.structs.replace(loaded.settings.log, level="warning"))
    for refusal in preflight(loaded.settings):
        raise refusal
    print(f"AIBox {__version__}: data in {loaded.settings.data_path}", flush=True)
    return _run(loaded, _Progress())


def _serve(_: argparse.Namespace) -> int:
    loaded = load()
    telemetry.configure(loaded.settings.log)
    return _run(loaded, _Progress())


class _Progress:
    """Says what takes long, with the time it took."""

    def __init__(self) -> None:
        self._begin = time.monotonic()

    def __call__(self, step: str) -> None:
        print(f"  {time.monotonic() - self._begin:5.1f} s  {step}", flush=True)


def _run(loaded: Loaded, progress: _Progress) -> int:
    async def live() -> None:
        system = build(loaded.settings)
        app = create_app(system)  # what it refuses is refused before anything is opened
        async with system.run(progress):
            turn = system_turn(loaded.settings.tenancy.single_tenant_id)
            link = await system.identity.setup_link(turn)
            await system.log.end(turn, "sealed")

            def ready() -> None:
                progress("ready")
                print(f"\n  AIBox is ready: {loaded.settings.base_url}", flush=True)
                if link is not None:
                    print(f"  Create the owner here, once, within 24 hours:\n\n    {link}\n", flush=True)
                print("  Stop with Ctrl-C.", flush=True)

            sparing = asyncio.create_task(_spare_the_collector(), name="collector")
            try:
                await serve(app, loaded.settings.gateway, ready=ready)
            finally:
                sparing.cancel()
        print("AIBox has stopped.", flush=True)

    try:
        uvloop.run(live())
    except* BootRefused as group:
        raise group.exceptions[0] from None  # the first says what to mend; the others follow from it
    return 0


async def _spare_the_collector() -> None:
    """Exempt from garbage collection what the start made, and once more what the models' loading beside it made.

    These hundreds of thousands of objects stay until the end; to look through them again and again took a sixth of the
    CPU time of a proxied request.
    """
    gc.set_threshold(10_000, 20, 20)
    for seconds in (0, 30):
        await asyncio.sleep(seconds)
        gc.freeze()


# --- doctor ---------------------------------------------------------------------------------------------------------


def _doctor(_: argparse.Namespace) -> int:
    loaded = load()
    telemetry.configure(msgspec.structs.replace(loaded.settings.log, level="error"))
    findings = uvloop.run(examine(loaded.settings))
    _print_table(
        ("setting", "value", "source"),
        [(setting.name, _shown(setting, loaded), loaded.sources[setting.name]) for setting in catalogue()],
    )
    print()
    _print_table(("part", "state", "detail"), [(f.part, f.state, f.detail) for f in findings])
    return 0 if all(finding.state != "failed" for finding in findings) else 1


def _shown(setting: Setting, loaded: Loaded) -> str:
    """A setting's value as text, secrets and passwords in URLs masked."""
    value: object = loaded.settings
    for part in setting.name.split("."):
        value = getattr(value, part)
    if setting.is_secret:
        return "••••••" if value else ""
    return masked(", ".join(map(str, value)) if isinstance(value, tuple) else str(value))


def _print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    limit = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 10_000
    for line in table(head, rows, limit):
        print(line)


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], limit: int) -> Iterator[str]:
    """Lines of at most `limit` characters. The last column, where reasons stand, goes on below itself."""
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
    indent = sum(widths[:-1]) + 2 * len(widths[:-1])
    room = limit - indent if limit - indent >= len(head[-1]) else limit
    for number, row in enumerate((head, *rows)):
        front = "".join(f"{cell:<{width}}  " for cell, width in zip(row[:-1], widths[:-1], strict=True))
        for at, part in enumerate(textwrap.wrap(row[-1], room, break_on_hyphens=False) or [""]):
            yield f"{' ' * indent if at else front}{part}"[:limit].rstrip()
        if number == 0:
            yield "  ".join("─" * width for width in widths)[:limit]


# --- the others -----------------------------------------------------------------------------------------------------


def _migrate(_: argparse.Namespace) -> int:
    loaded = load()

    async def run() -> None:
        async with owner_url(loaded.settings.database, loaded.settings.data_path) as url:
            try:
                await migrations.migrate(url)
            except LOST as error:
                raise BootRefused("boot_database", f"PostgreSQL cannot be reached: {error}.") from None

    asyncio.run(run())
    print("The database is at this version.")
    return 0


def _openapi(_: argparse.Namespace) -> int:
    import tempfile  # noqa: PLC0415 - for this command only

    with tempfile.TemporaryDirectory() as folder:
        loaded = load({"AIBOX_DATA": folder}, Path(folder) / "none.toml")
        schema = create_app(build(loaded.settings)).litestar.openapi_schema.to_schema()
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(schema), indent=1) + b"\n")
    return 0


def _verify(options: argparse.Namespace) -> int:
    return command.run(options, server=load().settings.base_url)


if __name__ == "__main__":
    main()
