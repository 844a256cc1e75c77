// The seal under an answer. A click opens the receipt and verifies it.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { BadgeCheck, LoaderCircle, ShieldAlert, Stamp } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import type { Receipt } from "../../api/types";
import { cx } from "../../ui/cx";
import { checkQuery, receiptQuery } from "./queries";
import { stateWords } from "./words";

const ReceiptPanel = lazy(() => import("./ReceiptPanel"));

export function ReceiptBadge({ turnId, known }: { turnId: string; known: Receipt | null }) {
  const [open, setOpen] = useState(false);
  const queryClient = useQueryClient();
  const receipt = useQuery(receiptQuery(turnId, known));
  const verdict = useQuery({ ...checkQuery(turnId), enabled: false }).data?.verdict;
  const state = receipt.data?.state ?? null;
  const { label, about } = stateWords(state);
  const shown = verdict ? (verdict.ok ? "Verified" : "Not verified") : label;
  const Icon = verdict ? (verdict.ok ? BadgeCheck : ShieldAlert) : state === "open" ? LoaderCircle : Stamp;
  return (
    <>
      <button
        type="button"
        data-testid="receipt-badge"
        aria-haspopup="dialog"
        aria-label={`Receipt: ${shown}. Open and verify`}
        title={about}
        onClick={() => {
          // Each click fetches the bytes and verifies them anew.
          queryClient.removeQueries({ queryKey: checkQuery(turnId).queryKey });
          setOpen(true);
        }}
        className={cx(
          "inline-flex h-7 items-center gap-1.5 rounded-full border px-2.5 font-medium transition-colors",
          verdict && !verdict.ok
            ? "border-danger-line bg-danger-soft text-danger"
            : "border-line bg-surface text-accent hover:border-accent",
        )}
      >
        <Icon
          aria-hidden
          className={cx("size-3.5", !verdict && state === "open" && "animate-spin", !verdict && "text-seal")}
        />
        {shown}
      </button>
      {open && (
        <Suspense fallback={null}>
          <ReceiptPanel turnId={turnId} onClose={() => setOpen(false)} />
        </Suspense>
      )}
    </>
  );
}
