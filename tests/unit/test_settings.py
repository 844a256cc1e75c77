"""Where settings come from, and what refuses the start."""

from pathlib import Path

import pytest

from aibox.core.errors import BootRefused
from aibox.settings import load

NOWHERE = Path("/nonexistent/aibox.toml")


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "aibox.toml"
    file.write_text("[gateway]\nport = 9000\nhost = '0.0.0.0'\n")
    loaded = load({"AIBOX_GATEWAY_PORT": "9001"}, file)
    assert (loaded.settings.gateway.port, loaded.sources["gateway.port"]) == (9001, "AIBOX_GATEWAY_PORT")
    assert (loaded.settings.gateway.host, loaded.sources["gateway.host"]) == ("0.0.0.0", "aibox.toml")
    assert loaded.sources["log.level"] == "default"


def test_a_setting_may_have_a_name_of_its_own() -> None:
    assert load({"GUARDRAIL_PROFILE": "strict"}, NOWHERE).settings.guardrail.profile == "strict"


def test_a_list_is_separated_by_commas() -> None:
    assert load({"AIBOX_GATEWAY_HOSTS": "a.example, b.example"}, NOWHERE).settings.gateway.hosts == (
        "a.example",
        "b.example",
    )


def test_a_secret_may_be_read_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("s3cret\n")
    loaded = load({"AIBOX_OBJECTS_SECRET_KEY_FILE": str(secret)}, NOWHERE)
    assert loaded.settings.objects.secret_key == "s3cret"


@pytest.mark.parametrize(
    ("environ", "file"),
    [
        ({"AIBOX_GATEWAY_PORT": "many"}, ""),
        ({}, "[gateway]\nprot = 1\n"),
        ({}, "not toml"),
        ({"GUARDRAIL_PROFILE": "x"}, ""),
        ({"AIBOX_DATABASE_POOL": "3"}, ""),  # the listeners would hold all of them
    ],
    ids=["wrong kind", "unknown name", "no toml", "not a choice", "too few connections"],
)
def test_a_wrong_setting_refuses_the_start(environ: dict[str, str], file: str, tmp_path: Path) -> None:
    path = tmp_path / "aibox.toml"
    path.write_text(file)
    with pytest.raises(BootRefused) as refused:
        load(environ, path)
    assert refused.value.code == "boot_settings"
