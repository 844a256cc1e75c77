// Opens the streams of a run: a new one with POST /v1/chat/stream, a running one with GET …/events.
import { noticeRefusal, origin, sessionHeaders } from "./client";
import { ApiError, readError, unreachable } from "./errors";
import { SseParser } from "./sse";
import type { RunEvent } from "./types";

export interface NumberedEvent {
  /** The server's event number, for `Last-Event-ID`. */
  id: string;
  event: RunEvent;
}

export interface OpenStream {
  runId: string | null;
  events: AsyncGenerator<NumberedEvent>;
}

export interface ChatRequest {
  text: string;
  sessionId: string;
  /** The item to continue from; null starts the conversation anew. */
  parentId: string | null;
}

export async function startRun(chat: ChatRequest): Promise<OpenStream> {
  const response = await open("/v1/chat/stream", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      messages: [{ role: "user", content: chat.text }],
      session_id: chat.sessionId,
      parent_id: chat.parentId,
    }),
  });
  return { runId: response.headers.get("X-Aibox-Turn-Id"), events: read(response) };
}

/** Continues a run after the event numbered `after` ("" for all of it). */
export async function followRun(sessionId: string, runId: string, after: string): Promise<OpenStream> {
  const response = await open(`/v1/conversations/${sessionId}/runs/${runId}/events`, {
    headers: after ? { "Last-Event-ID": after } : {},
  });
  // X-Aibox-Turn-Id names the turn of this request here, not the run.
  return { runId, events: read(response) };
}

async function open(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(origin + path, {
      ...init,
      credentials: "same-origin",
      headers: {
        Accept: "text/event-stream",
        ...sessionHeaders(path, init.method ?? "GET"),
        ...init.headers,
      },
    });
  } catch {
    // fetch rejects only when there was no answer at all.
    throw unreachable();
  }
  if (!response.ok) {
    const error = await readError(response);
    noticeRefusal(error);
    throw error;
  }
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    throw new ApiError("The server answered with something that is no event stream.", {
      status: response.status,
      code: "not_a_stream",
    });
  }
  return response;
}

async function* read({ body }: Response): AsyncGenerator<NumberedEvent> {
  if (!body) return;
  const parser = new SseParser();
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const message of parser.push(value)) {
        const event = runEvent(message.event, message.data);
        if (event) yield { id: message.id, event };
      }
    }
  } finally {
    // Fails when the connection has broken, which the reader of this stream has then already been told.
    reader.cancel().catch(() => {});
  }
}

const known: Record<RunEvent["event"], true> = {
  token: true,
  trace_update: true,
  tool_call: true,
  tool_result: true,
  approval_required: true,
  approval_decided: true,
  usage: true,
  blocked: true,
  error: true,
  done: true,
};

/** An event this version does not know is skipped: the server may be newer than the page. */
function runEvent(event: string, data: string): RunEvent | null {
  return Object.hasOwn(known, event) ? ({ event, data: JSON.parse(data) } as RunEvent) : null;
}
