// A sign-in that still needs a second factor, as the server describes it.
import { isRecord } from "../../api/errors";

export type Method = "totp" | "webauthn" | "recovery" | "push";

export interface Pending {
  challengeToken: string;
  methods: Method[];
  /** Seconds until it has to begin again. */
  expiresIn: number;
  /** To be typed on the paired device, once that is asked. */
  number: string | null;
  /** Options for `navigator.credentials.get`. */
  webauthn: Record<string, unknown> | null;
  /** There when the policy asks for a second factor and there is none yet: it is enrolled on the way in. */
  enrolment: { secret: string; uri: string } | null;
}

const METHODS: Method[] = ["webauthn", "push", "totp", "recovery"];

/** The pending sign-in in an answer's body; null when the body is another answer. */
export function pendingFrom(body: unknown): Pending | null {
  if (!isRecord(body) || typeof body.challenge_token !== "string" || !Array.isArray(body.methods))
    return null;
  const { methods, enrolment } = body;
  return {
    challengeToken: body.challenge_token,
    // The easiest first; a recovery code is for when nothing else is at hand.
    methods: METHODS.filter((method) => methods.includes(method)),
    expiresIn: typeof body.expires_in === "number" ? body.expires_in : 120,
    number: typeof body.number === "string" ? body.number : null,
    webauthn: isRecord(body.webauthn) ? body.webauthn : null,
    enrolment:
      isRecord(enrolment) && typeof enrolment.secret === "string" && typeof enrolment.uri === "string"
        ? { secret: enrolment.secret, uri: enrolment.uri }
        : null,
  };
}

/** The pending sign-in that another sign-in service left in the address's fragment, where no log sees it. */
export function pendingFromFragment(hash: string): Pending | null {
  const text = new URLSearchParams(hash.replace(/^#/, "")).get("pending");
  if (text === null) return null;
  try {
    return pendingFrom(JSON.parse(text));
  } catch {
    // A shortened address: sign in anew.
    return null;
  }
}

/** How another sign-in service's answer was refused: a stable code, and the turn to ask about. */
export interface Refused {
  code: string;
  turn: string;
}

/** The refusal that the address's fragment names. Its words are ours: anybody can write a fragment. */
export function refusedFromFragment(hash: string): Refused | null {
  const fragment = new URLSearchParams(hash.replace(/^#/, ""));
  const code = fragment.get("refused") ?? "";
  const turn = fragment.get("turn") ?? "";
  if (!/^[a-z_]{3,60}$/.test(code)) return null;
  return { code, turn: /^[0-9a-f-]{36}$/.test(turn) ? turn : "" };
}
