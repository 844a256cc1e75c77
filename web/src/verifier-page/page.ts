// The page that verifies a dropped receipt, on a server or from a disk. It shows what the verifier says and judges nothing.
import { type Bundle, readBundle, readKey } from "../features/receipt/bundle";
import { bytesText, eventWords, outcomeWords, sinceText, stepWords } from "../features/receipt/words";
import { type Policy, type Step, type Verdict, verifyReceipt } from "../verifier";
import { type Opened, readOpenings } from "./openings";

interface File_ {
  name: string;
  bytes: Uint8Array<ArrayBuffer>;
}

let receipt: File_ | null = null;
let policy: { name: string; value: Policy } | null = null;

const drop = part("drop");
const result = part("result");
const pinned = part("pinned");
const input = part("file") as HTMLInputElement;

part("asleep").remove();
drop.hidden = false;
part("keep").hidden = location.protocol === "file:";

input.addEventListener("change", () => void take([...(input.files ?? [])]));
pinned.querySelector("button")?.addEventListener("click", () => {
  policy = null;
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

/** Sort what was given into the policy and the receipt, whichever way round it came. */
async function take(files: File[]): Promise<void> {
  for (const file of files) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const value = policyOf(bytes);
    if (value) policy = { name: file.name, value };
    else receipt = { name: file.name, bytes };
  }
  input.value = ""; // so that choosing the same file again is a change
  await show();
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
  if (receipt === null) return;
  const { name, bytes } = receipt;
  const verdict = await verifyReceipt(bytes, policy ? { policy: policy.value } : {});
  // What is not of the form of a receipt may be anything at all, and nothing of it is shown.
  const bundle = verdict.steps[0]?.ok ? readBundle(bytes) : null;
  result.replaceChildren(
    head(name, verdict),
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
  );
  result.hidden = false;
  result.scrollIntoView({ block: "start" });
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

const TRUST_LEFT_OPEN = {
  title: "Whose keys they are is for you to say",
  why: "No policy was given, so the keys were compared with nothing.",
};

function steps(verdict: Verdict): HTMLElement {
  return make("ol", verdict.steps.map(step), "steps");
}

function step({ name, ok, detail }: Step): HTMLElement {
  const isLeftOpen = name === "trust" && policy === null;
  const { title, why } = isLeftOpen ? TRUST_LEFT_OPEN : stepWords(name);
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

function events(bundle: Bundle, openings: Opened[]): HTMLElement {
  const first = bundle.events.find(({ type }) => type !== null)?.at ?? 0;
  const rows = bundle.events.map((event) => {
    if (event.type === null) {
      return make("li", [
        make("p", "An event that this receipt does not disclose"),
        make("p", event.leaf ?? "", "mono"),
      ]);
    }
    const about = [event.source, ...event.about, sinceText(event.at - first)].filter(Boolean).join(" · ");
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
