// "2 items masked": opens what the model read instead of the person's own data.
import { useQuery } from "@tanstack/react-query";
import { EyeOff } from "lucide-react";
import { useState } from "react";
import { answer, api } from "../../api/client";
import { Failure } from "../../ui/Failure";
import { Modal } from "../../ui/Modal";
import { Empty } from "../../ui/Panel";
import { SkeletonRows } from "../../ui/Skeleton";
import { Table, Td, Th } from "../../ui/Table";
import { maskName } from "../guardrail/words";
import type { Step } from "./run";
import { maskedText } from "./words";

interface MaskedProps {
  steps: Step[];
  /** Those of this message; another's are not shown. */
  tokens: string[];
  sessionId: string;
}

export function MaskedButton({ steps, tokens, sessionId }: MaskedProps) {
  const [open, setOpen] = useState(false);
  const text = maskedText(steps);
  if (!text) return null;
  return (
    <>
      <button
        type="button"
        onClick={() => setOpen(true)}
        className="inline-flex items-center gap-1 rounded-md py-0.5 hover:text-ink"
      >
        <EyeOff aria-hidden className="size-3.5" /> {text}
      </button>
      {open && <MaskedDialog sessionId={sessionId} tokens={tokens} onClose={() => setOpen(false)} />}
    </>
  );
}

function MaskedDialog({ sessionId, tokens, onClose }: Omit<MaskedProps, "steps"> & { onClose: () => void }) {
  const masked = useQuery({
    queryKey: ["guard", "masked", sessionId],
    queryFn: () => answer(api.GET("/v1/guard/masked", { params: { query: { conversation_id: sessionId } } })),
    // Each message may add to it.
    staleTime: 0,
  });
  const items = masked.data?.items.filter(({ token }) => tokens.includes(token));
  return (
    <Modal
      open
      onClose={onClose}
      title="What was masked in this message"
      description="The model read the tokens. Only you see the values."
    >
      {masked.isPending && <SkeletonRows rows={2} className="h-10" />}
      {masked.error && <Failure error={masked.error} onRetry={() => void masked.refetch()} />}
      {items?.length === 0 && (
        <Empty title="Nothing is kept">Secrets are removed for good, and so is what was erased.</Empty>
      )}
      {items && items.length > 0 && (
        <Table caption="What was masked">
          <thead>
            <tr>
              <Th>You wrote</Th>
              <Th>The model read</Th>
              <Th className="max-sm:hidden">Kind</Th>
            </tr>
          </thead>
          <tbody>
            {items.map(({ token, type, value }) => (
              <tr key={token}>
                <Td className="break-all">{value}</Td>
                <Td className="font-mono text-xs break-all">{token}</Td>
                <Td className="text-ink-3 max-sm:hidden">{maskName(type)}</Td>
              </tr>
            ))}
          </tbody>
        </Table>
      )}
    </Modal>
  );
}
