// Copying to the clipboard, with a tick that says that it happened.
import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { IconButton } from "./Button";
import { cx } from "./cx";

export function useCopy(text: string): { copied: boolean; copy: () => void } {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1600);
    return () => clearTimeout(timer);
  }, [copied]);
  return {
    copied,
    copy: () => {
      void write(text).then(setCopied);
    },
  };
}

/** The clipboard API exists only in a secure context; AIBox may be reached over plain http in a private network. */
async function write(text: string): Promise<boolean> {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.style.position = "fixed";
  area.style.opacity = "0";
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

export function CopyButton({ text, label, className }: { text: string; label: string; className?: string }) {
  const { copied, copy } = useCopy(text);
  return (
    <>
      <IconButton label={label} onClick={copy} className={className}>
        {copied ? (
          <Check aria-hidden className="size-4 text-accent" />
        ) : (
          <Copy aria-hidden className="size-4" />
        )}
      </IconButton>
      <span role="status" className="sr-only">
        {copied ? "Copied" : ""}
      </span>
    </>
  );
}

/** A command to paste into a terminal. */
export function Command({ children, className }: { children: string; className?: string }) {
  return (
    <div
      className={cx(
        "flex items-center gap-1 rounded-lg border border-line bg-(--code-bg) py-1 pr-1 pl-3",
        className,
      )}
    >
      <code className="min-w-0 flex-1 py-1 font-mono text-[0.8125rem] break-words text-(--code-ink)">
        {children}
      </code>
      <CopyButton text={children} label="Copy command" />
    </div>
  );
}
