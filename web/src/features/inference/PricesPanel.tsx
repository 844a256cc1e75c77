// Where prices come from that nobody set here: the public list, how old it is, and a button to fetch it.
import { useQuery } from "@tanstack/react-query";
import { RefreshCw } from "lucide-react";
import { Button } from "../../ui/Button";
import { timeText } from "../../ui/dates";
import { Failure } from "../../ui/Failure";
import { countText } from "../../ui/money";
import { Notice } from "../../ui/Notice";
import { Panel } from "../../ui/Panel";
import { mayAdmin } from "../admin/entries";
import { useMe } from "../auth/session";
import { listWords } from "./prices";
import { pricesQuery, useRefreshPrices } from "./queries";

export function PricesPanel() {
  const mayRead = mayAdmin(useMe(), "view_audit_log");
  const prices = useQuery({ ...pricesQuery, enabled: mayRead });
  const fetching = useRefreshPrices();
  const list = fetching.data ?? prices.data;
  return (
    <Panel
      title="Price list"
      about="A price set on a model wins, then the operator’s file, then this list. It is fetched when you ask, then daily."
      actions={
        <Button look="quiet" busy={fetching.isPending} onClick={() => fetching.mutate()}>
          <RefreshCw aria-hidden className="size-4" /> Fetch the list
        </Button>
      }
    >
      <div className="space-y-3">
        {fetching.error && <Failure title="The list could not be fetched" error={fetching.error} />}
        {prices.isError && !list && (
          <Failure
            title="The prices could not be loaded"
            error={prices.error}
            onRetry={() => void prices.refetch()}
          />
        )}
        {list && (
          <div
            className="rounded-2xl border border-line bg-surface px-4 py-3 sm:px-5"
            data-testid="price-list"
          >
            <p>{listWords(list, timeText, countText)}</p>
            <p className="mt-0.5 font-mono text-[0.8125rem] break-all text-ink-3">{list.source_url}</p>
          </div>
        )}
        {list?.problem && !fetching.error && <Notice kind="warn">{list.problem}</Notice>}
      </div>
    </Panel>
  );
}
