// Short names for the shapes of the API. What OpenAPI describes is taken from there; the rest is written here.
import type { paths } from "./schema";

/** What a GET answers. Taken by path: names of schemas are the server's own affair. */
type Got<P extends keyof paths> = paths[P] extends {
  get: { responses: { 200: { content: { "application/json": infer Body } } } };
}
  ? Body
  : never;

export type Me = Got<"/v1/auth/me">;
export type Session = Got<"/v1/sessions">["sessions"][number];
export type Run = Got<"/v1/conversations/{conversation_id}/runs">["runs"][number];
export type Receipt = Got<"/v1/receipts/{turn_id}">;
/** A passage that was before the model when it answered. */
export type Citation = NonNullable<
  Got<"/v1/conversations/{conversation_id}/items">["items"][number]["citations"]
>[number];
/** A memory that was before the model when it answered, and why. */
export type Recalled = NonNullable<
  Got<"/v1/conversations/{conversation_id}/items">["items"][number]["recalled"]
>[number];
export type Item = Omit<Got<"/v1/conversations/{conversation_id}/items">["items"][number], "usage"> & {
  usage?: Usage | null;
};

export interface Usage {
  input_tokens: number;
  output_tokens: number;
  /** Decimal; null when the price is unknown, which is not free. */
  cost_usd: string | null;
  context_used: number;
  context_max: number;
  provider: string;
  model: string;
}

/** An entry of /v1/models: OpenAI's fields, and ours under `aibox`. */
export interface Model {
  id: string;
  aibox: { provider: string; demonstration: boolean; roles: string[]; healthy: boolean };
}

export type StepState = "running" | "done" | "failed";

export type ToolState = "running" | "done" | "failed" | "denied";

/** What became of an approval; `expired` also where its run ended first. */
export type Decision = "approved" | "approved_with_edits" | "denied" | "expired";

/** The events of /v1/chat/stream and of a run's /events: OpenAPI cannot describe them. */
export type RunEvent =
  | { event: "token"; data: { item_id: string; text: string } }
  | { event: "trace_update"; data: { step: string; label: string; state: StepState } }
  | { event: "usage"; data: Usage }
  /** `arguments` is an object, or what the model wrote in place of one. */
  | { event: "tool_call"; data: { call_id: string; name: string; arguments: unknown } }
  | {
      event: "tool_result";
      data: { call_id: string; state: Exclude<ToolState, "running">; content: string };
    }
  | {
      event: "approval_required";
      data: {
        approval_id: string;
        call_id: string;
        tool: string;
        arguments: Record<string, unknown>;
        risk: string;
        /** Null where nothing waits: what is offered then is done by a request of its own. */
        expires_at: string | null;
      };
    }
  | { event: "approval_decided"; data: { approval_id: string; call_id: string; status: Decision } }
  | { event: "blocked"; data: { direction: string; reason: string; scanners: string[] } }
  | { event: "error"; data: { error: string; code: string; turn_id: string | null } }
  | {
      event: "done";
      data: {
        turn_id: string;
        run_id: string;
        session_id: string;
        item_id: string;
        /** stop, length, tool_limit, cancelled, blocked, and what later versions may add. */
        finish_reason: string;
        receipt: Receipt;
        /** Absent from a server that knows no knowledge. */
        citations?: Citation[];
        recalled?: Recalled[];
        /** The tokens that the model read in the question. */
        masked?: string[];
      };
    };
