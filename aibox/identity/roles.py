"""The shipped roles, and how several of them unite into one set of rights (identity.md, "Permissions")."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from aibox.core.errors import ValidationFailed
from aibox.core.turn import CostLimits, Permissions, Principal
from aibox.identity import (
    AdminRights,
    AgentRights,
    CostRights,
    MemoryRights,
    RoleRights,
    Scope,
    ShippedRole,
    ToolRights,
)

ADMIN = frozenset(AdminRights.__struct_fields__)
AGENTS = frozenset(AgentRights.__struct_fields__)
MEMORY = frozenset(MemoryRights.__struct_fields__)
MANAGE_TENANTS = "manage_tenants"
"""What only `platform_admin` has, and no role that is made here can."""
SCOPES: tuple[str, ...] = get_args(Scope)

_everything = Permissions(agents=AGENTS, memory=MEMORY, tools_allowed=frozenset({"*"}), admin=ADMIN, chat=True)
SHIPPED: dict[str, Permissions] = {
    "owner": _everything,
    "admin": replace(_everything, admin=ADMIN - {"manage_tenant"}),
    "member": Permissions(
        agents=frozenset({"create"}),
        memory=frozenset({"read_own", "read_team", "write", "delete", "share"}),
        tools_allowed=frozenset({"*"}),
        chat=True,
    ),
    "viewer": Permissions(memory=frozenset({"read_own"})),
}
assert set(SHIPPED) == set(get_args(ShippedRole))

PLATFORM = {"platform_admin": replace(_everything, admin=ADMIN | {MANAGE_TENANTS})}
"""The role of whoever runs an installation of several tenants; in a single-tenant one it does not exist."""
BUILT_IN = {**SHIPPED, **PLATFORM}
RESERVED = frozenset({*BUILT_IN, "user", "tenant_admin", "service-account", "anonymous", "system"})
"""Names that a role made here must not take: other parts and other issuers mean something by them."""

PERMISSIONS = frozenset(
    {
        "chat",
        *(
            f"{group}.{name}"
            for group, names in (("agents", AGENTS), ("memory", MEMORY), ("admin", ADMIN | {MANAGE_TENANTS}))
            for name in names
        ),
    }
)
"""Every dotted permission that a route may state as its policy."""


class Rights(Struct, frozen=True, kw_only=True):
    """What someone may do, and what they may spend."""

    permissions: Permissions = Permissions()
    limits: CostLimits = CostLimits()


NO_ROLES: Mapping[str, Rights] = {}
"""Where a tenant has made no roles of its own."""


def rights_of(roles: Iterable[str], defined: Mapping[str, Rights] = NO_ROLES) -> Rights:
    """What the roles permit together: grants unite, denials of any of them and the lowest limits hold.

    `defined` are the tenant's own roles. An unknown role grants nothing.
    """
    known = [_known(role, defined) for role in roles if role in BUILT_IN or role in defined]

    def union(name: str) -> frozenset[str]:
        return frozenset().union(*(getattr(one.permissions, name) for one in known))

    return Rights(
        permissions=Permissions(
            agents=union("agents"),
            memory=union("memory"),
            tools_allowed=union("tools_allowed"),
            tools_denied=union("tools_denied"),
            admin=union("admin"),
            chat=any(one.permissions.chat for one in known),
        ),
        limits=CostLimits(
            monthly_usd=_lowest(one.limits.monthly_usd for one in known),
            per_request_usd=_lowest(one.limits.per_request_usd for one in known),
        ),
    )


def _known(role: str, defined: Mapping[str, Rights]) -> Rights:
    return Rights(permissions=BUILT_IN[role]) if role in BUILT_IN else defined[role]


def _lowest(limits: Iterable[Decimal | None]) -> Decimal | None:
    return min((limit for limit in limits if limit is not None), default=None)


def is_within(wanted: Rights, has: Rights) -> bool:
    """Whether whoever has `has` may do and spend all that `wanted` allows."""
    return (
        may_all(wanted.permissions, has.permissions)
        and _is_lower(wanted.limits.monthly_usd, has.limits.monthly_usd)
        and _is_lower(wanted.limits.per_request_usd, has.limits.per_request_usd)
    )


def may_all(wanted: Permissions, has: Permissions) -> bool:
    """Whether `has` permits all that `wanted` does."""
    return (
        wanted.agents <= has.agents
        and wanted.memory <= has.memory
        and wanted.admin <= has.admin
        and has.chat >= wanted.chat
        and _may_use_tools(wanted, has)
    )


def _may_use_tools(wanted: Permissions, has: Permissions) -> bool:
    """What is denied to `has` must be denied to `wanted` too, for `"*"` is every tool that is not denied."""
    if "*" in wanted.tools_allowed:
        return "*" in has.tools_allowed and has.tools_denied <= wanted.tools_denied
    used = wanted.tools_allowed - wanted.tools_denied
    return ("*" in has.tools_allowed or used <= has.tools_allowed) and used.isdisjoint(has.tools_denied)


def _is_lower(limit: Decimal | None, than: Decimal | None) -> bool:
    return than is None or (limit is not None and limit <= than)


def covers(principal: Principal, wanted: Rights) -> bool:
    """Whether `principal` itself may do all that `wanted` allows, so that it may hand that out or take it away."""
    if principal.kind == "system":
        return True
    return is_within(wanted, Rights(permissions=principal.permissions, limits=principal.limits))


def checked_roles(roles: Sequence[str], known: Sequence[str] = tuple(SHIPPED)) -> list[str]:
    """The roles, each once and in the order of `known`; `ValidationFailed` for none or an unknown one."""
    if not roles or any(role not in known for role in roles):
        raise ValidationFailed(fields=[{"field": "roles", "error": f"Choose of {', '.join(known)}."}])
    return sorted(set(roles), key=list(known).index)


def rights_in(form: RoleRights) -> Rights:
    """What a role permits, from the form in which it is written and stored."""
    return Rights(
        permissions=Permissions(
            agents=_yes(form.agents),
            memory=_yes(form.memory),
            tools_allowed=frozenset(form.tools.allowed),
            tools_denied=frozenset(form.tools.denied),
            admin=_yes(form.admin),
            chat=form.chat,
        ),
        limits=CostLimits(
            monthly_usd=form.cost.monthly_limit_usd,
            per_request_usd=form.cost.per_request_limit_usd,
        ),
    )


def form_of(permissions: Permissions) -> RoleRights:
    """A shipped role in the form in which one is written."""
    return RoleRights(
        chat=permissions.chat,
        agents=AgentRights(**{name: name in permissions.agents for name in AGENTS}),
        memory=MemoryRights(**{name: name in permissions.memory for name in MEMORY}),
        tools=ToolRights(allowed=sorted(permissions.tools_allowed), denied=sorted(permissions.tools_denied)),
        admin=AdminRights(**{name: name in permissions.admin for name in ADMIN}),
        cost=CostRights(),
    )


def stored_rights(text: str | None) -> dict[str, Rights]:
    """The roles of a tenant by name, from PostgreSQL's JSON object of their forms; None: there are none."""
    if text is None:
        return {}
    forms = msgspec.json.decode(text, type=dict[str, RoleRights])
    return {name: rights_in(form) for name, form in forms.items()}


def told(rights: Rights) -> tuple[str, ...]:
    """The rights as an event tells them: `memory.write`, `tools.*`, `!tools.shell`, `cost.monthly_usd=10`."""
    permissions = rights.permissions
    limits = {name: value for name, value in asdict(rights.limits).items() if value is not None}
    return (
        *(["chat"] if permissions.chat else []),
        *(f"agents.{name}" for name in sorted(permissions.agents)),
        *(f"memory.{name}" for name in sorted(permissions.memory)),
        *(f"tools.{name}" for name in sorted(permissions.tools_allowed)),
        *(f"!tools.{name}" for name in sorted(permissions.tools_denied)),
        *(f"admin.{name}" for name in sorted(permissions.admin)),
        *(f"cost.{name}={value}" for name, value in sorted(limits.items())),
    )


def permission_object(permissions: Permissions, limits: CostLimits) -> dict[str, Any]:
    """The permission object of identity.md, as the API shows it."""
    limit = {"monthly_limit_usd": limits.monthly_usd, "per_request_limit_usd": limits.per_request_usd}
    shown = ADMIN | (permissions.admin & {MANAGE_TENANTS})
    return {
        "chat": permissions.chat,
        "agents": {
            **{name: name in permissions.agents for name in sorted(AGENTS)},
            "use_templates": ["*"] if permissions.chat else [],
        },
        "memory": {name: name in permissions.memory for name in sorted(MEMORY)},
        "tools": {"allowed": sorted(permissions.tools_allowed), "denied": sorted(permissions.tools_denied)},
        "admin": {name: name in permissions.admin for name in sorted(shown)},
        "cost": {name: str(value) for name, value in limit.items() if value is not None},
    }


def _yes(group: AgentRights | MemoryRights | AdminRights) -> frozenset[str]:
    return frozenset(name for name, is_granted in asdict(group).items() if is_granted)
