"""Administration of who may what over HTTP: people, roles, invitations, other sign-in services, and tenants."""

from typing import Any
from uuid import UUID

from litestar import Request, Response, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from aibox.core.turn import Turn
from aibox.identity import (
    Examined,
    Identity,
    Invitations,
    Invited,
    Role,
    Roles,
    SignInServices,
    Tenant,
    Tenants,
    Welcome,
)
from aibox.identity.roles import permission_object
from aibox.identity.routes import NO_STORE, OR_PENDING, PUBLIC, client_of, granted
from aibox.identity.schemas import (
    AcceptBody,
    AcceptBySsoBody,
    Elsewhere,
    GroupsBody,
    InvitationBody,
    InvitationList,
    OwnTenant,
    PermissionsView,
    RoleBody,
    RoleList,
    RolePatch,
    SignInServiceList,
    SignInServiceView,
    TenantBody,
    TenantList,
    TenantMade,
    TenantPatch,
    TenantSettings,
    TenantStatusBody,
    TestBody,
    TokenBody,
    UserBody,
    UserPatch,
    Users,
    UserView,
    service_view,
    user_view,
)
from aibox.identity.sso import CALLBACK

MANAGE_USERS = {"policy": "admin.manage_users", "scope": "admin"}
FRESHLY_MANAGE_USERS: dict[str, Any] = {**MANAGE_USERS, "fresh": "people"}
"""For what hands out rights."""
SEE_ROLES = {"policy": "admin.manage_users or admin.manage_roles", "scope": "admin"}
MANAGE_ROLES = {"policy": "admin.manage_roles", "scope": "admin"}
FRESHLY_MANAGE_ROLES: dict[str, Any] = {**MANAGE_ROLES, "fresh": "people"}
IN_PERSON: dict[str, Any] = {"policy": "admin.manage_roles"}
"""What begins in a browser and ends in it; a key has none."""
MANAGE_TENANT = {"policy": "admin.manage_tenant", "scope": "admin"}
MANAGE_TENANTS = {"policy": "admin.manage_tenants", "scope": "admin"}
FRESHLY_MANAGE_TENANTS: dict[str, Any] = {**MANAGE_TENANTS, "fresh": "people"}
BY_SESSION: dict[str, Any] = {"policy": "admin.manage_tenants"}
"""What a session does; a key has none."""


@get("/v1/admin/users", opt=MANAGE_USERS)
async def users(identity: NamedDependency[Identity], turn: NamedDependency[Turn]) -> Users:
    """Everyone in the tenant."""
    return Users([user_view(user) for user in await identity.users(turn)])


@post("/v1/admin/users", opt=FRESHLY_MANAGE_USERS)
async def create_user(
    data: JSONBody[UserBody], identity: NamedDependency[Identity], turn: NamedDependency[Turn]
) -> UserView:
    """Add a person."""
    return user_view(
        await identity.create_user(turn, name=data.name, email=data.email, password=data.password, roles=data.roles)
    )


@get("/v1/admin/users/{user_id:uuid}", opt=MANAGE_USERS)
async def user(user_id: FromPath[UUID], identity: NamedDependency[Identity], turn: NamedDependency[Turn]) -> UserView:
    """One person."""
    return user_view(await identity.user(turn, user_id))


@patch("/v1/admin/users/{user_id:uuid}", opt=MANAGE_USERS)
async def change_user(
    user_id: FromPath[UUID], data: JSONBody[UserPatch], identity: NamedDependency[Identity], turn: NamedDependency[Turn]
) -> UserView:
    """Change a person's name, roles or status; what is absent stays. Roles need a fresh sign-in."""
    if data.roles is not None:
        await identity.authorize(turn, **FRESHLY_MANAGE_USERS)
    if data.name is not None:
        await identity.rename(turn, user_id, data.name)
    if data.roles is not None:
        await identity.set_roles(turn, user_id, data.roles)
    if data.status is not None:
        await identity.set_status(turn, user_id, data.status)
    return user_view(await identity.user(turn, user_id))


@get("/v1/admin/users/{user_id:uuid}/permissions", opt=MANAGE_USERS)
async def permissions(
    user_id: FromPath[UUID], identity: NamedDependency[Identity], turn: NamedDependency[Turn]
) -> PermissionsView:
    """What a person may do, all their roles together."""
    user = await identity.user(turn, user_id)
    return PermissionsView(roles=list(user.roles), permissions=permission_object(user.permissions, user.limits))


@post("/v1/admin/users/{user_id:uuid}/signout", opt=MANAGE_USERS, status_code=HTTP_204_NO_CONTENT)
async def sign_out_user(
    user_id: FromPath[UUID], identity: NamedDependency[Identity], turn: NamedDependency[Turn]
) -> None:
    """End all sessions of a person."""
    await identity.sign_out_everywhere(turn, user_id)


@post("/v1/admin/users/{user_id:uuid}/reset-2fa", opt={**MANAGE_USERS, "fresh": True}, status_code=HTTP_204_NO_CONTENT)
async def reset_factors(
    user_id: FromPath[UUID], identity: NamedDependency[Identity], turn: NamedDependency[Turn]
) -> None:
    """Remove a person's second factors and recovery codes."""
    await identity.reset_factors(turn, user_id)


# Roles


@get("/v1/admin/roles", opt=SEE_ROLES)
async def all_roles(roles: NamedDependency[Roles], turn: NamedDependency[Turn]) -> RoleList:
    """The shipped roles, and those made here."""
    return RoleList(await roles.all(turn))


@post("/v1/admin/roles", opt=FRESHLY_MANAGE_ROLES)
async def create_role(data: JSONBody[RoleBody], roles: NamedDependency[Roles], turn: NamedDependency[Turn]) -> Role:
    """Make a role that gives no more than one has oneself."""
    return await roles.create(turn, name=data.name, label=data.label, about=data.about, permissions=data.permissions)


@get("/v1/admin/roles/{role:str}", opt=SEE_ROLES)
async def one_role(role: FromPath[str], roles: NamedDependency[Roles], turn: NamedDependency[Turn]) -> Role:
    """One role."""
    return await roles.one(turn, role)


@patch("/v1/admin/roles/{role:str}", opt=FRESHLY_MANAGE_ROLES)
async def change_role(
    role: FromPath[str], data: JSONBody[RolePatch], roles: NamedDependency[Roles], turn: NamedDependency[Turn]
) -> Role:
    """Change a role made here; its people feel it within a second."""
    return await roles.change(turn, role, label=data.label, about=data.about, permissions=data.permissions)


@delete("/v1/admin/roles/{role:str}", opt=FRESHLY_MANAGE_ROLES)
async def delete_role(role: FromPath[str], roles: NamedDependency[Roles], turn: NamedDependency[Turn]) -> None:
    """Delete a role that nobody has."""
    await roles.delete(turn, role)


# Invitations


@get("/v1/admin/invitations", opt=MANAGE_USERS)
async def all_invitations(invitations: NamedDependency[Invitations], turn: NamedDependency[Turn]) -> InvitationList:
    """Who was invited and has not joined yet."""
    return InvitationList(await invitations.open_ones(turn))


@post("/v1/admin/invitations", opt=FRESHLY_MANAGE_USERS)
async def invite(
    data: JSONBody[InvitationBody], invitations: NamedDependency[Invitations], turn: NamedDependency[Turn]
) -> Response[Invited]:
    """Invite someone by e-mail; the link is shown this once, and sent where a mail server is set up."""
    made = await invitations.invite(turn, email=data.email, roles=data.roles, days=data.days)
    return Response(made, headers=NO_STORE)


@delete("/v1/admin/invitations/{invitation_id:uuid}", opt=MANAGE_USERS)
async def revoke_invitation(
    invitation_id: FromPath[UUID], invitations: NamedDependency[Invitations], turn: NamedDependency[Turn]
) -> None:
    """Take an invitation back."""
    await invitations.revoke(turn, invitation_id)


@post("/v1/auth/invitation", opt=PUBLIC, status_code=HTTP_200_OK)
async def welcome(
    data: JSONBody[TokenBody], request: Request[Any, Any, Any], invitations: NamedDependency[Invitations]
) -> Response[Welcome]:
    """What the page behind an invitation's link shows."""
    return Response(await invitations.welcome(data.token, client_of(request)), headers=NO_STORE)


@post("/v1/auth/invitation/accept", opt=PUBLIC, status_code=HTTP_200_OK, responses=OR_PENDING)
async def accept_invitation(
    data: JSONBody[AcceptBody],
    request: Request[Any, Any, Any],
    identity: NamedDependency[Identity],
    invitations: NamedDependency[Invitations],
) -> Response[Any]:
    """Make the account of an invitation, with a password, and sign it in."""
    browser = identity.is_own_page(list(request.scope["headers"]))
    return granted(
        await invitations.accept(
            token=data.token, name=data.name, password=data.password, client=client_of(request), browser=browser
        )
    )


@post("/v1/auth/invitation/sso", opt=PUBLIC, status_code=HTTP_200_OK)
async def accept_by_sso(
    data: JSONBody[AcceptBySsoBody],
    request: Request[Any, Any, Any],
    identity: NamedDependency[Identity],
    invitations: NamedDependency[Invitations],
) -> Response[Elsewhere]:
    """Make the account of an invitation for whom another sign-in service vouches for: where the browser goes on."""
    identity.is_own_page(list(request.scope["headers"]))
    address, cookie = await invitations.accept_by_sso(token=data.token, alias=data.idp, client=client_of(request))
    return Response(Elsewhere(address), headers={**NO_STORE, "Set-Cookie": cookie})


# Other sign-in services


@get("/v1/admin/sso/idps", opt=MANAGE_ROLES)
async def all_services(
    request: Request[Any, Any, Any], sign_in_services: NamedDependency[SignInServices], turn: NamedDependency[Turn]
) -> SignInServiceList:
    """The issuers of the settings, their keys, and which of their groups have which roles here."""
    found = [service_view(service) for service in await sign_in_services.all(turn)]
    return SignInServiceList(services=found, callback=f"{request.url.scheme}://{request.headers['host']}{CALLBACK}")


@put("/v1/admin/sso/idps/{alias:str}/groups", opt=FRESHLY_MANAGE_ROLES)
async def map_groups(
    alias: FromPath[str],
    data: JSONBody[GroupsBody],
    sign_in_services: NamedDependency[SignInServices],
    turn: NamedDependency[Turn],
) -> SignInServiceView:
    """Say which groups have which roles, from the next token on; nulls go back to the settings."""
    if data.groups is None or data.groups_claim is None:
        return service_view(await sign_in_services.unmap_groups(turn, alias))
    changed = await sign_in_services.map_groups(turn, alias, claim=data.groups_claim, groups=data.groups)
    return service_view(changed)


@post("/v1/admin/sso/idps/{alias:str}/check", opt=MANAGE_ROLES, status_code=HTTP_200_OK)
async def check_service(
    alias: FromPath[str], sign_in_services: NamedDependency[SignInServices], turn: NamedDependency[Turn]
) -> SignInServiceView:
    """Fetch the issuer's keys now."""
    return service_view(await sign_in_services.check(turn, alias))


@post("/v1/admin/sso/idps/{alias:str}/test", opt=MANAGE_ROLES, status_code=HTTP_200_OK)
async def examine_token(
    alias: FromPath[str],
    data: JSONBody[TokenBody],
    sign_in_services: NamedDependency[SignInServices],
    turn: NamedDependency[Turn],
) -> Response[Examined]:
    """What an access token of the issuer says, and who its bearer would be here."""
    return Response(await sign_in_services.examine(turn, alias, data.token), headers=NO_STORE)


@post("/v1/admin/sso/idps/{alias:str}/test/begin", opt=IN_PERSON, status_code=HTTP_200_OK)
async def begin_test(
    alias: FromPath[str], sign_in_services: NamedDependency[SignInServices], turn: NamedDependency[Turn]
) -> Response[Elsewhere]:
    """Try a sign-in that signs nobody in: where the browser goes on."""
    address, cookie = await sign_in_services.begin_test(turn, alias)
    return Response(Elsewhere(address), headers={**NO_STORE, "Set-Cookie": cookie})


@post("/v1/admin/sso/tested", opt=IN_PERSON, status_code=HTTP_200_OK)
async def tested(
    data: JSONBody[TestBody], sign_in_services: NamedDependency[SignInServices], turn: NamedDependency[Turn]
) -> Response[Examined]:
    """What came back of a sign-in that one tried."""
    return Response(await sign_in_services.tested(turn, data.test), headers=NO_STORE)


# Tenants


@get("/v1/admin/tenant", opt=MANAGE_TENANT)
async def own_tenant(
    tenants: NamedDependency[Tenants],
    sign_in_services: NamedDependency[SignInServices],
    turn: NamedDependency[Turn],
) -> OwnTenant:
    """One's own tenant."""
    return await _own(await tenants.own(turn), sign_in_services, turn)


@patch("/v1/admin/tenant", opt=MANAGE_TENANT)
async def rename_tenant(
    data: JSONBody[TenantPatch],
    tenants: NamedDependency[Tenants],
    sign_in_services: NamedDependency[SignInServices],
    turn: NamedDependency[Turn],
) -> OwnTenant:
    """Rename one's own tenant."""
    return await _own(await tenants.rename(turn, data.name), sign_in_services, turn)


@get("/v1/admin/tenants", opt=MANAGE_TENANTS)
async def all_tenants(tenants: NamedDependency[Tenants], turn: NamedDependency[Turn]) -> TenantList:
    """All tenants of the installation."""
    return TenantList(await tenants.all(turn))


@post("/v1/admin/tenants", opt=FRESHLY_MANAGE_TENANTS)
async def create_tenant(
    data: JSONBody[TenantBody], tenants: NamedDependency[Tenants], turn: NamedDependency[Turn]
) -> Response[TenantMade]:
    """A further tenant; its first owner's link is shown this once."""
    tenant, invited = await tenants.create(turn, name=data.name, owner_email=data.owner_email)
    return Response(TenantMade(tenant=tenant, invited=invited), headers=NO_STORE)


@patch("/v1/admin/tenants/{tenant_id:uuid}", opt=FRESHLY_MANAGE_TENANTS)
async def change_tenant(
    tenant_id: FromPath[UUID],
    data: JSONBody[TenantStatusBody],
    tenants: NamedDependency[Tenants],
    turn: NamedDependency[Turn],
) -> Tenant:
    """Suspend a tenant, or let it in again."""
    return await tenants.set_status(turn, tenant_id, data.status)


@post("/v1/admin/tenants/{tenant_id:uuid}/enter", opt={**BY_SESSION, "fresh": True}, status_code=HTTP_200_OK)
async def enter_tenant(
    tenant_id: FromPath[UUID], tenants: NamedDependency[Tenants], turn: NamedDependency[Turn]
) -> Tenant:
    """Act as an owner of another tenant, in this session, until one leaves it."""
    return await tenants.enter(turn, tenant_id)


@post("/v1/admin/tenants/leave", opt=BY_SESSION, status_code=HTTP_204_NO_CONTENT)
async def leave_tenant(tenants: NamedDependency[Tenants], turn: NamedDependency[Turn]) -> None:
    """Act in one's own tenant again."""
    await tenants.leave(turn)


async def _own(tenant: Tenant, sign_in_services: SignInServices, turn: Turn) -> OwnTenant:
    mapped = {one.issuer.alias: one.groups for one in await sign_in_services.all(turn)}
    return OwnTenant(
        id=tenant.id,
        name=tenant.name,
        status=tenant.status,
        created_at=tenant.created_at,
        settings=TenantSettings(group_role_mapping=mapped),
    )


ROUTES: list[Any] = [
    users,
    create_user,
    user,
    change_user,
    permissions,
    sign_out_user,
    reset_factors,
    all_roles,
    create_role,
    one_role,
    change_role,
    delete_role,
    all_invitations,
    invite,
    revoke_invitation,
    welcome,
    accept_invitation,
    accept_by_sso,
    all_services,
    map_groups,
    check_service,
    examine_token,
    begin_test,
    tested,
    own_tenant,
    rename_tenant,
    all_tenants,
    create_tenant,
    change_tenant,
    enter_tenant,
    leave_tenant,
]
