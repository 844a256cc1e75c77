// Stands on a page that the reader's roles do not open, instead of a row of refusals.
import { Notice } from "../ui/Notice";

export function NotAllowed() {
  return (
    <Notice kind="info" title="This page is not yours to see">
      <p>It takes a permission that your roles do not give. Ask whoever administers this AIBox.</p>
    </Notice>
  );
}
