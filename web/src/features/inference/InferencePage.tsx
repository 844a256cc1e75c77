// Administration: who serves models, which models there are and what they cost, and who answers for which role.
import { useQuery } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { useState } from "react";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Empty, Panel } from "../../ui/Panel";
import { SkeletonRows } from "../../ui/Skeleton";
import { AdminPage } from "../admin/AdminFrame";
import { NewProviderDialog } from "./NewProviderDialog";
import { PricesPanel } from "./PricesPanel";
import { ProviderCard } from "./ProviderCard";
import { providersQuery } from "./queries";
import { RolesPanel } from "./RolesPanel";
import { StagedBar } from "./StagedBar";

export default function InferencePage() {
  return (
    <AdminPage
      title="Inference"
      about="Who serves models, what they cost, and which of them answers for each role."
      permission="manage_providers"
    >
      <StagedBar />
      <Providers />
      <RolesPanel />
      <PricesPanel />
    </AdminPage>
  );
}

function Providers() {
  const providers = useQuery(providersQuery);
  const [adding, setAdding] = useState(false);
  const add = (
    <Button onClick={() => setAdding(true)}>
      <Plus aria-hidden className="size-4" /> Add a provider
    </Button>
  );
  return (
    <Panel
      title="Providers"
      about="Health and calls are those of the server that answers this page."
      actions={add}
    >
      {providers.isPending && <SkeletonRows rows={2} className="h-36" />}
      {providers.isError && !providers.data && (
        <Failure
          title="The providers could not be loaded"
          error={providers.error}
          onRetry={() => void providers.refetch()}
        />
      )}
      {providers.data?.length === 0 && (
        <Empty title="No provider yet">
          Add one by its address, and its models are listed. Until then nobody answers in the chat.
        </Empty>
      )}
      <ul className="space-y-3">
        {providers.data?.map((provider) => (
          <ProviderCard key={provider.id} provider={provider} />
        ))}
      </ul>
      {adding && <NewProviderDialog onClose={() => setAdding(false)} />}
    </Panel>
  );
}
