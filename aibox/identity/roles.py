"""The shipped roles, and how several of them unite into one set of permissions (identity.md, "Permissions")."""

from collections.abc import Iterable, Sequence
from typing import Any, get_args

from msgspec.structs import replace

from aibox.core.errors import ValidationFailed
from aibox.core.turn import CostLimits, Permissions, Principal
from aibox.identity import Role, Scope

ADMIN = frozenset(
    {"manage_users", "manage_roles", "manage_templates", "manage_providers", "view_audit_log", "manage_tenant"}
)
AGENTS = frozenset({"create", "delete", "configure"})
MEMORY = frozenset({"read_own", "read_team", "read_org", "write", "delete", "share"})
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
assert set(SHIPPED) == set(get_args(Role))

PERMISSIONS = frozenset(
    {
        "chat",
        *(
            f"{group}.{name}"
            for group, names in (("agents", AGENTS), ("memory", MEMORY), ("admin", ADMIN))
            for name in names
        ),
    }
)
"""Every dotted permission that a route may state as its policy."""


def unite(roles: Iterable[str]) -> Permissions:
    """What the roles permit together: grants unite, denials of any of them hold. An unknown role grants nothing."""
    known = [SHIPPED[role] for role in roles if role in SHIPPED]

    def union(name: str) -> frozenset[str]:
        return frozenset().union(*(getattr(permissions, name) for permissions in known))

    return Permissions(
        agents=union("agents"),
        memory=union("memory"),
        tools_allowed=union("tools_allowed"),
        tools_denied=union("tools_denied"),
        admin=union("admin"),
        chat=any(permissions.chat for permissions in known),
    )


def covers(principal: Principal, roles: Iterable[str]) -> bool:
    """Whether `principal` itself may do all that `roles` permit, so that it may hand them out or take them away."""
    has, wanted = principal.permissions, unite(roles)
    return (
        wanted.agents <= has.agents
        and wanted.memory <= has.memory
        and wanted.admin <= has.admin
        and (wanted.tools_allowed <= has.tools_allowed or "*" in has.tools_allowed)
        and has.chat >= wanted.chat
    )


def checked_roles(roles: Sequence[str]) -> list[str]:
    """The roles, each once and in order; `ValidationFailed` for none or an unknown one."""
    if not roles or any(role not in SHIPPED for role in roles):
        raise ValidationFailed(fields=[{"field": "roles", "error": f"Choose of {', '.join(SHIPPED)}."}])
    return sorted(set(roles), key=list(SHIPPED).index)


def permission_object(permissions: Permissions, limits: CostLimits) -> dict[str, Any]:
    """The permission object of identity.md, as the API shows it."""
    limit = {"monthly_limit_usd": limits.monthly_usd, "per_request_limit_usd": limits.per_request_usd}
    return {
        "chat": permissions.chat,
        "agents": {
            **{name: name in permissions.agents for name in sorted(AGENTS)},
            "use_templates": ["*"] if permissions.chat else [],
        },
        "memory": {name: name in permissions.memory for name in sorted(MEMORY)},
        "tools": {"allowed": sorted(permissions.tools_allowed), "denied": sorted(permissions.tools_denied)},
        "admin": {name: name in permissions.admin for name in sorted(ADMIN)},
        "cost": {name: str(value) for name, value in limit.items() if value is not None},
    }
