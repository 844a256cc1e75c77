// Ten recovery codes, shown this once: to copy, to save as a file, and to confirm that they are kept.
import { Download } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { Button } from "../../ui/Button";
import { CopyButton } from "../../ui/copy";
import { codesFile } from "./codes";

interface RecoveryCodesProps {
  codes: string[];
  /** Whose they are, for the file. */
  account: string;
  onDone: () => void;
}

export function RecoveryCodes({ codes, account, onDone }: RecoveryCodesProps) {
  const [kept, setKept] = useState(false);
  const file = useFile(codesFile(codes, account));
  const save = useRef<HTMLAnchorElement>(null);
  // Else a window's Close has the focus, and one Enter loses the codes. Before it has an address it takes none.
  useEffect(() => {
    if (file) save.current?.focus();
  }, [file]);
  return (
    <div>
      <p className="text-ink-2">
        When you lose your phone or passkey, one of these lets you in. Each works once. They are not shown
        again.
      </p>
      <div className="mt-4 rounded-xl border border-line bg-(--code-bg) p-4">
        <ul
          data-testid="recovery-codes"
          className="grid grid-cols-1 gap-x-6 gap-y-1 font-mono text-[0.9375rem] text-(--code-ink) sm:grid-cols-2"
        >
          {codes.map((code) => (
            <li key={code}>{code}</li>
          ))}
        </ul>
      </div>
      <div className="mt-3 flex items-center gap-2">
        <a
          ref={save}
          href={file}
          download="aibox-recovery-codes.txt"
          onClick={() => setKept(true)}
          className="inline-flex h-9 items-center gap-2 rounded-lg border border-line-strong/60 bg-surface px-3 font-medium hover:bg-sunken"
        >
          <Download aria-hidden className="size-4" /> Save as a file
        </a>
        <CopyButton text={codes.join("\n")} label="Copy recovery codes" />
      </div>
      <label className="mt-5 flex items-start gap-2.5">
        <input
          type="checkbox"
          checked={kept}
          onChange={(event) => setKept(event.target.checked)}
          className="mt-1 size-4 accent-(--accent)"
        />
        <span>I keep these codes in a safe place.</span>
      </label>
      <Button className="mt-4 w-full" disabled={!kept} onClick={onDone}>
        Done
      </Button>
    </div>
  );
}

/** An address for a text to be saved, as long as it is shown. */
function useFile(text: string): string | undefined {
  const [address, setAddress] = useState<string>();
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    setAddress(made);
    return () => URL.revokeObjectURL(made);
  }, [text]);
  return address;
}
