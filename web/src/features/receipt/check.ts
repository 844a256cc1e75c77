// Fetches a receipt, byte for byte, and has it verified here, against keys this browser remembers.
import { answer, api, noticeRefusal, origin } from "../../api/client";
import { readError, unreachable } from "../../api/errors";
import type { Policy, Verdict } from "../../verifier";
import { type Bundle, readBundle } from "./bundle";
import { type PinStore, pin, pinOf, sameKeys } from "./pins";

/** What this browser knows about the log's keys. */
export type Trust =
  | { state: "first-seen" }
  | { state: "known"; since: string }
  | { state: "changed"; since: string; pinned: string[] }
  | { state: "unknown" };

export interface Checked {
  bytes: Uint8Array<ArrayBuffer>;
  verdict: Verdict;
  bundle: Bundle | null;
  trust: Trust;
  /** Whether the server's own policy names the same keys; null if it could not be asked. */
  policyAgrees: boolean | null;
}

export async function checkReceipt(turnId: string, store: PinStore): Promise<Checked> {
  const [bytes, policy, { verifyReceipt }] = await Promise.all([
    fetchProof(turnId),
    fetchPolicy(),
    import("../../verifier"),
  ]);
  const bundle = readBundle(bytes);
  const pinned = bundle ? pinOf(store, bundle.log) : null;
  const keys = bundle?.keys.map((key) => key.vkey) ?? [];
  const stated = policy?.logs.find((log) => log.origin === bundle?.log);
  const against: Policy | undefined =
    bundle && pinned ? { logs: [{ origin: bundle.log, vkeys: pinned.vkeys }] } : (policy ?? undefined);
  const verdict = ofTurn(turnId, bundle, await verifyReceipt(bytes, against ? { policy: against } : {}));
  return {
    bytes,
    verdict,
    bundle,
    trust: judgeKeys(),
    policyAgrees: policy && bundle ? stated !== undefined && sameKeys(stated.vkeys, keys) : null,
  };

  function judgeKeys(): Trust {
    if (!bundle) return { state: "unknown" };
    if (pinned) {
      return sameKeys(pinned.vkeys, keys)
        ? { state: "known", since: pinned.since }
        : { state: "changed", since: pinned.since, pinned: pinned.vkeys };
    }
    if (!verdict.ok) return { state: "unknown" };
    pin(store, bundle.log, keys, new Date());
    return { state: "first-seen" };
  }
}

/** The verifier knows only the file; that it is this turn's is for us to see. */
function ofTurn(turnId: string, bundle: Bundle | null, verdict: Verdict): Verdict {
  if (!bundle) return verdict;
  const ok = bundle.turn === turnId;
  const detail = ok ? `the envelope names turn ${turnId}` : `the envelope names turn ${bundle.turn}`;
  const steps = [...verdict.steps, { name: "turn", ok, detail }];
  if (ok || !verdict.ok) return { ...verdict, ok: verdict.ok && ok, steps };
  return { ok: false, steps, summary: "Refused: this is the receipt of another turn." };
}

/** The raw bytes: any re-encoding on the way would break the proof. */
async function fetchProof(turnId: string): Promise<Uint8Array<ArrayBuffer>> {
  let response: Response;
  try {
    response = await fetch(`${origin}/v1/receipts/${turnId}/proof`, {
      credentials: "same-origin",
      cache: "no-store",
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
  return new Uint8Array(await response.arrayBuffer());
}

/** The keys the server names. Their absence weakens no proof, so a failure here stops nothing. */
async function fetchPolicy(): Promise<Policy | null> {
  // OpenAPI knows it only as an object; the verifier reads it strictly.
  return answer(api.GET("/v1/audit/policy")).then(
    (policy) => policy as unknown as Policy,
    () => null,
  );
}
