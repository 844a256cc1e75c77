"""Step `ask`: put the prompt to the model and pass its answer on, through the output filter, as it arrives."""

import msgspec
from msgspec.structs import replace

from aibox.core.events import json_artifact
from aibox.router import ModelCall, ModelStream
from aibox.runtime import PromptGenerated
from aibox.runtime.steps import MODEL, Parts, State, Tokens, trace
from aibox.runtime.steps.consult import block

SYSTEM = "You are a helpful assistant. Answer clearly and briefly. If you do not know something, say so."


async def ask(parts: Parts, state: State) -> State:
    """Streams `token` events. Raises what the router raises; what was shown until then stays shown."""
    system = SYSTEM
    if state.recall.context:
        remembered = await parts.guardrail.check_input(
            state.turn, [state.recall.context], conversation=state.session_id, external=state.is_external
        )
        if remembered[0].decision != "block":
            system = f"{system}\n\n{remembered[0].content}"
    if state.sources:
        system = f"{system}\n\n{block(state.sources)}"
    messages = [
        {"role": "system", "content": system},
        *({"role": message.role, "content": message.content} for message in state.history),
        {"role": "user", "content": state.prompt},
    ]
    await parts.log.log(
        state.turn,
        PromptGenerated(
            conversation=str(state.session_id),
            messages=len(messages),
            recalled=len(state.recall.memories),
            passages=len(state.sources),
            artifacts=(json_artifact(messages),),
        ),
    )
    trace(state, "ask", "Asking the model", done=False)
    assert state.filter is not None, "guard_in comes before ask"
    call = ModelCall(model=MODEL, body=msgspec.json.encode({"messages": messages}))
    async with parts.router.stream(state.turn, call) as stream:
        async for chunk in stream:
            if chunk.text and (text := await state.filter.push(chunk.text)):
                state.feed.emit("token", {"item_id": str(state.item_id), "text": text})
    return replace(
        state,
        finish_reason="length" if stream.finish_reason == "length" else "stop",
        usage=tokens(stream),
    )


def tokens(stream: ModelStream) -> Tokens | None:
    """What a finished stream used."""
    if stream.usage is None:
        return None
    used = stream.usage
    return Tokens(
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cost_usd=stream.cost_usd,
        context_used=used.input_tokens + used.output_tokens,
        context_max=stream.context,
        provider=stream.provider,
        model=stream.model,
    )
