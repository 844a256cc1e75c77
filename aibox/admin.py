"""`aibox-admin`: users, roles, providers and models from the console of the machine. Thin: it calls the System.

Whoever can read the data folder may do everything here: it acts as `system`, and every change is an event.
"""

import argparse
import getpass
import sys
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal, InvalidOperation

import msgspec
import uvloop

from aibox.app import System, build
from aibox.core import telemetry
from aibox.core.errors import AIBoxError, BootRefused, NotFound, ValidationFailed
from aibox.core.turn import Turn, system_turn
from aibox.identity import User
from aibox.observability import Price
from aibox.settings import load

Act = Callable[[System, Turn, argparse.Namespace], Awaitable[None]]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; ends the process with its exit code."""
    options = _parser().parse_args(arguments)
    try:
        uvloop.run(_act(options))
        code = 0
    except BootRefused as refused:
        print(f"aibox-admin: {refused} ({refused.code})", file=sys.stderr)
        code = BootRefused.exit_code
    except ValidationFailed as error:
        reasons = "; ".join(f"{field['field']}: {field['error']}" for field in error.fields)
        print(f"aibox-admin: {error}{f' {reasons}' if reasons else ''} ({error.code})", file=sys.stderr)
        code = 1
    except AIBoxError as error:
        print(f"aibox-admin: {error} ({error.code})", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


async def _act(options: argparse.Namespace) -> None:
    loaded = load()
    telemetry.configure(msgspec.structs.replace(loaded.settings.log, level="error"))
    system = build(loaded.settings)
    async with system.console():
        turn = system_turn(loaded.settings.tenancy.single_tenant_id)
        outcome = "failed"
        try:
            await options.act(system, turn, options)
            outcome = "sealed"
        finally:
            await system.log.end(turn, outcome)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aibox-admin", description="Manage AIBox from its machine's console.")
    groups = parser.add_subparsers(required=True, metavar="WHAT")

    users = groups.add_parser("users", help="people and their roles").add_subparsers(required=True, metavar="DO")
    _command(users, "list", _users_list, "list the users")
    _command(users, "setup", _users_setup, "print a new setup link, while there is no owner")
    add = _command(users, "add", _users_add, "add a user; the password is asked for, or read with --password-stdin")
    add.add_argument("email")
    add.add_argument("--name", required=True)
    add.add_argument("--role", action="append", help="owner, admin, member (default) or viewer; may be repeated")
    add.add_argument("--password-stdin", action="store_true")
    password = _command(users, "password", _users_password, "set a user's password and end the sessions")
    password.add_argument("email")
    password.add_argument("--password-stdin", action="store_true")
    roles = _command(users, "roles", _users_roles, "replace a user's roles")
    roles.add_argument("email")
    roles.add_argument("role", nargs="+")
    for name, status in (("suspend", "suspended"), ("activate", "active"), ("deactivate", "deactivated")):
        change = _command(users, name, _users_status, f"make a user {status}")
        change.add_argument("email")
        change.set_defaults(status=status)

    keys = groups.add_parser("keys", help="API keys").add_subparsers(required=True, metavar="DO")
    made = _command(keys, "add", _keys_add, "make an API key for a user; it is shown this once")
    made.add_argument("email")
    made.add_argument("--name", required=True)
    made.add_argument(
        "--scope", action="append", help="such as chat, models, memory; may be repeated (default: models)"
    )
    made.add_argument("--days", type=int, default=365)
    listed = _command(keys, "list", _keys_list, "list a user's API keys")
    listed.add_argument("email")
    revoked = _command(keys, "revoke", _keys_revoke, "revoke an API key")
    revoked.add_argument("email")
    revoked.add_argument("key_id")

    providers = groups.add_parser("providers", help="where models are served").add_subparsers(
        required=True, metavar="DO"
    )
    _command(providers, "list", _providers_list, "list providers and their models")
    provider = _command(
        providers, "add", _providers_add, "probe a provider's /models and add it; nothing is saved when that fails"
    )
    provider.add_argument("name")
    provider.add_argument("base_url")
    provider.add_argument("--type", choices=("external", "vllm"), default="external")
    provider.add_argument("--model", action="append", help="only these of its models; may be repeated")
    provider.add_argument("--key-stdin", action="store_true", help="read the API key from standard input")
    removed = _command(providers, "remove", _providers_remove, "remove a provider and its models")
    removed.add_argument("name")

    models = groups.add_parser("models", help="models and prices").add_subparsers(required=True, metavar="DO")
    _command(models, "list", _models_list, "list the models")
    price = _command(models, "price", _models_price, "set a model's price in US dollars per million tokens")
    price.add_argument("model")
    price.add_argument("input_usd")
    price.add_argument("output_usd")

    aliases = groups.add_parser("roles", help="which model serves which role").add_subparsers(
        required=True, metavar="DO"
    )
    _command(aliases, "list", _roles_list, "list the role aliases")
    alias = _command(aliases, "set", _roles_set, "let a model serve a role")
    alias.add_argument("role")
    alias.add_argument("model")
    alias.add_argument("--fallback", action="append", default=[], help="tried next; may be repeated")
    unset = _command(aliases, "unset", _roles_unset, "let no model serve a role")
    unset.add_argument("role")
    return parser


def _command(
    group: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, act: Act, text: str
) -> argparse.ArgumentParser:
    command = group.add_parser(name, help=text, description=text.capitalize() + ".")
    command.set_defaults(act=act)
    return command


# --- users and keys -------------------------------------------------------------------------------------------------


async def _users_list(system: System, turn: Turn, _: argparse.Namespace) -> None:
    for user in await system.identity.users(turn):
        print(f"{user.email}\t{user.name}\t{','.join(user.roles)}\t{user.status}")


async def _users_setup(system: System, turn: Turn, _: argparse.Namespace) -> None:
    link = await system.identity.setup_link(turn)
    print(link or "There is an owner already; use `aibox-admin users password EMAIL` to help them in.")


async def _users_add(system: System, turn: Turn, options: argparse.Namespace) -> None:
    user = await system.identity.create_user(
        turn,
        name=options.name,
        email=options.email,
        password=_secret("Password", from_stdin=options.password_stdin),
        roles=options.role or ["member"],
    )
    print(f"Added {user.email} as {', '.join(user.roles)}.")


async def _users_password(system: System, turn: Turn, options: argparse.Namespace) -> None:
    user = await _user(system, turn, options.email)
    await system.identity.set_password(turn, user.id, _secret("New password", from_stdin=options.password_stdin))
    print(f"Set; the sessions of {user.email} are over.")


async def _users_roles(system: System, turn: Turn, options: argparse.Namespace) -> None:
    user = await _user(system, turn, options.email)
    changed = await system.identity.set_roles(turn, user.id, options.role)
    print(f"{changed.email} is {', '.join(changed.roles)}.")


async def _users_status(system: System, turn: Turn, options: argparse.Namespace) -> None:
    user = await _user(system, turn, options.email)
    changed = await system.identity.set_status(turn, user.id, options.status)
    print(f"{changed.email} is {changed.status}.")


async def _keys_add(system: System, turn: Turn, options: argparse.Namespace) -> None:
    user = await _user(system, turn, options.email)
    key = await system.identity.create_key(
        turn, user_id=user.id, name=options.name, scopes=options.scope or ["models"], days=options.days
    )
    print(key)


async def _keys_list(system: System, turn: Turn, options: argparse.Namespace) -> None:
    user = await _user(system, turn, options.email)
    for key in await system.identity.keys(turn, user_id=user.id):
        print(msgspec.json.encode(key).decode())


async def _keys_revoke(system: System, turn: Turn, options: argparse.Namespace) -> None:
    user = await _user(system, turn, options.email)
    await system.identity.revoke_key(turn, user_id=user.id, key_id=options.key_id)
    print("Revoked.")


async def _user(system: System, turn: Turn, email: str) -> User:
    found = [user for user in await system.identity.users(turn) if user.email == email.strip().lower()]
    if not found:
        raise NotFound(f"There is no user {email}.")
    return found[0]


# --- providers, models and roles ------------------------------------------------------------------------------------


async def _providers_list(system: System, turn: Turn, _: argparse.Namespace) -> None:
    for provider in await system.catalogue.providers(turn):
        key = "key stored" if provider.has_key else "no key"
        print(f"{provider.name}\t{provider.type}\t{provider.base_url}\t{key}\t{len(provider.models)} models")


async def _providers_add(system: System, turn: Turn, options: argparse.Namespace) -> None:
    provider = await system.catalogue.add_provider(
        turn,
        name=options.name,
        base_url=options.base_url,
        api_key=_secret("API key", from_stdin=True) if options.key_stdin else None,
        type=options.type,
        models=options.model,
    )
    print(f"Added {provider.name} at {provider.base_url} with {len(provider.models)} models:")
    for model in provider.models:
        print(f"  {model.id}")
    print(f"Next: aibox-admin roles set default {provider.models[0].id}" if provider.models else "It lists no model.")


async def _providers_remove(system: System, turn: Turn, options: argparse.Namespace) -> None:
    await system.catalogue.remove_provider(turn, options.name)
    print("Removed.")


async def _models_list(system: System, turn: Turn, _: argparse.Namespace) -> None:
    for provider in await system.catalogue.providers(turn):
        for model in provider.models:
            price = f"{model.price.input_usd}/{model.price.output_usd} USD" if model.price else "no price"
            print(f"{model.id}\t{provider.name}\t{','.join(model.capabilities)}\t{price}")


async def _models_price(system: System, turn: Turn, options: argparse.Namespace) -> None:
    try:
        price = Price(input_usd=Decimal(options.input_usd), output_usd=Decimal(options.output_usd))
    except InvalidOperation:
        raise ValidationFailed("A price is a number of US dollars per million tokens.") from None
    await system.catalogue.set_price(turn, options.model, price)
    print("Set.")


async def _roles_list(system: System, turn: Turn, _: argparse.Namespace) -> None:
    for alias, role in (await system.catalogue.roles(turn)).items():
        fallbacks = f" then {', '.join(role['fallbacks'])}" if role and role["fallbacks"] else ""
        print(f"{alias}\t{role['model'] if role else '-'}{fallbacks}")


async def _roles_set(system: System, turn: Turn, options: argparse.Namespace) -> None:
    await system.catalogue.set_role(turn, options.role, options.model, fallbacks=options.fallback)
    print(f"{options.role} is served by {options.model}.")


async def _roles_unset(system: System, turn: Turn, options: argparse.Namespace) -> None:
    await system.catalogue.set_role(turn, options.role, None)
    print(f"No model serves {options.role}.")


def _secret(what: str, *, from_stdin: bool) -> str:
    return sys.stdin.readline().rstrip("\r\n") if from_stdin else getpass.getpass(f"{what}: ")
