// Administration: what is spent and by whom, the budgets that hold, and how the turns ran.
import { getRouteApi } from "@tanstack/react-router";
import { Tabs } from "../../ui/Tabs";
import { AdminPage } from "../admin/AdminFrame";
import { mayAdmin } from "../admin/entries";
import { useMe } from "../auth/session";
import { BudgetsPanel } from "./BudgetsPanel";
import { SpendPanel } from "./SpendPanel";
import { TracesPanel } from "./TracesPanel";

const route = getRouteApi("/app/admin/usage");

export default function UsagePage() {
  const me = useMe();
  const { tab = "spend" } = route.useSearch();
  const navigate = route.useNavigate();
  const tabs = [
    { id: "spend", label: "Spend", content: <SpendPanel /> },
    // Budgets stop people's calls: they belong to whoever manages providers.
    ...(mayAdmin(me, "manage_providers")
      ? [{ id: "budgets", label: "Budgets", content: <BudgetsPanel /> }]
      : []),
    { id: "traces", label: "Turns", content: <TracesPanel /> },
  ];
  return (
    <AdminPage
      title="Usage"
      about="What the models cost, who used them, and the budgets that hold before a call. Days are those of UTC."
      permission="view_audit_log"
    >
      <Tabs
        label="Parts of usage"
        tabs={tabs}
        value={tabs.some(({ id }) => id === tab) ? tab : "spend"}
        onValue={(id) => void navigate({ search: id === "spend" ? {} : { tab: id }, replace: true })}
      />
    </AdminPage>
  );
}
