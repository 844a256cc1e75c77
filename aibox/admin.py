"""`aibox-admin`: users, roles, providers and models from the console of the machine. Thin: it calls the System.

Whoever can read the data folder may do everything here: it acts as `system`, and every change is an event.
"""

import argparse
import getpass
import sys
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import get_args
from uuid import UUID

import msgspec
import uvloop

from aibox.app import System, build
from aibox.audit import Filter, Format
from aibox.audit.console import SECRETS, LogFaulty
from aibox.core import telemetry
from aibox.core.errors import AIBoxError, BootRefused, NotFound, ValidationFailed
from aibox.core.turn import Turn, system_turn
from aibox.identity import User
from aibox.observability import BudgetTerms, Period, Price, Subject
from aibox.router import AdapterName, BackendUnavailable, Bundle
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
    roles = _command(
        users, "roles", _users_roles, "replace a user's roles; without any, list theirs and those there are"
    )
    roles.add_argument("email")
    roles.add_argument("role", nargs="*")
    invited = _command(
        users, "invite", _users_invite, "print a link by which someone joins once, and mail it if that is set up"
    )
    invited.add_argument("email")
    invited.add_argument("--role", action="append", help="as for `users add`; may be repeated (default: member)")
    invited.add_argument("--days", type=int, default=7, help="for how long the link is good (default: 7)")
    _command(users, "invitations", _users_invitations, "list who was invited and has not joined yet")
    uninvited = _command(users, "uninvite", _users_uninvite, "take an open invitation back")
    uninvited.add_argument("email")
    for name, status in (("suspend", "suspended"), ("activate", "active"), ("deactivate", "deactivated")):
        change = _command(users, name, _users_status, f"make a user {status}")
        change.add_argument("email")
        change.set_defaults(status=status)

    glass = _command(
        users, "break-glass", _users_break_glass, "when nobody can sign in: print a new password for an owner"
    )
    glass.add_argument("email")
    factors = _command(users, "reset-2fa", _users_reset_factors, "remove a user's second factors")
    factors.add_argument("email")

    tenants = groups.add_parser("tenants", help="tenants, in tenancy `multi`").add_subparsers(
        required=True, metavar="DO"
    )
    _command(tenants, "list", _tenants_list, "list the tenants")
    added = _command(tenants, "add", _tenants_add, "add a tenant and its first owner; print the owner's password")
    added.add_argument("name")
    added.add_argument("owner_email")

    sso = groups.add_parser("sso", help="other sign-in services").add_subparsers(required=True, metavar="DO")
    tested = _command(
        sso, "test", _sso_test, "read an access token, and show its claims and who it would be here; changes nothing"
    )
    tested.add_argument("--token-stdin", action="store_true", help="read the token from standard input")

    keys = groups.add_parser("keys", help="API keys").add_subparsers(required=True, metavar="DO")
    made = _command(keys, "add", _keys_add, "make an API key for a user; it is shown this once")
    made.add_argument("email")
    made.add_argument("--name", required=True)
    made.add_argument(
        "--scope", action="append", help="such as chat, models, memory; may be repeated (default: models)"
    )
    made.add_argument("--days", type=int, default=365)
    made.add_argument("--model", action="append", help="only these models; may be repeated (default: all)")
    made.add_argument("--budget", metavar="USD", help="what the key may spend in its whole life; no limit without it")
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
    provider.add_argument("--adapter", choices=get_args(AdapterName), default="chat_completions", help="what it speaks")
    provider.add_argument("--type", choices=("external", "vllm"), default="external")
    provider.add_argument("--model", action="append", help="only these of its models; may be repeated")
    provider.add_argument("--key-stdin", action="store_true", help="read the API key from standard input")
    removed = _command(providers, "remove", _providers_remove, "remove a provider and its models")
    removed.add_argument("name")

    audit = groups.add_parser("audit", help="the audit log").add_subparsers(required=True, metavar="DO")
    checked = _command(audit, "verify", _audit_verify, "check the stored log against what was signed")
    checked.add_argument("--limit", type=int, help="only so many of the newest entries")
    _command(
        audit, "fsck", _audit_fsck, "check every tenant's log, its copies outside, and what should not be left over"
    )
    exported = _command(audit, "export", _audit_export, "write all events to standard output")
    exported.add_argument("--format", choices=get_args(Format), default="ndjson")
    _command(audit, "checkpoint", _audit_checkpoint, "copy the signed heads out, and print the newest")
    rotated = _command(audit, "rotate-keys", _audit_rotate, "change the keys that sign heads or wrap stored contents")
    rotated.add_argument("what", choices=("audit", "secrets", "rewrap", "drop-old"), help="docs/audit.md, Keys")
    erased = _command(audit, "erase", _audit_erase, "erase for good what a person said")
    erased.add_argument("email")
    erased.add_argument("--conversation", type=UUID, help="only in this one")
    recovered = _command(audit, "recover", _audit_recover, "list the logs that are not signed any more, or give one up")
    recovered.add_argument("--abandon", metavar="ORIGIN", help="its turns are sealed anew; who pinned it must be told")

    tested = _command(providers, "test", _providers_test, "ask a provider for its models now")
    tested.add_argument("name")

    bundle = groups.add_parser("bundle", help="staged changes of providers, models and roles").add_subparsers(
        required=True, metavar="DO"
    )
    _command(bundle, "show", _bundle_show, "show what is staged beside what is applied")
    _command(bundle, "apply", _bundle_apply, "let calls use what is staged")
    _command(bundle, "discard", _bundle_discard, "give up what is staged")

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

    budgets = groups.add_parser("budgets", help="limits of cost").add_subparsers(required=True, metavar="DO")
    _command(budgets, "list", _budgets_list, "list the budgets and their use")
    limit = _command(budgets, "add", _budgets_add, "limit what the tenant, a person, a key or an agent may spend")
    limit.add_argument("subject", choices=get_args(Subject))
    limit.add_argument("id", nargs="?", default="", help="a person's e-mail address, a key's or an agent's id")
    limit.add_argument("--period", choices=get_args(Period), default="month")
    limit.add_argument("--limit", metavar="USD", required=True)
    limit.add_argument("--soft", metavar="PERCENT", type=int, default=80, help="where it is told once (default: 80)")
    limit.add_argument("--warn", action="store_true", help="let calls pass beyond the limit, and say so")
    ended = _command(budgets, "remove", _budgets_remove, "remove a budget")
    ended.add_argument("budget", type=UUID)
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
    if not options.role:
        print(f"{user.email} is {', '.join(user.roles)}.")
        for role in await system.identity.roles.all(turn):
            print(f"{role.name}\t{role.about}")
        return
    changed = await system.identity.set_roles(turn, user.id, options.role)
    print(f"{changed.email} is {', '.join(changed.roles)}.")


async def _users_invite(system: System, turn: Turn, options: argparse.Namespace) -> None:
    invited = await system.identity.invitations.invite(
        turn, email=options.email, roles=options.role or ["member"], days=options.days
    )
    print(invited.link)


async def _users_invitations(system: System, turn: Turn, _: argparse.Namespace) -> None:
    for invitation in await system.identity.invitations.open_ones(turn):
        print(f"{invitation.email}\t{','.join(invitation.roles)}\tuntil {invitation.expires_at:%Y-%m-%d}")


async def _users_uninvite(system: System, turn: Turn, options: argparse.Namespace) -> None:
    email = options.email.strip().lower()
    found = [one for one in await system.identity.invitations.open_ones(turn) if one.email == email]
    if not found:
        raise NotFound(f"{email} has no open invitation.")
    for invitation in found:
        await system.identity.invitations.revoke(turn, invitation.id)
    print(f"The link of {email} opens no more.")


async def _users_status(system: System, turn: Turn, options: argparse.Namespace) -> None:
    user = await _user(system, turn, options.email)
    changed = await system.identity.set_status(turn, user.id, options.status)
    print(f"{changed.email} is {changed.status}.")


async def _users_break_glass(system: System, turn: Turn, options: argparse.Namespace) -> None:
    print(await system.identity.break_glass(turn, options.email))
    if not system.settings.auth.password.login:
        print("Passwords are switched off; set AIBOX_AUTH_PASSWORD_LOGIN=true to use it.", file=sys.stderr)


async def _users_reset_factors(system: System, turn: Turn, options: argparse.Namespace) -> None:
    user = await _user(system, turn, options.email)
    await system.identity.reset_factors(turn, user.id)
    print(f"{user.email} has no second factor.")


async def _tenants_list(system: System, turn: Turn, _: argparse.Namespace) -> None:
    for tenant in await system.identity.tenants.all(turn):
        print(f"{tenant.id}\t{tenant.name}\t{tenant.status}")


async def _tenants_add(system: System, turn: Turn, options: argparse.Namespace) -> None:
    tenant = await system.identity.create_tenant(turn, options.name)
    inside = system_turn(tenant)
    try:
        password = await system.identity.break_glass(inside, options.owner_email)
    finally:
        await system.log.end(inside, "sealed")
    print(f"{tenant}\t{password}")


async def _sso_test(system: System, _: Turn, options: argparse.Namespace) -> None:
    seen = await system.identity.examine(_secret("Access token", from_stdin=options.token_stdin))
    print(msgspec.json.format(msgspec.json.encode(seen)).decode())


async def _keys_add(system: System, turn: Turn, options: argparse.Namespace) -> None:
    user = await _user(system, turn, options.email)
    key = await system.identity.create_key(
        turn,
        user_id=user.id,
        name=options.name,
        scopes=options.scope or ["models"],
        days=options.days,
        models=options.model,
        budget_usd=None if options.budget is None else _dollars(options.budget),
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
        adapter=options.adapter,
        models=options.model,
    )
    print(f"Added {provider.name} at {provider.base_url} with {len(provider.models)} models:")
    for model in provider.models:
        print(f"  {model.id}")
    print(f"Next: aibox-admin roles set default {provider.models[0].id}" if provider.models else "It lists no model.")


async def _providers_remove(system: System, turn: Turn, options: argparse.Namespace) -> None:
    await system.catalogue.remove_provider(turn, options.name)
    print("Removed.")


async def _providers_test(system: System, turn: Turn, options: argparse.Namespace) -> None:
    done = await system.catalogue.test_provider(turn, options.name)
    if not done.ok:
        raise BackendUnavailable(f"{done.sentence} ({done.code})")
    print(f"{options.name} answered in {done.latency_ms} ms with {len(done.models)} models.")
    for model in done.missing:
        print(f"  It does not list {model} any more.")


async def _bundle_show(system: System, turn: Turn, _: argparse.Namespace) -> None:
    _print_bundle(await system.catalogue.bundle(turn))


async def _bundle_apply(system: System, turn: Turn, _: argparse.Namespace) -> None:
    _print_bundle(await system.catalogue.apply_bundle(turn))


async def _bundle_discard(system: System, turn: Turn, _: argparse.Namespace) -> None:
    _print_bundle(await system.catalogue.discard_bundle(turn))


def _print_bundle(bundle: Bundle) -> None:
    print(f"Revision {bundle.applied.revision} is applied, {bundle.staged.revision} is staged.")
    for change in bundle.diff:
        print(f"  {change.sentence}")


async def _models_list(system: System, turn: Turn, _: argparse.Namespace) -> None:
    for provider in await system.catalogue.providers(turn):
        for model in provider.models:
            price = f"{model.price.input_usd}/{model.price.output_usd} USD" if model.price else "no price"
            print(f"{model.id}\t{provider.name}\t{','.join(model.capabilities)}\t{price}")


async def _models_price(system: System, turn: Turn, options: argparse.Namespace) -> None:
    price = Price(input_usd=_dollars(options.input_usd), output_usd=_dollars(options.output_usd))
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


# --- the audit log --------------------------------------------------------------------------------------------------


async def _audit_verify(system: System, turn: Turn, options: argparse.Namespace) -> None:
    found = await system.trail.verify(turn, limit=options.limit)
    if found.first_bad is not None:
        raise LogFaulty(f"{found.checked} entries are sound, then: {msgspec.json.encode(found.first_bad).decode()}")
    print(f"{found.checked} entries are what was signed.")


async def _audit_fsck(system: System, _: Turn, __: argparse.Namespace) -> None:
    is_sound = True
    async for finding in system.log_console.fsck():
        print(f"{'ok ' if finding.ok else 'BAD'} {finding.line}")
        is_sound = is_sound and finding.ok
    if not is_sound:
        raise LogFaulty()


async def _audit_export(system: System, turn: Turn, options: argparse.Namespace) -> None:
    async for part in await system.trail.export(turn, Filter(), options.format):
        sys.stdout.write(part.decode())


async def _audit_checkpoint(system: System, turn: Turn, _: argparse.Namespace) -> None:
    await system.audit.copy_heads_out()
    for head in await system.log_console.heads(turn.tenant):
        print(head, end="")


async def _audit_rotate(system: System, turn: Turn, options: argparse.Namespace) -> None:
    match options.what:
        case "rewrap":
            print(f"Wrapped {await system.log_console.rewrap(turn)} data keys by the newest master key.")
        case "drop-old":
            dropped = await system.log_console.drop_old(turn)
            print(f"Dropped {', '.join(dropped) or 'none'}; restart AIBox.")
        case ring:
            kid = await system.log_console.add_key(turn, ring)
            after = "; then run `aibox-admin audit rotate-keys rewrap`" if ring == SECRETS else ""
            print(f"Key {kid} is the first of ring {ring} now. Restart AIBox{after}.")


async def _audit_erase(system: System, turn: Turn, options: argparse.Namespace) -> None:
    user = await _user(system, turn, options.email)
    erased = await system.erasure.erase(turn, user_id=user.id, conversation=options.conversation)
    await system.erasure.scrub()
    print(f"Erased {erased.contents} contents of {user.email}.")


async def _audit_recover(system: System, turn: Turn, options: argparse.Namespace) -> None:
    if options.abandon:
        count = await system.log_console.abandon(turn, options.abandon)
        print(f"Given up; {count} turns will be sealed in a new log. Restart AIBox, and tell who pinned the old one.")
        return
    refused = await system.log_console.refused()
    for origin, reason in refused.items():
        print(f"{origin}\t{reason}")
    if not refused:
        print("Every log agrees with its copies.")


def _secret(what: str, *, from_stdin: bool) -> str:
    return sys.stdin.readline().rstrip("\r\n") if from_stdin else getpass.getpass(f"{what}: ")


# --- budgets --------------------------------------------------------------------------------------------------------


async def _budgets_list(system: System, turn: Turn, _: argparse.Namespace) -> None:
    for budget in await system.budgets.all(turn):
        use = f"{budget.spent_usd} of {budget.limit_usd} USD a {budget.period}, {budget.reserved_usd} reserved"
        print(f"{budget.id}\t{budget.subject} {budget.subject_id}\t{use}\t{budget.action}\t{budget.state}")


async def _budgets_add(system: System, turn: Turn, options: argparse.Namespace) -> None:
    person = await _user(system, turn, options.id) if options.subject == "user" else None
    terms = BudgetTerms(
        subject=options.subject,
        subject_id=options.id if person is None else person.pseudonym,
        period=options.period,
        limit_usd=_dollars(options.limit),
        soft_pct=options.soft,
        action="warn" if options.warn else "block",
    )
    print((await system.budgets.add(turn, terms)).id)


async def _budgets_remove(system: System, turn: Turn, options: argparse.Namespace) -> None:
    await system.budgets.remove(turn, options.budget)
    print("Removed.")


def _dollars(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValidationFailed(f"This is no number of US dollars: {text}") from None
