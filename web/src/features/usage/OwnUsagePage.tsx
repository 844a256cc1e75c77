// What one's own use of the models comes to, for everybody.
import { useQuery } from "@tanstack/react-query";
import { MemberPage } from "../../app/MemberPage";
import { Failure } from "../../ui/Failure";
import { countText, dollarsText } from "../../ui/money";
import { Notice } from "../../ui/Notice";
import { Empty } from "../../ui/Panel";
import { SkeletonRows } from "../../ui/Skeleton";
import { Table, Td, Th } from "../../ui/Table";
import { Figures } from "./Figures";
import { ownUsageQuery } from "./queries";

export default function OwnUsagePage() {
  const usage = useQuery(ownUsageQuery);
  return (
    <MemberPage title="Your usage" about="What your questions and your API keys have used so far.">
      {usage.isPending && <SkeletonRows rows={3} className="h-16" />}
      {usage.isError && !usage.data && (
        <Failure
          title="Your usage could not be loaded"
          error={usage.error}
          onRetry={() => void usage.refetch()}
        />
      )}
      {usage.data && (
        <>
          <Figures
            figures={[
              { label: "Cost", value: dollarsText(usage.data.cost_usd), title: `$${usage.data.cost_usd}` },
              { label: "Requests", value: countText(usage.data.requests) },
              { label: "Tokens in", value: countText(usage.data.input_tokens) },
              { label: "Tokens out", value: countText(usage.data.output_tokens) },
            ]}
          />
          {usage.data.unpriced_requests > 0 && (
            <Notice kind="info" className="mt-4">
              {usage.data.unpriced_requests === 1
                ? "1 request is not in the cost: its price is not known."
                : `${countText(usage.data.unpriced_requests)} requests are not in the cost: their price is not known.`}
            </Notice>
          )}
          <div className="mt-5">
            {usage.data.by_model.length === 0 ? (
              <Empty title="Nothing used yet">Ask something in the chat, and it is counted here.</Empty>
            ) : (
              <Table caption="Your usage by model">
                <thead>
                  <tr>
                    <Th>Model</Th>
                    <Th numeric>Requests</Th>
                    <Th numeric className="max-sm:hidden">
                      Tokens in
                    </Th>
                    <Th numeric className="max-sm:hidden">
                      Tokens out
                    </Th>
                    <Th numeric>Cost</Th>
                  </tr>
                </thead>
                <tbody>
                  {usage.data.by_model.map((used) => (
                    <tr key={`${used.provider}/${used.model}`}>
                      <Td className="font-mono text-[0.8125rem] break-all sm:min-w-40">
                        {used.provider}/{used.model}
                      </Td>
                      <Td numeric>{countText(used.requests)}</Td>
                      <Td numeric className="max-sm:hidden">
                        {countText(used.input_tokens)}
                      </Td>
                      <Td numeric className="max-sm:hidden">
                        {countText(used.output_tokens)}
                      </Td>
                      <Td numeric>
                        {used.unpriced_requests === used.requests ? (
                          <span className="text-ink-3">not known</span>
                        ) : (
                          dollarsText(used.cost_usd)
                        )}
                      </Td>
                    </tr>
                  ))}
                </tbody>
              </Table>
            )}
          </div>
        </>
      )}
    </MemberPage>
  );
}
