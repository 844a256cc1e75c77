"""`/v1/guard`: judge a text, read and change the policy."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK
from msgspec.structs import replace

from aibox.core.turn import Turn
from aibox.guardrail import ID_PATTERN, LONGEST_ID, Conversations, Deidentified, Guardrail, Policy, Verdict
from aibox.guardrail.schemas import (
    CheckAnswer,
    CheckBody,
    ContentBody,
    DeidentifyBody,
    HeldBody,
    PolicyBody,
    ScannerResult,
)
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
        try:
            (verdict,) = await guardrail.check_input(_as_agent(turn, data), [data.content])
        finally:
            guardrail.release(turn)  # nobody asks for these values again
        return _answer(verdict, data.content, verdict.content)

    @post("/output", status_code=HTTP_200_OK, opt={"policy": "chat", "scope": "chat"})
    async def check_output(
        self, turn: NamedDependency[Turn], guardrail: NamedDependency[Guardrail], data: JSONBody[CheckBody]
    ) -> CheckAnswer:
        """What would become of this text on its way to the user."""
        _require_tenant(turn, data.scope.tenant_id)
        try:
            verdict = await guardrail.check_output(_as_agent(turn, data), data.content)
        finally:
            guardrail.release(turn)
        return _answer(verdict, data.content, verdict.visible)

    @post("/deidentify", status_code=HTTP_200_OK, opt={"policy": "chat", "scope": "chat"})
    async def deidentify(
        self,
        turn: NamedDependency[Turn],
        guardrail: NamedDependency[Guardrail],
        conversations: NamedDependency[Conversations],
        data: JSONBody[DeidentifyBody],
    ) -> Deidentified:
        """The text with tokens in place of personal data; secrets are removed for good."""
        await conversations.require_no_strangers(turn, data.conversation_id)
        return await guardrail.deidentify(turn, data.content, conversation=data.conversation_id)

    @post("/reidentify", status_code=HTTP_200_OK, opt={"policy": "chat", "scope": "chat"})
    async def reidentify(
        self, turn: NamedDependency[Turn], guardrail: NamedDependency[Guardrail], data: JSONBody[DeidentifyBody]
    ) -> ContentBody:
        """The text with the caller's own values back; 404 when none of its tokens is theirs in this conversation."""
        content = await guardrail.reidentify(turn, data.content, conversation=data.conversation_id)
        return ContentBody(content=content)

    @get("/masked", opt={"policy": "chat", "scope": "chat"})
    async def masked(
        self, turn: NamedDependency[Turn], guardrail: NamedDependency[Guardrail], conversation_id: FromQuery[UUID]
    ) -> HeldBody:
        """What was masked of the caller's own words in a conversation."""
        return HeldBody(items=await guardrail.held(turn, conversation_id))

    @delete("/masked", opt={"policy": "chat", "scope": "chat"})
    async def let_go(
        self, turn: NamedDependency[Turn], guardrail: NamedDependency[Guardrail], conversation_id: FromQuery[UUID]
    ) -> None:
        """Forget the caller's own values in a conversation; their tokens stay tokens."""
        await guardrail.let_go(turn, conversation_id)

    @get("/policy", opt={"policy": "admin.manage_providers", "scope": "admin"})
    async def policy(
        self,
        turn: NamedDependency[Turn],
        guardrail: NamedDependency[Guardrail],
        agent_id: Annotated[str, QueryParameter(max_length=LONGEST_ID, pattern=ID_PATTERN)] = "",
        key_id: Annotated[str, QueryParameter(max_length=LONGEST_ID, pattern=ID_PATTERN)] = "",
    ) -> Policy:
        """The stored policy of the tenant, or of an agent or API key."""
        return await guardrail.policy(turn, agent_id=agent_id, key_id=key_id)

    @put("/policy", opt={"policy": "admin.manage_providers", "scope": "admin"})
    async def set_policy(
        self, turn: NamedDependency[Turn], guardrail: NamedDependency[Guardrail], data: JSONBody[PolicyBody]
    ) -> Policy:
        """Replace it."""
        policy = Policy(
            profile=data.profile,
            scanners=data.scanners,
            masks=data.masks,
            topics=data.topics,
            scan_images=data.scan_images,
        )
        await guardrail.set_policy(turn, policy, agent_id=data.agent_id, key_id=data.key_id)
        return policy


def _require_tenant(turn: Turn, tenant: UUID | None) -> None:
    if tenant is not None and tenant != turn.tenant:
        raise TenantMismatch()


def _as_agent(turn: Turn, data: CheckBody) -> Turn:
    """The same turn under the policy of the agent that the caller names."""
    return turn if data.scope.agent_id is None else replace(turn, agent=data.scope.agent_id)


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
        masked=verdict.masked,
        flagged=verdict.flagged,
    )


ROUTES: list[type[Controller]] = [GuardController]
