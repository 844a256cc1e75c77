"""Settings that must not start, by the rows of identity.md's table B."""

from typing import Any

import pytest
from msgspec.structs import replace

from aibox.boot import check_settings
from aibox.core.connections import Settings as DatabaseSettings
from aibox.core.errors import BootRefused
from aibox.core.http import Settings as HttpSettings
from aibox.core.telemetry import Settings as LogSettings
from aibox.settings import Settings
from aibox.stores import CacheSettings, ObjectsSettings

PRODUCTION = Settings(env="production", public_url="https://ai.example")


@pytest.mark.parametrize(
    "change",
    [
        {"log": LogSettings(level="debug")},
        {"database": DatabaseSettings(url="postgresql+asyncpg://aibox_app:postgres@db/aibox")},
        {"database": DatabaseSettings(system_url="postgresql://aibox_system:ChangeMe@db/aibox")},
        {"cache": CacheSettings(url="redis://:password@cache")},
        {"objects": ObjectsSettings(secret_key="minioadmin")},
    ],
    ids=["debug", "default password", "default password of the system", "cache", "objects"],
)
def test_b04_production_does_not_start_with_what_is_fit_for_trying(change: dict[str, Any]) -> None:
    with pytest.raises(BootRefused) as refused:
        check_settings(replace(PRODUCTION, **change))
    assert refused.value.code == "boot_default"
    check_settings(replace(PRODUCTION, env="development", **change))


def test_b04_production_with_its_own_passwords_starts() -> None:
    check_settings(replace(PRODUCTION, database=DatabaseSettings(url="postgresql+asyncpg://app:k3Jd-9s@db/aibox")))


def test_b09_enforced_egress_without_a_proxy_does_not_start() -> None:
    with pytest.raises(BootRefused) as refused:
        check_settings(Settings(http=HttpSettings(enforce=True)))
    assert refused.value.code == "boot_egress"
    check_settings(Settings(http=HttpSettings(enforce=True, proxy="http://squid:3128")))
