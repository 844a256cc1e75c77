// The page that verifies a dropped receipt, on a server or from a disk. It shows what the verifier says and judges nothing.
import { type Bundle, readBundle, readKey } from "../features/receipt/bundle";
import { bytesText, eventWords, outcomeWords, sinceText, stepWords } from "../features/receipt/words";
import { type Policy, type Step, type Verdict, verifyReceipt } from "../verifier";
import { type Opened, readOpenings } from "./openings";
import { headsOf, type Kept, keptHead, tellOf } from "./pin";

interface File_ {
  name: string;
  bytes: Uint8Array<ArrayBuffer>;
}

let receipt: File_ | null = null;
let policy: { name: string; value: Policy } | null = null;
let kept: Kept | null = null;

const drop = part("drop");
const result = part("result");
const pinned = part("pinned");
const pinnedHead = part("pinned-head");
const paste = part("paste");
const pasted = part("head") as HTMLTextAreaElement;
const input = part("file") as HTMLInputElement;

part("asleep").remove();
drop.hidden = false;
paste.hidden = false;
part("keep").hidden = location.protocol === "file:";

input.addEventListener("change", () => void take([...(input.files ?? [])]));
pinned.querySelector("button")?.addEventListener("click", () => {
  policy = null;
  void show();
});
pinnedHead.querySelector("button")?.addEventListener("click", () => {
  kept = null;
  pasted.value = "";
  void show();
});
pasted.addEventListener("input", () => {
  const text = pasted.value.trim();
  kept = text === "" ? null : keptHead("what you pasted", text);
  const isBad = text !== "" && kept === null;
  pasted.setAttribute("aria-invalid", String(isBad));
  part("head-fault").hidden = !isBad;
  void show();
});
// The whole window takes a file: one that misses the field would otherwise replace the page.
for (const type of ["dragenter", "dragover"]) {
  window.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
window.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) drop.classList.remove("over");
});
window.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  void take([...(event.dataTransfer?.files ?? [])]);
});

/** Sort what was given into the policy, the head and the receipt, whichever way round they came. */
async function take(files: File[]): Promise<void> {
  for (const file of files) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const value = policyOf(bytes);
    const head = keptHead(file.name, new TextDecoder().decode(bytes.subarray(0, MOST_OF_A_HEAD)));
    if (value) policy = { name: file.name, value };
    else if (head) kept = head;
    else receipt = { name: file.name, bytes };
  }
  input.value = ""; // so that choosing the same file again is a change
  await show();
  result.scrollIntoView({ block: "start" });
}

/** A policy is told by its one field; whether it is well formed is for the verifier to say. */
function policyOf(bytes: Uint8Array): Policy | null {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === "object" && value !== null && "logs" in value ? (value as Policy) : null;
  } catch {
    // Not JSON, so no policy: the verifier names the fault.
    return null;
  }
}

async function show(): Promise<void> {
  pinned.hidden = policy === null;
  if (policy) pinned.firstElementChild?.replaceChildren("Keys pinned by ", make("code", policy.name));
  pinnedHead.hidden = kept === null;
  if (kept) {
    const entries = `: ${kept.head.size} entries of ${kept.head.origin}`;
    pinnedHead.firstElementChild?.replaceChildren("Head kept in ", make("code", kept.name), entries);
  }
  if (receipt === null) return;
  const { name, bytes } = receipt;
  const verdict = await verifyReceipt(bytes, {
    ...(policy ? { policy: policy.value } : {}),
    ...(kept ? { pin: kept.note } : {}),
  });
  // What is not of the form of a receipt may be anything at all, and nothing of it is shown.
  const bundle = verdict.steps[0]?.ok ? readBundle(bytes) : null;
  result.replaceChildren(
    head(name, verdict),
    ...(kept && bundle ? [aboutKept(kept, bytes, verdict, bundle)] : []),
    ...(verdict.ok && policy === null ? [unpinned(verdict)] : []),
    ...(bundle ? [facts(bundle)] : []),
    titled("What was checked", steps(verdict)),
    ...(bundle
      ? [
          titled(
            verdict.ok ? "What was recorded" : "What it says was recorded",
            events(bundle, verdict.ok ? readOpenings(bytes) : []),
          ),
        ]
      : []),
    ...(bundle ? [titled("Who signed the log", keys(bundle))] : []),
    ...(verdict.ok ? toKeep(bytes) : []),
  );
  result.hidden = false;
}

function head(name: string, verdict: Verdict): HTMLElement {
  const stamp = make("p", verdict.ok ? "Verified" : "Not verified", `stamp ${verdict.ok ? "good" : "bad"}`);
  stamp.dataset.testid = "verdict";
  const summary = make("p", verdict.summary, verdict.ok ? "summary" : "summary bad");
  return make("div", [stamp, make("p", name, "name"), summary], "head");
}

/** Without pinned keys a receipt is as good as whoever made its log: that must not look like trust. */
function unpinned({ steps }: Verdict): HTMLElement {
  const fingerprint = steps.find(({ name }) => name === "trust")?.detail.match(/[0-9a-f]{64}/)?.[0] ?? "";
  return make(
    "div",
    [
      make("p", [make("strong", "By the keys that the receipt itself states.")]),
      make(
        "p",
        "Anyone can make a log with keys of their own. Add the policy.json that you got from the log's owner, or compare this fingerprint with theirs:",
      ),
      make("p", fingerprint, "mono"),
    ],
    "note warn",
  );
}

/** Whether the log is still the one that was seen before: said first, for it is why somebody kept the head. */
function aboutKept(kept: Kept, bytes: Uint8Array, verdict: Verdict, { turn }: Bundle): HTMLElement {
  const { look, title, why, ask } = tellOf(kept, bytes, verdict, turn);
  const told = make("div", [make("p", [make("strong", title)]), make("p", why)], `note ${look}`);
  if (ask) told.append(make("p", `GET ${ask}`, "mono"));
  told.dataset.testid = "kept";
  return told;
}

/** The receipt's head, to keep: unless the one that is kept is the same or newer. */
function toKeep(bytes: Uint8Array): HTMLElement[] {
  const { note, own } = headsOf(bytes);
  if (kept && kept.head.origin === own.origin && kept.head.size >= own.size) return [];
  const link = make("a", "Save log.pin") as HTMLAnchorElement;
  link.download = "log.pin";
  link.href = URL.createObjectURL(new Blob([note], { type: "text/plain" }));
  const why = `It signs the log's first ${own.size} entries. Give it with the next receipt: a log that was cut or rewritten in between cannot go on from it. `;
  return [titled("Keep this head", make("p", [make("span", why), link]))];
}

function facts(bundle: Bundle): HTMLElement {
  const sealed = bundle.sealedAt === null ? "unknown" : new Date(bundle.sealedAt / 1000).toLocaleString();
  const rows: [string, string][] = [
    ["turn", bundle.turn],
    ["outcome", outcomeWords(bundle.outcome)],
    ["sealed", sealed],
    ["entry in log", String(bundle.index ?? "?")],
    ["log", bundle.log],
  ];
  return make(
    "dl",
    rows.flatMap(([label, value]) => [make("dt", label), make("dd", value)]),
  );
}

/** A checkpoint with many cosignatures is still smaller. */
const MOST_OF_A_HEAD = 256 * 1024;

const TRUST_LEFT_OPEN = {
  title: "Whose keys they are is for you to say",
  why: "No policy was given, so the keys were compared with nothing.",
};

function steps(verdict: Verdict): HTMLElement {
  return make("ol", verdict.steps.map(step), "steps");
}

function step({ name, ok, detail }: Step): HTMLElement {
  const isLeftOpen = name === "trust" && policy === null && ok;
  const { title, why } = isLeftOpen ? TRUST_LEFT_OPEN : name === "trust" ? trustWords() : stepWords(name);
  const [sign, look, said] = isLeftOpen
    ? ["?", "open", "Left open:"]
    : ok
      ? ["✓", "good", "Holds:"]
      : ["✕", "bad", "Fails:"];
  const mark = make("span", sign, `mark ${look}`);
  mark.setAttribute("aria-label", said);
  mark.setAttribute("role", "img");
  const shown = make("details", [
    make("summary", [mark, make("span", title)]),
    make("p", why),
    make("p", detail, "mono"),
  ]) as HTMLDetailsElement;
  shown.open = !ok;
  return make("li", [shown]);
}

/** What the last step compares with here: the files that were given, and nothing that a browser remembers. */
function trustWords(): { title: string; why: string } {
  const keys = policy ? "the keys in your policy" : null;
  const head = kept ? "the head you keep" : null;
  const given = [keys, head].filter((one) => one !== null).join(" and ");
  return {
    title: `It fits ${given}`,
    why: `The receipt's log is compared with ${given}. ${policy ? "" : "Without a policy the keys were compared with nothing."}`,
  };
}

function events(bundle: Bundle, openings: Opened[]): HTMLElement {
  const first = bundle.events.find(({ type }) => type !== null)?.at ?? 0;
  const rows = bundle.events.map((event) => {
    if (event.type === null) {
      return make("li", [
        make("p", "An event that this receipt does not disclose"),
        make("p", event.leaf ?? "", "mono"),
      ]);
    }
    const late = event.isLate ? "came after the seal" : "";
    const about = [event.source, ...event.about, sinceText(event.at - first), late]
      .filter(Boolean)
      .join(" · ");
    const opened = openings.filter((one) => one.event === event.seq);
    const closed = event.artifacts.length - opened.length;
    return make("li", [
      make("p", eventWords(event.type)),
      make("p", about, "about"),
      ...opened.map(({ mediaType, size, text }) =>
        make("figure", [
          make("figcaption", `${mediaType}, ${bytesText(size)}, as it was committed to`),
          make("pre", text ?? "Not text: it is in the file."),
        ]),
      ),
      ...(closed > 0 ? [make("p", `${closed} not opened: only a commitment is here`, "about")] : []),
    ]);
  });
  return make("ol", rows, "events");
}

function keys(bundle: Bundle): HTMLElement {
  const rows = bundle.keys.map(({ vkey }) => {
    const { algorithm, id } = readKey(vkey);
    return make("li", [make("span", algorithm), make("code", id)]);
  });
  return make("ul", rows, "keys");
}

function titled(title: string, content: HTMLElement): HTMLElement {
  return make("section", [make("h2", title), content]);
}

/** An element with text and elements inside. Text only: what a receipt says is never markup. */
function make(tag: string, content: string | HTMLElement[], className = ""): HTMLElement {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...(typeof content === "string" ? [content] : content));
  return element;
}

function part(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no ${id}`);
  return found;
}
