// Following runs over a real connection to a small server: what is sent, what is shown, what survives a cut.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import type { RunView } from "./run";
import type { Runs } from "./runs";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

let server: Server;
let handle: Handler;
let requests: string[];
let makeRuns: (ended: (run: RunView) => void) => Runs;

beforeAll(async () => {
  server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    handle(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  vi.stubGlobal("location", { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  const { Runs } = await import("./runs");
  makeRuns = (ended) => new Runs({ begun: () => {}, ended });
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
  vi.unstubAllGlobals();
});

beforeEach(() => {
  requests = [];
});

const receipt = { turn_id: "t1", state: "sealed" };
const done = { turn_id: "t1", run_id: "t1", session_id: "s", item_id: "a", finish_reason: "stop", receipt };

/** The server names the turn of each request: only for the request that began the run is it the run. */
function stream(response: ServerResponse): void {
  const turn = response.req.method === "POST" ? "t1" : "t-of-this-request";
  response.writeHead(200, { "Content-Type": "text/event-stream", "X-Aibox-Turn-Id": turn });
}

function emit(response: ServerResponse, id: number, event: string, data: unknown): void {
  response.write(`event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`);
}

test("a message is sent once with its place, and its answer read to the end", async () => {
  const bodies: string[] = [];
  handle = (request, response) => {
    request.on("data", (chunk: Buffer) => bodies.push(chunk.toString()));
    request.on("end", () => {
      stream(response);
      emit(response, 1, "token", { item_id: "a", text: "Hi" });
      emit(response, 2, "done", done);
      response.end();
    });
  };
  const ended: RunView[] = [];
  const runs = makeRuns((run) => ended.push(run));
  await runs.send("s", "parent", "Hello");
  expect(bodies.map((body) => JSON.parse(body))).toEqual([
    { messages: [{ role: "user", content: "Hello" }], session_id: "s", parent_id: "parent" },
  ]);
  expect(ended).toMatchObject([{ phase: "ended", text: "Hi", runId: "t1", receipt }]);
  expect(runs.ended("t1")).toBe(ended[0]);
});

test("a connection cut in the middle is continued after the last event, without asking again", async () => {
  let after: string | undefined;
  handle = (request, response) => {
    stream(response);
    if (request.method === "POST") {
      emit(response, 1, "token", { item_id: "a", text: "first " });
      setTimeout(() => response.destroy(), 20);
      return;
    }
    after = request.headers["last-event-id"] as string;
    emit(response, 2, "token", { item_id: "a", text: "second" });
    emit(response, 3, "done", done);
    response.end();
  };
  const runs = makeRuns(() => {});
  await runs.send("s", null, "Hello");
  expect(after).toBe("1");
  expect(requests).toEqual(["POST /v1/chat/stream", "GET /v1/conversations/s/runs/t1/events"]);
  expect(runs.get("s")).toMatchObject({ phase: "ended", text: "first second" });
});

test("what a tool does and asks comes through the stream", async () => {
  const asked = { approval_id: "p", call_id: "c", tool: "memory_delete", arguments: {}, risk: "tool" };
  handle = (_, response) => {
    stream(response);
    emit(response, 1, "tool_call", { call_id: "c", name: "memory_delete", arguments: {} });
    emit(response, 2, "approval_required", { ...asked, expires_at: "2025-11-21T22:30:00Z" });
    emit(response, 3, "something_newer", {});
    emit(response, 4, "approval_decided", { approval_id: "p", call_id: "c", status: "denied" });
    emit(response, 5, "tool_result", { call_id: "c", state: "denied", content: "No." });
    emit(response, 6, "done", done);
    response.end();
  };
  const runs = makeRuns(() => {});
  await runs.send("s", null, "Hello");
  expect(runs.get("s")?.tools).toMatchObject([{ state: "denied", approval: { status: "denied" } }]);
  expect(runs.get("s")?.lastEventId).toBe("6");
});

test("a refusal is shown with its code and its wait, and is not repeated", async () => {
  handle = (_, response) => {
    response.writeHead(429, { "Content-Type": "application/json", "Retry-After": "7" });
    response.end(JSON.stringify({ error: "Too many turns.", code: "rate_limited", turn_id: "t9" }));
  };
  const runs = makeRuns(() => {});
  await runs.send("s", null, "Hello");
  expect(requests).toHaveLength(1);
  expect(runs.get("s")).toMatchObject({
    phase: "failed",
    failure: { message: "Too many turns.", code: "rate_limited", turnId: "t9", retryAfter: 7 },
  });
});

test("a proxy's HTML page is a clear error, not an endless wait", async () => {
  handle = (_, response) => {
    response.writeHead(502, { "Content-Type": "text/html" });
    response.end("<h1>Bad gateway</h1>");
  };
  const runs = makeRuns(() => {});
  await runs.send("s", null, "Hello");
  expect(runs.get("s")).toMatchObject({ phase: "failed", failure: { code: "http_502" } });
});

test("a message that never reached the server is not sent a second time by itself", async () => {
  handle = (_, response) => response.destroy();
  const runs = makeRuns(() => {});
  await runs.send("s", null, "Hello");
  expect(requests).toEqual(["POST /v1/chat/stream"]);
  expect(runs.get("s")).toMatchObject({ phase: "failed", failure: { code: "unreachable" } });
});

test("stop, pressed before the server has named the run, reaches it as soon as it has", async () => {
  let answerStream: ServerResponse | undefined;
  handle = (request, response) => {
    if (request.url?.endsWith("/cancel")) {
      response.writeHead(202).end();
      if (answerStream) emit(answerStream, 1, "done", { ...done, finish_reason: "cancelled" });
      answerStream?.end();
      return;
    }
    answerStream = response;
    setTimeout(() => {
      stream(response);
      response.flushHeaders();
    }, 30);
  };
  const runs = makeRuns(() => {});
  const sent = runs.send("s", null, "Hello");
  await runs.stop("s");
  await sent;
  expect(requests).toEqual(["POST /v1/chat/stream", "POST /v1/conversations/s/runs/t1/cancel"]);
  expect(runs.get("s")).toMatchObject({ phase: "ended", finishReason: "cancelled", stopping: false });
});

test("a run found after a reload is read from its first event, once", async () => {
  handle = (request, response) => {
    expect(request.headers["last-event-id"]).toBeUndefined();
    stream(response);
    emit(response, 1, "token", { item_id: "a", text: "all of it" });
    emit(response, 2, "done", done);
    response.end();
  };
  const runs = makeRuns(() => {});
  const found = { sessionId: "s", runId: "t1", parentId: null, question: "Hello" };
  await Promise.all([runs.resume(found), runs.resume(found)]);
  expect(requests).toEqual(["GET /v1/conversations/s/runs/t1/events"]);
  expect(runs.get("s")).toMatchObject({ phase: "ended", text: "all of it", question: "Hello" });
});

test("a run found after a reload can be stopped", async () => {
  let answerStream: ServerResponse | undefined;
  handle = (request, response) => {
    if (request.url?.endsWith("/cancel")) {
      response.writeHead(202).end();
      if (answerStream) emit(answerStream, 2, "done", { ...done, finish_reason: "cancelled" });
      answerStream?.end();
      return;
    }
    answerStream = response;
    stream(response);
    emit(response, 1, "token", { item_id: "a", text: "On and on" });
  };
  const runs = makeRuns(() => {});
  const resumed = runs.resume({ sessionId: "s", runId: "t1", parentId: null, question: "Hello" });
  await vi.waitFor(() => expect(runs.get("s")?.text).toBe("On and on"));
  await runs.stop("s");
  await resumed;
  expect(requests.at(-1)).toBe("POST /v1/conversations/s/runs/t1/cancel");
  expect(runs.get("s")).toMatchObject({ finishReason: "cancelled" });
});

test("a stream that stays broken ends with a message instead of trying forever", {
  timeout: 30_000,
}, async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  handle = (request, response) => {
    if (request.method !== "POST") {
      response.destroy();
      return;
    }
    stream(response);
    emit(response, 1, "token", { item_id: "a", text: "Half" });
    response.end();
  };
  const ended: RunView[] = [];
  const runs = makeRuns((run) => ended.push(run));
  const sent = runs.send("s", null, "Hello");
  const clock = setInterval(() => void vi.advanceTimersByTimeAsync(10_000), 20);
  await sent;
  clearInterval(clock);
  vi.useRealTimers();
  expect(requests).toHaveLength(6);
  expect(runs.get("s")).toMatchObject({
    phase: "failed",
    text: "Half",
    failure: { code: "connection_lost" },
  });
  expect(ended).toHaveLength(1);
});
