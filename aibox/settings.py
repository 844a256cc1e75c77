"""All settings, composed of each module's own; the only reader of the environment and of aibox.toml.

A setting's dotted name is its place here (`database.url`); its environment variable is `AIBOX_` and that name in
capitals with dots as underscores (`AIBOX_DATABASE_URL`), unless the setting names another (`GUARDRAIL_PROFILE`). The
environment wins over the file, the file over the default. `NAME_FILE` reads a secret from a file.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta, Struct, field
from msgspec.inspect import Metadata, type_info

from aibox.audit import Settings as AuditSettings
from aibox.core.connections import Settings as DatabaseSettings
from aibox.core.errors import BootRefused
from aibox.core.http import Settings as HttpSettings
from aibox.core.keyring import Settings as KeysSettings
from aibox.core.mail import Settings as MailSettings
from aibox.core.telemetry import Settings as LogSettings
from aibox.gateway import LimitsSettings
from aibox.gateway import Settings as GatewaySettings
from aibox.guardrail import Settings as GuardrailSettings
from aibox.identity import Settings as AuthSettings
from aibox.identity import TenancySettings
from aibox.knowledge import Settings as KnowledgeSettings
from aibox.memory import Settings as MemorySettings
from aibox.observability import Settings as ObservabilitySettings
from aibox.router import Settings as RouterSettings
from aibox.runtime import Settings as RuntimeSettings
from aibox.stores import CacheSettings, ObjectsSettings, VectorsSettings


class Settings(Struct, frozen=True, kw_only=True):
    """Every setting of AIBox. docs/settings.md lists them (a test compares)."""

    data: Annotated[str, Meta(description="The data folder", extra={"env": "AIBOX_DATA"})] = "./data"
    env: Annotated[
        Literal["development", "production", "prod"],
        Meta(description="`production` refuses what is fit for trying only", extra={"env": "AIBOX_ENV"}),
    ] = "development"
    public_url: Annotated[
        str, Meta(description="The address people use; empty means http://localhost and the port")
    ] = ""
    failpoints: Annotated[str, Meta(description="Places where a crash test stops the process; never in production")] = (
        ""
    )
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    vectors: VectorsSettings = field(default_factory=VectorsSettings)
    objects: ObjectsSettings = field(default_factory=ObjectsSettings)
    keys: KeysSettings = field(default_factory=KeysSettings)
    log: LogSettings = field(default_factory=LogSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    mail: MailSettings = field(default_factory=MailSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    limits: LimitsSettings = field(default_factory=LimitsSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    tenancy: TenancySettings = field(default_factory=TenancySettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    observability: ObservabilitySettings = field(default_factory=ObservabilitySettings)
    router: RouterSettings = field(default_factory=RouterSettings)
    guardrail: GuardrailSettings = field(default_factory=GuardrailSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)
    knowledge: KnowledgeSettings = field(default_factory=KnowledgeSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)

    @property
    def data_path(self) -> Path:
        return Path(self.data).expanduser().resolve()

    @property
    def base_url(self) -> str:
        """The public URL without a trailing slash."""
        return self.public_url.rstrip("/") or f"http://localhost:{self.gateway.port}"

    @property
    def is_production(self) -> bool:
        return self.env in ("production", "prod")


class Setting(Struct, frozen=True, kw_only=True):
    """One setting as `aibox doctor` and docs/settings.md show it."""

    name: str
    env: str
    description: str
    default: Any
    is_secret: bool


def catalogue() -> list[Setting]:
    """Every setting by its dotted name, in the order of the code."""
    return list(_walk(Settings, prefix=""))


def _walk(struct: type[Struct], *, prefix: str) -> Iterator[Setting]:
    hints = get_type_hints(struct, include_extras=True)
    for item in msgspec.structs.fields(struct):
        name = f"{prefix}{item.name}"
        annotation = hints[item.name]
        if isinstance(annotation, type) and issubclass(annotation, Struct):
            yield from _walk(annotation, prefix=f"{name}.")
            continue
        meta = next((m for m in getattr(annotation, "__metadata__", ()) if isinstance(m, Meta)), Meta())
        extra = meta.extra or {}
        info = type_info(annotation)
        if isinstance(info, Metadata):
            extra = {**(info.extra or {}), **extra}
        yield Setting(
            name=name,
            env=extra.get("env", "AIBOX_" + name.upper().replace(".", "_")),
            description=meta.description or "",
            default=item.default if item.default is not msgspec.NODEFAULT else None,
            is_secret=bool(extra.get("secret")),
        )


class Loaded(Struct, frozen=True):
    """Settings, and where each value came from: `default`, `aibox.toml` or the variable's name."""

    settings: Settings
    sources: dict[str, str]


def load(environ: Mapping[str, str] | None = None, file: Path | None = None) -> Loaded:
    """Read `file` (`aibox.toml` here when None) and `environ` (the process's when None).

    Raises `BootRefused` with `boot_settings` for an unknown name in the file or a value of the wrong kind.
    """
    environ = os.environ if environ is None else environ
    path = Path(environ.get("AIBOX_CONFIG", "aibox.toml")) if file is None else file
    known = {setting.name: setting for setting in catalogue()}
    values: dict[str, Any] = {}
    sources = dict.fromkeys(known, "default")
    for name, value in _read_toml(path):
        if name not in known:
            raise BootRefused("boot_settings", f"{path} has a setting that does not exist: {name}.")
        values[name], sources[name] = value, path.name
    for name, setting in known.items():
        given = _from_environment(setting, environ)
        if given is not None:
            values[name], sources[name] = given, setting.env
    try:
        return Loaded(msgspec.convert(_nest(values), Settings, strict=False, str_keys=True), sources)
    except msgspec.ValidationError as error:
        raise BootRefused("boot_settings", f"A setting is not valid: {error}.") from None


def _from_environment(setting: Setting, environ: Mapping[str, str]) -> Any:
    text = environ.get(setting.env)
    if text is None and f"{setting.env}_FILE" in environ:
        try:
            text = Path(environ[f"{setting.env}_FILE"]).read_text().strip()
        except OSError as error:
            raise BootRefused("boot_settings", f"{setting.env}_FILE cannot be read: {error.strerror}.") from None
    if text is not None and isinstance(setting.default, tuple):
        if text.lstrip().startswith("["):  # a list of tables has no other form in one variable
            return _json(setting.env, text)
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _json(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise BootRefused("boot_settings", f"{name} is not valid JSON: {error}.") from None


def _read_toml(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        tree = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BootRefused("boot_settings", f"{path} cannot be read: {error}.") from None
    yield from _flatten(tree, prefix="")


def _flatten(tree: Mapping[str, Any], *, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, prefix=f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _nest(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return tree
