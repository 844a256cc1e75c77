"""`aibox-admin` and `aibox` beside a running server: what they print, how they end, and that the server follows."""

import contextlib
import io
import json
import multiprocessing
import os
import sys
from collections.abc import Generator
from multiprocessing.connection import Connection

import httpx
import pytest

from aibox import admin
from tests.installation import OWNER, Installation, StubProvider, installed

QUESTION = {"messages": [{"role": "user", "content": "What is the answer?"}]}
BOB = "bob@example.com"


class Console:
    """`aibox-admin` in forks of one process that has imported it: a command costs its work, not seconds of imports."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """What a command prints that succeeds."""
        code, printed, error = self.run(*arguments, stdin=stdin)
        assert code == 0, printed + error
        return printed

    def run(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """The exit code, and what it printed on either stream."""
        answer, told = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_admin, args=(told, self._environment, arguments, stdin))
        process.start()
        told.close()
        ended: tuple[int, str, str] = answer.recv()
        process.join()
        return ended


def _admin(told: Connection, environment: dict[str, str], arguments: tuple[str, ...], stdin: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin = io.StringIO(stdin)
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()) as error:
        try:
            admin.main(arguments)
        except SystemExit as ended:
            told.send((ended.code, printed.getvalue(), error.getvalue()))


@pytest.fixture(scope="module")
def provider() -> Generator[StubProvider]:
    """The provider in a process of its own: this one waits for commands."""
    with StubProvider() as stub:
        yield stub


@pytest.fixture(scope="module")
def one(provider: StubProvider) -> Generator[Installation]:
    with installed(AIBOX_ROUTER_LOCAL="false", AIBOX_HTTP_INTERNAL_HOSTS=provider.authority) as one:
        yield one


@pytest.fixture(scope="module")
def console(one: Installation) -> Console:
    return Console(one.environment)


@pytest.fixture(scope="module")
def owner(one: Installation, console: Console) -> Generator[httpx.Client]:
    """The owner's client of the running server."""
    with one.client(new_key(console, "chat", "models", "admin")) as client:
        yield client


def sign_in(one: Installation, email: str, password: str) -> httpx.Response:
    return httpx.post(f"{one.url}/v1/auth/login", json={"username": email, "password": password})


def new_key(console: Console, *scopes: str) -> str:
    options = [option for scope in scopes for option in ("--scope", scope)]
    return console("keys", "add", OWNER["email"], "--name", "test", *options).strip()


def providers(owner: httpx.Client) -> set[str]:
    return {provider["name"] for provider in owner.get("/v1/admin/inference/providers").json()}


def test_a_user_who_is_added_signs_in_until_suspended(one: Installation, console: Console) -> None:
    first, second = "a first passphrase", "a second passphrase"
    added = console("users", "add", BOB, "--name", "Bob", "--password-stdin", stdin=f"{first}\n")
    assert added == f"Added {BOB} as member.\n"
    session = sign_in(one, BOB, first).json()
    assert console("users", "roles", BOB, "viewer", "admin") == f"{BOB} is admin, viewer.\n"
    theirs, *there_are = console("users", "roles", BOB).splitlines()
    assert theirs == f"{BOB} is admin, viewer."
    assert [line.split("\t")[0] for line in there_are] == ["owner", "admin", "member", "viewer"]
    assert console("users", "list").splitlines() == [
        f"{OWNER['email']}\t{OWNER['name']}\towner\tactive",
        f"{BOB}\tBob\tadmin,viewer\tactive",
    ]

    assert console("users", "password", BOB, "--password-stdin", stdin=f"{second}\n").startswith("Set;")
    me = httpx.get(f"{one.url}/v1/auth/me", headers={"Authorization": f"Bearer {session['access_token']}"})
    assert (me.status_code, me.json()["code"]) == (401, "session_revoked")
    assert sign_in(one, BOB, first).status_code == 401
    assert sign_in(one, BOB, second).status_code == 200

    assert console("users", "suspend", BOB) == f"{BOB} is suspended.\n"
    assert sign_in(one, BOB, second).status_code == 401
    assert console("users", "activate", BOB) == f"{BOB} is active.\n"
    assert sign_in(one, BOB, second).status_code == 200


def test_the_last_owner_stays_and_no_second_setup_link_is_made(console: Console) -> None:
    code, printed, error = console.run("users", "suspend", OWNER["email"])
    assert (code, printed) == (1, "")
    assert error.startswith("aibox-admin: ")
    assert error.endswith(" (last_owner)\n")
    assert console("users", "setup").startswith("There is an owner already")


def test_a_new_key_works_at_once_and_a_revoked_one_no_more(one: Installation, console: Console) -> None:
    key = new_key(console, "models")
    with one.client(key) as client:
        assert client.get("/v1/models").status_code == 200
        assert client.post("/v1/chat", json=QUESTION).json()["code"] == "insufficient_scope"
        listed = [json.loads(line) for line in console("keys", "list", OWNER["email"]).splitlines()]
        (known,) = [entry for entry in listed if entry["scopes"] == ["models"]]
        assert key not in json.dumps(listed)
        assert console("keys", "revoke", OWNER["email"], known["id"]) == "Revoked.\n"
        answer = client.get("/v1/models")
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_api_key")


def test_a_provider_is_added_under_its_plain_address_used_and_removed(
    console: Console, owner: httpx.Client, provider: StubProvider
) -> None:
    messy = f" HTTP://{provider.authority}/v1/chat/completions/?api-version=1 "
    only = ["--model", "ok", "--model", "500"]
    added = console("providers", "add", " Stub ", messy, *only, "--key-stdin", stdin="sk-secret-of-the-stub\n")
    assert f"Added stub at {provider.url} with 2 models:\n  ok\n  500\n" in added
    assert f"stub\texternal\t{provider.url}\tkey stored\t2 models\n" in console("providers", "list")

    assert owner.post("/v1/chat", json=QUESTION).json()["code"] == "role_not_configured"
    set_role = console("roles", "set", "default", "500", "--fallback", "stub/ok")
    assert set_role == "default is served by 500.\n"
    assert "default\tstub/500 then stub/ok\n" in console("roles", "list")
    assert owner.post("/v1/chat", json=QUESTION).json()["message"]["content"] == "The answer is forty-two."

    assert console("models", "price", "stub/ok", "2.50", "10") == "Set.\n"
    models = dict(line.split("\t")[::3] for line in console("models", "list").splitlines())
    assert (models["ok"], models["500"]) == ("2.50/10 USD", "no price")

    assert console("roles", "unset", "default") == "No model serves default.\n"
    assert owner.post("/v1/chat", json=QUESTION).json()["code"] == "role_not_configured"
    assert "stub answered in " in console("providers", "test", "stub")
    shown = console("bundle", "show")
    assert "is applied, " in shown
    assert console("bundle", "apply") == console("bundle", "discard") == shown, "nothing is staged by default"
    assert console("providers", "remove", "stub") == "Removed.\n"
    assert "stub" not in providers(owner)


def test_a_budget_that_is_made_at_the_console_holds_in_the_running_server_until_it_is_removed(
    console: Console, owner: httpx.Client, provider: StubProvider
) -> None:
    console("providers", "add", "paid", provider.url, "--model", "ok")
    console("models", "price", "paid/ok", "2.50", "10")
    asking = {"model": "paid/ok", **QUESTION}
    limit = ["--limit", "0", "--period", "day"]
    budget = console("budgets", "add", "user", OWNER["email"], *limit).strip()
    listed = console("budgets", "list")
    assert listed.startswith(f"{budget}\tuser p-")
    assert "\t0 of 0 USD a day, 0 reserved\tblock\t" in listed
    refused = owner.post("/v1/chat/completions", json=asking)
    assert (refused.status_code, refused.json()["code"]) == (402, "budget_exceeded")
    assert console("budgets", "remove", budget) == "Removed.\n"
    assert owner.post("/v1/chat/completions", json=asking).status_code == 200
    code, _, said = console.run("budgets", "add", "tenant", "--limit", "plenty")
    assert (code, said) == (1, "aibox-admin: This is no number of US dollars: plenty (validation_failed)\n")
    console("providers", "remove", "paid")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/page", "The provider answered a web page; the base URL mostly ends in /v1. (provider_probe_failed)"),
        ("/moved", "The provider redirects to {url}/models; use that as its base URL. (upstream_redirect)"),
    ],
)
def test_a_provider_that_fails_its_probe_is_refused_in_one_sentence_and_not_saved(
    console: Console, owner: httpx.Client, provider: StubProvider, path: str, said: str
) -> None:
    ended = console.run("providers", "add", "other", f"http://{provider.authority}{path}")
    assert ended == (1, "", f"aibox-admin: {said.format(url=provider.url)}\n")
    assert "other" not in providers(owner)


def test_doctor_prints_every_setting_with_its_source_and_no_secret(
    one: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(one.environment, "AIBOX_OBJECTS_SECRET_KEY", "secret-of-the-objects")
    printed = one.aibox("doctor")
    lines = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.strip()}
    assert lines["objects.secret_key"] == ["••••••", "AIBOX_OBJECTS_SECRET_KEY"]
    assert lines["router.local"] == ["False", "AIBOX_ROUTER_LOCAL"]
    assert lines["gateway.port"] == [str(one.port), "AIBOX_GATEWAY_PORT"]
    assert "secret-of-the-objects" not in printed
    states = {part: lines[part][0] for part in ("server", "database", "cache", "vectors", "objects", "identity")}
    assert set(states.values()) == {"ok"}, printed


def test_the_installed_program_is_that_console(one: Installation) -> None:
    assert one.admin("users", "list").startswith(f"{OWNER['email']}\t{OWNER['name']}\towner\tactive\n")


def test_migrate_beside_a_running_server_finds_nothing_to_do(one: Installation, owner: httpx.Client) -> None:
    assert one.aibox("migrate") == "The database is at this version.\n"
    assert owner.get("/healthz").status_code == 200


def test_people_are_invited_from_the_console(one: Installation, owner: httpx.Client, console: Console) -> None:
    link = console("users", "invite", "grace@example.com", "--role", "viewer", "--days", "3").strip()
    token = {"token": link.partition("#token=")[2]}
    assert httpx.post(f"{one.url}/v1/auth/invitation", json=token).json()["email"] == "grace@example.com"
    assert console("users", "invitations").startswith("grace@example.com\tviewer\tuntil 20")
    assert console("users", "uninvite", "Grace@example.com") == "The link of grace@example.com opens no more.\n"
    assert httpx.post(f"{one.url}/v1/auth/invitation", json=token).json()["code"] == "challenge_invalid"
    assert console("users", "invitations") == ""
    code, _, error = console.run("users", "uninvite", "grace@example.com")
    assert (code, error) == (1, "aibox-admin: grace@example.com has no open invitation. (not_found)\n")


@pytest.mark.parametrize("arguments", [["dance"], ["users", "add", BOB]], ids=["no such command", "lacks its name"])
def test_a_command_that_is_not_understood_ends_with_2_and_its_usage(console: Console, arguments: list[str]) -> None:
    code, printed, error = console.run(*arguments)
    assert (code, printed) == (2, "")
    assert error.startswith("usage: aibox-admin ")


def test_a_start_on_a_port_that_is_taken_ends_with_78_and_says_so(one: Installation, owner: httpx.Client) -> None:
    done = one.run("aibox", "up")
    assert done.returncode == 78
    assert f"Port {one.port} on 127.0.0.1 is taken" in done.stderr
    assert done.stderr.endswith("(boot_port)\n")
    assert owner.get("/healthz").status_code == 200, "the server that runs is not disturbed"
