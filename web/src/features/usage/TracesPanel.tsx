// Turns that asked models, the newest first; each opens as a waterfall.
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { countText, dollarsText } from "../../ui/money";
import { Empty } from "../../ui/Panel";
import { SkeletonRows } from "../../ui/Skeleton";
import { Table, Td, Th } from "../../ui/Table";
import { tracesQuery, usePeople } from "./queries";
import { durationText } from "./waterfall";

export function TracesPanel() {
  const query = useInfiniteQuery(tracesQuery);
  const { nameOf } = usePeople();
  const turns = query.data?.pages.flatMap((page) => page.traces) ?? [];
  if (query.isPending) return <SkeletonRows rows={6} className="h-11" />;
  if (query.isError && !query.data) {
    return (
      <Failure
        title="The turns could not be loaded"
        error={query.error}
        onRetry={() => void query.refetch()}
      />
    );
  }
  if (turns.length === 0) {
    return (
      <Empty title="No turn has asked a model yet">Ask something in the chat, and it is listed here.</Empty>
    );
  }
  return (
    <>
      {/* On a phone what tells turns apart; the turn's own page has the rest. */}
      <Table caption="Turns that asked models">
        <thead>
          <tr>
            <Th>Turn</Th>
            <Th>Person</Th>
            <Th className="max-sm:hidden">Models</Th>
            <Th numeric className="max-sm:hidden">
              Calls
            </Th>
            <Th numeric className="max-sm:hidden">
              Tokens
            </Th>
            <Th numeric>Cost</Th>
            <Th numeric className="max-sm:hidden">
              Time in models
            </Th>
          </tr>
        </thead>
        <tbody>
          {turns.map((turn) => (
            <tr key={turn.turn_id} data-testid="turn-row">
              <Td className="sm:whitespace-nowrap">
                <Link
                  to="/admin/usage/turns/$turnId"
                  params={{ turnId: turn.turn_id }}
                  className="text-accent underline underline-offset-2"
                >
                  {new Date(turn.started_at).toLocaleString(undefined, {
                    dateStyle: "medium",
                    timeStyle: "medium",
                  })}
                </Link>
              </Td>
              <Td className="max-w-40 truncate max-sm:max-w-28">{nameOf(turn.user)}</Td>
              <Td className="min-w-40 font-mono text-[0.8125rem] max-sm:hidden">
                {turn.models.map((model) => (
                  <span key={model} className="block break-all">
                    {model}
                  </span>
                ))}
              </Td>
              <Td numeric className="max-sm:hidden">
                {turn.calls}
                {turn.failed_calls > 0 && <span className="text-danger">, {turn.failed_calls} failed</span>}
              </Td>
              <Td numeric className="max-sm:hidden">
                {countText(turn.input_tokens + turn.output_tokens)}
              </Td>
              <Td numeric>
                {turn.unpriced_calls === turn.calls ? (
                  <span className="text-ink-3">price not known</span>
                ) : (
                  dollarsText(turn.cost_usd)
                )}
              </Td>
              <Td numeric className="max-sm:hidden">
                {durationText(turn.latency_ms * 1000)}
              </Td>
            </tr>
          ))}
        </tbody>
      </Table>
      {query.hasNextPage && (
        <Button
          look="quiet"
          className="mt-3"
          busy={query.isFetchingNextPage}
          onClick={() => void query.fetchNextPage()}
        >
          Show older turns
        </Button>
      )}
    </>
  );
}
