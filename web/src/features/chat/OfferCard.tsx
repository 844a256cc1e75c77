// What a flagged turn may not do unasked: keep a memory. Approving keeps it by the person's own hand.
import { ShieldQuestion } from "lucide-react";
import { useState } from "react";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { useStore } from "../memory/queries";
import type { Offer } from "./run";

export function OfferCard({ offer }: { offer: Offer }) {
  const [denied, setDenied] = useState(false);
  const store = useStore();
  if (denied) return null;
  return (
    <section
      aria-label="Approval"
      data-testid="offer"
      className="mt-3 flex gap-3 rounded-xl border border-warn-line bg-warn-soft px-4 py-3"
    >
      <ShieldQuestion aria-hidden className="mt-0.5 size-4.5 shrink-0 text-warn" />
      <div className="min-w-0 flex-1">
        <p className="font-semibold text-warn">
          {store.isSuccess ? "Remembered" : "Remember this? This message may be an attempt at misuse."}
        </p>
        <p className="mt-1 break-words">{offer.arguments.content}</p>
        {store.error && <Failure className="mt-3" title="It was not remembered" error={store.error} />}
        {!store.isSuccess && (
          <div className="mt-3 flex gap-2">
            <Button className="h-9" busy={store.isPending} onClick={() => store.mutate(offer.arguments)}>
              Approve
            </Button>
            <Button look="quiet" className="h-9" disabled={store.isPending} onClick={() => setDenied(true)}>
              Deny
            </Button>
          </div>
        )}
      </div>
    </section>
  );
}
