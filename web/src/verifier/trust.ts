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

async function ownKeys({ turn }: Receipt): Promise<string> {
  const fingerprint = hex(await sha256(utf8(turn.item.vkeys.map((vkey) => `${vkey}\n`).join(""))));
  return (
    `no policy given: the keys are those that the receipt itself states, fingerprint ${fingerprint}; ` +
    "compare it with one obtained from the log's owner"
  );
}

/** Every log that the receipt rests on is pinned with its keys, and enough of the named witnesses cosigned. */
function byPolicy({ turn, tombstones, addenda, previous }: Receipt, policy: Policy): string {
  if (!isPolicy(policy)) throw new Refused("the policy has a missing, unknown or malformed field");
  const { logs, quorum, witnesses } = policy;
  if ((quorum === undefined) !== (witnesses === undefined)) {
    throw new Refused("the policy names witnesses without a quorum, or a quorum without witnesses");
  }
  const closings = previous === null ? [] : [previous.closing];
  for (const { head, item } of [turn, ...tombstones, ...addenda, ...closings]) {
    const pinned = logs.filter((log) => log.origin === head.origin);
    if (pinned.length === 0) throw new Refused("the policy does not name this log");
    if (!pinned.some((log) => log.vkeys.every((vkey, at) => vkey === item.vkeys[at]))) {
      throw new Refused("the keys are not those the policy pins for this log");
    }
  }
  const found = "the keys are those the policy pins for this log";
  if (quorum === undefined) return found;
  const count = names((witnesses ?? []).filter((vkey) => turn.item.witnesses?.includes(vkey))).length;
  if (count < quorum) {
    throw new Refused(`${count} of the policy's witnesses cosigned the head, and it asks for ${quorum}`);
  }
  return `${found}, and ${count} of its witnesses cosigned the head, of ${quorum} that it asks for`;
}

/** The receipt's head is the pinned one, or continues it; or the last head of the log before does. */
function byPin({ turn, previous }: Receipt, note: string): string {
  const pin = readHead(note);
  const proofs = previous === null ? [turn] : [turn, previous.closing];
  const proof = proofs.find(({ head }) => head.origin === pin.origin);
  if (proof === undefined) throw new Refused("the pinned head is of another log");
  const { head, item } = proof;
  const old = item.consistency;
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
  return `the first ${pin.size} entries of ${head.origin} are those of the pinned head`;
}

/** The names in verifier keys, in their order: a witness with two keys counts once. */
export function names(witnesses: string[]): string[] {
  return [...new Set(witnesses.map((vkey) => splitVkey(vkey).name))];
}
