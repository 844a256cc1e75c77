// What can go wrong with a request, as one error class that carries the server's stable code.

export interface FieldError {
  field: string;
  error: string;
}

export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly turnId: string | null;
  /** Seconds to wait before trying again, where the server said so. */
  readonly retryAfter: number | null;
  readonly fields: FieldError[];

  constructor(
    message: string,
    details: {
      status: number;
      code: string;
      turnId?: string | null;
      retryAfter?: number | null;
      fields?: FieldError[];
    },
  ) {
    super(message);
    this.name = "ApiError";
    this.status = details.status;
    this.code = details.code;
    this.turnId = details.turnId ?? null;
    this.retryAfter = details.retryAfter ?? null;
    this.fields = details.fields ?? [];
  }
}

/** The request never got an answer: the server is down, or the network is. */
export function unreachable(): ApiError {
  return new ApiError("AIBox does not answer. Check that it is running and that you are connected.", {
    status: 0,
    code: "unreachable",
  });
}

/** Reads a refusal. A proxy in between may answer HTML: the status then has to do. */
export function errorFrom(response: Response, body: unknown): ApiError {
  const refusal = isRecord(body) ? body : {};
  const wait = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  return new ApiError(text(refusal.error) ?? `The server answered ${response.status}.`, {
    status: response.status,
    code: text(refusal.code) ?? `http_${response.status}`,
    turnId: text(refusal.turn_id) ?? response.headers.get("X-Aibox-Turn-Id"),
    retryAfter: Number.isNaN(wait) ? null : wait,
    fields: Array.isArray(refusal.fields) ? refusal.fields.filter(isFieldError) : [],
  });
}

/** The same, from a body not read yet. */
export async function readError(response: Response): Promise<ApiError> {
  const body = await response.json().catch((): unknown => null);
  return errorFrom(response, body);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function isFieldError(value: unknown): value is FieldError {
  return isRecord(value) && typeof value.field === "string" && typeof value.error === "string";
}
