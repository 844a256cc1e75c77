// Whose keys a receipt rests on, a policy's or its own, and whether its head continues one that was seen before.
import { equal, hex, hexBytes, sha256, utf8 } from "./bytes";
import { isPolicy, type Policy, type Receipt, Refused, readHead, splitVkey } from "./form";

/** The log's keys are the pinned ones; without a policy, say which keys all of the above rests on. */
export async function checkTrust(
  receipt: Receipt,
  policy: Policy | undefined,
  pin: string | undefined,
): Promise<string> {
  const found = policy === undefined ? await ownKeys(receipt) : byPolicy(receipt, policy);
  return pin === undefined ? found : `${found}; ${byPin(receipt, pin)}`;
}

async function ownKeys({ bundle }: Receipt): Promise<string> {
  const fingerprint = hex(await sha256(utf8(bundle.vkeys.map((vkey) => `${vkey}\n`).join(""))));
  return (
    `no policy given: the keys are those that the receipt itself states, fingerprint ${fingerprint}; ` +
    "compare it with one obtained from the log's owner"
  );
}

/** Every log that the receipt rests on is pinned with its keys, and enough of the named witnesses cosigned. */
function byPolicy(receipt: Receipt, policy: Policy): string {
  const { bundle, envelope, tombstones, addenda, previous } = receipt;
  if (!isPolicy(policy)) throw new Refused("the policy has a missing, unknown or malformed field");
  const { logs, quorum, witnesses } = policy;
  if ((quorum === undefined) !== (witnesses === undefined)) {
    throw new Refused("the policy names witnesses without a quorum, or a quorum without witnesses");
  }
  const parts = [...tombstones, ...addenda, ...(previous === null ? [] : [previous])];
  const stated = parts.map(({ head, item }) => ({ origin: head.origin, vkeys: item.vkeys }));
  for (const { origin, vkeys } of [{ origin: envelope.log, vkeys: bundle.vkeys }, ...stated]) {
    const pinned = logs.filter((log) => log.origin === origin);
    if (pinned.length === 0) throw new Refused("the policy does not name this log");
    if (!pinned.some((log) => log.vkeys.every((vkey, at) => vkey === vkeys[at]))) {
      throw new Refused("the keys are not those the policy pins for this log");
    }
  }
  const found = "the keys are those the policy pins for this log";
  if (quorum === undefined) return found;
  const count = names((witnesses ?? []).filter((vkey) => bundle.witnesses?.includes(vkey))).length;
  if (count < quorum) {
    throw new Refused(`${count} of the policy's witnesses cosigned the head, and it asks for ${quorum}`);
  }
  return `${found}, and ${count} of its witnesses cosigned the head, of ${quorum} that it asks for`;
}

/** The receipt's head is the pinned one, or continues it; or the last head of the log before does. */
function byPin({ bundle, head: own, previous }: Receipt, note: string): string {
  const pin = readHead(note);
  const isOfLast = previous !== null && pin.origin === previous.head.origin;
  const [head, old, whose] = isOfLast
    ? [previous.head, previous.item.consistency, "the log before's"]
    : [own, bundle.consistency, "its"];
  if (pin.origin !== head.origin) throw new Refused("the pinned head is of another log");
  const root = pin.size === head.size ? head.root : pin.size === old?.from ? hexBytes(old.root) : null;
  if (root === null) {
    throw new Refused(
      `nothing here says how the pinned head of ${pin.size} entries and this one of ${head.size} belong together; ` +
        "ask for the receipt with pin and that number",
    );
  }
  if (!equal(root, pin.root)) {
    throw new Refused(
      `the log's first ${pin.size} entries are not those of the pinned head: it was rewritten`,
    );
  }
  return `${whose} first ${pin.size} entries are those of the pinned head`;
}

/** The names in verifier keys, in their order: a witness with two keys counts once. */
export function names(witnesses: string[]): string[] {
  return [...new Set(witnesses.map((vkey) => splitVkey(vkey).name))];
}
