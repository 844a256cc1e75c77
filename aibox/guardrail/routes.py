"""`/v1/guard`: judge a text, read and change the policy."""

from uuid import UUID

from litestar import Controller, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody
from litestar.status_codes import HTTP_200_OK

from aibox.core.turn import Turn
from aibox.guardrail import Guardrail, Policy, Verdict
from aibox.guardrail.schemas import CheckAnswer, CheckBody, PolicyBody, ScannerResult
from aibox.identity import TenantMismatch


class GuardController(Controller):
    """The guardrail over HTTP."""

    path = "/v1/guard"

    @post("/input", status_code=HTTP_200_OK, opt={"policy": "chat", "scope": "chat"})
    async def check_input(
        self, turn: NamedDependency[Turn], guardrail: NamedDependency[Guardrail], data: JSONBody[CheckBody]
    ) -> CheckAnswer:
        """What would become of this text on its way to a model."""
        _require_tenant(turn, data.scope.tenant_id)
        (verdict,) = await guardrail.check_input(turn, [data.content])
        return _answer(verdict, data.content, verdict.content)

    @post("/output", status_code=HTTP_200_OK, opt={"policy": "chat", "scope": "chat"})
    async def check_output(
        self, turn: NamedDependency[Turn], guardrail: NamedDependency[Guardrail], data: JSONBody[CheckBody]
    ) -> CheckAnswer:
        """What would become of this text on its way to the user."""
        _require_tenant(turn, data.scope.tenant_id)
        verdict = await guardrail.check_output(turn, data.content)
        return _answer(verdict, data.content, verdict.visible)

    @get("/policy", opt={"policy": "admin.manage_providers", "scope": "admin"})
    async def policy(
        self, turn: NamedDependency[Turn], guardrail: NamedDependency[Guardrail], key_id: FromQuery[str] = ""
    ) -> Policy:
        """The stored policy of the tenant, or of an API key."""
        return await guardrail.policy(turn, key_id=key_id)

    @put("/policy", opt={"policy": "admin.manage_providers", "scope": "admin"})
    async def set_policy(
        self, turn: NamedDependency[Turn], guardrail: NamedDependency[Guardrail], data: JSONBody[PolicyBody]
    ) -> Policy:
        """Replace it."""
        policy = Policy(profile=data.profile, scanners=data.scanners, masks=data.masks)
        await guardrail.set_policy(turn, policy, key_id=data.key_id)
        return policy


def _require_tenant(turn: Turn, tenant: UUID | None) -> None:
    if tenant is not None and tenant != turn.tenant:
        raise TenantMismatch()


def _answer(verdict: Verdict, given: str, rewritten: str) -> CheckAnswer:
    is_rewritten = verdict.decision != "block" and rewritten != given
    return CheckAnswer(
        decision=verdict.decision,
        reason=verdict.reason,
        scanner_results=[
            ScannerResult(scanner_name=f.scanner, is_safe=f.is_safe, risk_score=f.risk, detail=f.detail)
            for f in verdict.findings
        ],
        rewritten_content=rewritten if is_rewritten else None,
    )


ROUTES: list[type[Controller]] = [GuardController]
