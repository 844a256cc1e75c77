// Administration: what is blocked, masked and reported, for whom, and what that makes of a text.
import { AdminPage } from "../admin/AdminFrame";
import { PolicyPanel } from "./PolicyPanel";
import { TryOut } from "./TryOut";

export default function GuardrailPage() {
  return (
    <AdminPage
      title="Guardrail"
      about="It looks at every text before a model sees it, and at every answer before a person sees it."
      permission="manage_providers"
    >
      <TryOut />
      <PolicyPanel />
    </AdminPage>
  );
}
