"""HTTP of the runtime: chat, sessions, conversations, and the dialects of other AI clients."""

from datetime import UTC
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody
from litestar.types import ASGIApp

from aibox.audit import Receipt
from aibox.core.errors import Internal, ValidationFailed, revive
from aibox.core.turn import Turn
from aibox.identity import Identity
from aibox.runtime import Approval, Approvals, ApprovalStatus, Chat, Citation, Conversation, Conversations, Question
from aibox.runtime.completions import Completions
from aibox.runtime.embeddings import Embeddings
from aibox.runtime.live_replay import LiveReplay, LiveReplayed
from aibox.runtime.schemas import (
    AnswerMessage,
    ApprovalList,
    ApproveBody,
    ChatRequest,
    ChatResponse,
    ItemList,
    NewSession,
    ReplayBody,
    RunList,
    SessionChange,
    SessionCreated,
    SessionList,
    SessionView,
)
from aibox.runtime.sse import EventStream

CHAT = {"policy": "chat", "scope": "chat"}
CHAT_TURN = {**CHAT, "rate": "turn"}
MODELS = {"policy": "chat", "scope": "models"}
MODEL_TURN = {**MODELS, "rate": "turn"}
Plain = Request[Any, Any, Any]


@post("/v1/chat", opt=CHAT_TURN, status_code=200)
async def chat_sync(
    request: Plain,
    turn: NamedDependency[Turn],
    data: JSONBody[ChatRequest],
    chat: NamedDependency[Chat],
    identity: NamedDependency[Identity],
) -> ChatResponse:
    """Ask, and get the whole answer with its receipt."""
    started = await chat.start(turn, _question(data))
    request.scope["state"]["keeps_turn"] = True
    usage: dict[str, Any] | None = None
    pieces: list[str] = []
    async for event in await chat.events(turn, started.session_id, started.run_id):
        content = msgspec.json.decode(event.data, type=dict[str, Any])
        match event.name:
            case "token":
                pieces.append(content["text"])
            case "usage":
                usage = content
            case "error":
                raise revive(content["code"], content["error"])
            case "done":
                await identity.recheck(turn)
                return ChatResponse(
                    turn_id=turn.id,
                    run_id=started.run_id,
                    session_id=started.session_id,
                    item_id=started.item_id,
                    finish_reason=content["finish_reason"],
                    receipt=msgspec.convert(content["receipt"], Receipt),
                    message=AnswerMessage(id=started.item_id, content="".join(pieces)),
                    usage=usage,
                    citations=msgspec.convert(content["citations"], list[Citation]),
                )
    raise Internal()


@post("/v1/chat/stream", opt=CHAT_TURN, status_code=200, media_type="text/event-stream")
async def chat_stream(
    request: Plain,
    turn: NamedDependency[Turn],
    data: JSONBody[ChatRequest],
    chat: NamedDependency[Chat],
    identity: NamedDependency[Identity],
) -> ASGIApp:
    """Ask, and read the run's events as they come (spec.md §4). Leaving stops nothing."""
    started = await chat.start(turn, _question(data))
    request.scope["state"]["keeps_turn"] = True
    events = await chat.events(turn, started.session_id, started.run_id)
    return EventStream(events, lambda: identity.recheck(turn), {"X-Aibox-Session-Id": str(started.session_id)})


@post("/v1/chat/completions", opt=MODEL_TURN, status_code=200)
async def chat_completions(request: Plain, completions: NamedDependency[Completions]) -> ASGIApp:
    """OpenAI's Chat Completions: any client that speaks it, streaming and not."""
    return completions.serve(*await _call(request), "chat_completions")


@post("/v1/responses", opt=MODEL_TURN, status_code=200)
async def responses(request: Plain, completions: NamedDependency[Completions]) -> ASGIApp:
    """OpenAI's Responses, streaming and not; nothing is stored, so each request brings its whole conversation."""
    return completions.serve(*await _call(request), "responses")


@post("/v1/messages", opt=MODEL_TURN, status_code=200)
async def messages(request: Plain, completions: NamedDependency[Completions]) -> ASGIApp:
    """Anthropic's Messages, streaming and not."""
    return completions.serve(*await _call(request), "messages", request.headers)


@post("/v1/messages/count_tokens", opt=MODELS, status_code=200)
async def count_tokens(request: Plain, completions: NamedDependency[Completions]) -> ASGIApp:
    """How many tokens a Messages request has: the provider's count, or an estimate (`X-Aibox-Estimated`)."""
    return completions.count(*await _call(request), request.headers)


@post("/v1/embeddings", opt=MODELS, status_code=200)
async def embed(request: Plain, embeddings: NamedDependency[Embeddings]) -> ASGIApp:
    """OpenAI's embeddings: a vector for a text, or for each of a list."""
    return embeddings.serve(*await _call(request))


async def _call(request: Plain) -> tuple[Turn, bytes]:
    """The turn and the body of a call that ends its turn itself.

    Read from the request: Litestar makes a task for each of several dependencies, a tenth of what such a call costs.
    """
    body = await request.body()
    request.scope["state"]["keeps_turn"] = True
    return request.scope["state"]["turn"], body


class SessionController(Controller):
    """A session and a conversation are one thing with one id: this manages it."""

    path = "/v1/sessions"
    opt = CHAT

    @get()
    async def listed(
        self,
        turn: NamedDependency[Turn],
        conversations: NamedDependency[Conversations],
        q: FromQuery[str] = "",
        limit: FromQuery[int] = 50,
        cursor: FromQuery[str | None] = None,
    ) -> SessionList:
        found, after = await conversations.list(turn, query=q, limit=_limit(limit), before=cursor)
        return SessionList(sessions=[_view(conversation) for conversation in found], next_cursor=after)

    @post()
    async def create(
        self, turn: NamedDependency[Turn], data: JSONBody[NewSession], conversations: NamedDependency[Conversations]
    ) -> SessionCreated:
        return SessionCreated(session_id=(await conversations.create(turn, title=data.title)).id)

    @get("/{session_id:uuid}")
    async def read(
        self, turn: NamedDependency[Turn], session_id: FromPath[UUID], conversations: NamedDependency[Conversations]
    ) -> SessionView:
        return _view(await conversations.get(turn, session_id))

    @patch("/{session_id:uuid}")
    async def change(
        self,
        turn: NamedDependency[Turn],
        session_id: FromPath[UUID],
        data: JSONBody[SessionChange],
        conversations: NamedDependency[Conversations],
    ) -> SessionView:
        return _view(await conversations.update(turn, session_id, title=data.title, pinned=data.pinned))

    @delete("/{session_id:uuid}")
    async def remove(
        self, turn: NamedDependency[Turn], session_id: FromPath[UUID], conversations: NamedDependency[Conversations]
    ) -> None:
        await conversations.delete(turn, session_id)


class ConversationController(Controller):
    """Reads a conversation's items and runs, and follows or stops a run."""

    path = "/v1/conversations/{conversation_id:uuid}"
    opt = CHAT

    @get("/items")
    async def items(
        self,
        turn: NamedDependency[Turn],
        conversation_id: FromPath[UUID],
        conversations: NamedDependency[Conversations],
        limit: FromQuery[int] = 200,
        cursor: FromQuery[str | None] = None,
    ) -> ItemList:
        found, after = await conversations.items(turn, conversation_id, limit=_limit(limit), after=cursor)
        return ItemList(items=list(found), next_cursor=after)

    @get("/runs")
    async def runs(
        self,
        turn: NamedDependency[Turn],
        conversation_id: FromPath[UUID],
        conversations: NamedDependency[Conversations],
    ) -> RunList:
        return RunList(runs=list(await conversations.runs(turn, conversation_id)))

    @get("/runs/{run_id:uuid}/events", opt={"rate": "stream"}, media_type="text/event-stream")
    async def events(
        self,
        turn: NamedDependency[Turn],
        conversation_id: FromPath[UUID],
        run_id: FromPath[UUID],
        chat: NamedDependency[Chat],
        identity: NamedDependency[Identity],
        after: FromQuery[int] = 0,
        last_event_id: Annotated[str | None, HeaderParameter(name="Last-Event-ID")] = None,
    ) -> ASGIApp:
        """The run's events above `Last-Event-ID` (or `after`), then the coming ones."""
        if last_event_id is not None and last_event_id.isdecimal():
            after = int(last_event_id[:9])
        after = max(0, min(after, 999_999_999))
        events = await chat.events(turn, conversation_id, run_id, after=after)
        return EventStream(events, lambda: identity.recheck(turn))

    @post("/runs/{run_id:uuid}/cancel", status_code=202)
    async def cancel(
        self,
        turn: NamedDependency[Turn],
        conversation_id: FromPath[UUID],
        run_id: FromPath[UUID],
        chat: NamedDependency[Chat],
    ) -> None:
        await chat.cancel(turn, conversation_id, run_id)


class ApprovalController(Controller):
    """What waits for the caller's word: a tool that is used only once they approve."""

    path = "/v1/user/approvals"
    opt = CHAT

    @get()
    async def listed(
        self,
        turn: NamedDependency[Turn],
        approvals: NamedDependency[Approvals],
        status: FromQuery[ApprovalStatus | None] = None,
    ) -> ApprovalList:
        """The newest first."""
        return ApprovalList(approvals=list(await approvals.list(turn, status=status)))

    @post("/{approval_id:uuid}/approve", status_code=200)
    async def approve(
        self,
        turn: NamedDependency[Turn],
        approval_id: FromPath[UUID],
        approvals: NamedDependency[Approvals],
        data: JSONBody[ApproveBody | None] = None,
    ) -> Approval:
        """Let the tool be used, with other arguments if they are given; the run goes on."""
        arguments = None if data is None else data.arguments
        return await approvals.decide(turn, approval_id, approve=True, arguments=arguments)

    @post("/{approval_id:uuid}/deny", status_code=200)
    async def deny(
        self, turn: NamedDependency[Turn], approval_id: FromPath[UUID], approvals: NamedDependency[Approvals]
    ) -> Approval:
        """Keep the tool from being used; the model is told, and the run goes on."""
        return await approvals.decide(turn, approval_id, approve=False)


def _question(data: ChatRequest) -> Question:
    last = data.messages[-1]
    if last.role != "user":
        raise ValidationFailed(fields=[{"field": "messages", "error": "The last message must be the user's."}])
    return Question(text=last.text, session_id=data.session_id, parent_id=data.parent_id, temporary=data.temporary)


def _limit(limit: int) -> int:
    if not 1 <= limit <= 200:
        raise ValidationFailed(fields=[{"field": "limit", "error": "From 1 to 200."}])
    return limit


def _view(conversation: Conversation) -> SessionView:
    return SessionView(
        session_id=conversation.id,
        title=conversation.title,
        updated_at=conversation.updated_at.astimezone(UTC).isoformat(),
        pinned=conversation.pinned,
    )


@post(
    "/v1/audit/turns/{turn_id:uuid}/replay/live",
    opt={**MODEL_TURN, "scope": "models and audit:read", "fresh": "people"},
    status_code=200,
)
async def replay_live(
    turn: NamedDependency[Turn],
    turn_id: FromPath[UUID],
    live_replay: NamedDependency[LiveReplay],
    data: JSONBody[ReplayBody | None] = None,
) -> LiveReplayed:
    """Ask the turn's recorded prompt again as the caller, as a new turn, and compare the answers.

    The tools that the model was offered then are offered only with `{"tools": true}`; what it calls is not carried out.
    """
    return await live_replay.again(turn, turn_id, tools=data is not None and data.tools)


ROUTES: list[Any] = [
    replay_live,
    chat_sync,
    chat_stream,
    chat_completions,
    responses,
    messages,
    count_tokens,
    embed,
    SessionController,
    ConversationController,
    ApprovalController,
]
