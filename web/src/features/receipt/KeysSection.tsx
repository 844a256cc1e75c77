// The keys that signed the log's head, and whether this browser has seen them before.
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Button } from "../../ui/Button";
import { Notice } from "../../ui/Notice";
import { type Bundle, readKey } from "./bundle";
import type { Checked, Trust } from "./check";
import { pin } from "./pins";
import { checkQuery } from "./queries";
import { Section } from "./Section";

export function KeysSection({ checked, bundle }: { checked: Checked; bundle: Bundle }) {
  return (
    <Section title="Who signed the log">
      {checked.policyAgrees === false && (
        <Notice kind="danger" className="mb-3" title="The server names other keys">
          The keys it publishes for this log are not those of the receipt. Ask whoever runs this AIBox.
        </Notice>
      )}
      <KeyList vkeys={bundle.keys.map((key) => key.vkey)} />
      <p className="mt-2 text-sm text-ink-2">{trustText(checked.trust)}</p>
    </Section>
  );
}

function trustText(trust: Trust): string {
  switch (trust.state) {
    case "first-seen":
      return "This browser sees these keys for the first time and remembers them now. Compare the key ids once with whoever runs this AIBox.";
    case "known":
      return `The same keys as this browser has known since ${date(trust.since)}.`;
    case "changed":
      return "These are not the keys this browser knows for this log.";
    case "unknown":
      return "Nothing is remembered from a receipt that does not hold.";
  }
}

interface ChangedKeysProps {
  turnId: string;
  bundle: Bundle;
  trust: Extract<Trust, { state: "changed" }>;
}

/** Loud, above everything else: whoever can replace the log can also make it look sound. */
export function ChangedKeys({ turnId, bundle, trust }: ChangedKeysProps) {
  const queryClient = useQueryClient();
  const [asked, setAsked] = useState(false);
  const accept = () => {
    const vkeys = bundle.keys.map((key) => key.vkey);
    pin(localStorage, bundle.log, vkeys, new Date());
    void queryClient.resetQueries({ queryKey: checkQuery(turnId).queryKey });
  };
  return (
    <Notice kind="danger" title="The keys of this log have changed">
      <p>
        Since {date(trust.since)} this browser knows other keys for the same log. That must not happen by
        itself: the log may have been replaced. Ask whoever runs this AIBox before you rely on the receipt.
      </p>
      <p className="mt-2 mb-1 text-xs">Known until now:</p>
      <KeyList vkeys={trust.pinned} />
      <div className="mt-3 flex flex-wrap gap-2">
        {asked ? (
          <>
            <Button look="danger" className="h-auto min-h-9 py-1.5" onClick={accept}>
              I have compared them: trust the new keys
            </Button>
            <Button look="quiet" className="h-9" onClick={() => setAsked(false)}>
              Cancel
            </Button>
          </>
        ) : (
          <Button look="quiet" className="h-9" onClick={() => setAsked(true)}>
            Trust the new keys…
          </Button>
        )}
      </div>
    </Notice>
  );
}

function KeyList({ vkeys }: { vkeys: string[] }) {
  return (
    <ul className="space-y-1 rounded-xl border border-line bg-surface px-3.5 py-2.5 text-ink">
      {vkeys.map(readKey).map((key) => (
        <li key={key.vkey} title={key.vkey} className="flex items-baseline gap-3 font-mono text-xs">
          <span className="w-20 text-ink-3">{key.algorithm}</span>
          <span className="font-semibold">{key.id}</span>
        </li>
      ))}
    </ul>
  );
}

function date(iso: string): string {
  return new Date(iso).toLocaleDateString(undefined, { dateStyle: "long" });
}
