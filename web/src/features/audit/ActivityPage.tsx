// Administration: what happened here, from the sealed log, with its filters, its export and its check.
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { Download } from "lucide-react";
import { DropdownMenu } from "radix-ui";
import { answer, api } from "../../api/client";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { menuContent, menuItem } from "../../ui/menu";
import { Empty } from "../../ui/Panel";
import { Select } from "../../ui/Select";
import { SkeletonRows } from "../../ui/Skeleton";
import { AdminPage } from "../admin/AdminFrame";
import { useFresh } from "../auth/fresh";
import { usePeople } from "../usage/queries";
import { EventList } from "./EventList";
import { type ActivityFilter, actions, everything, exportAddress, filterOf } from "./filters";
import { activityQuery } from "./queries";
import { VerifyPanel } from "./VerifyPanel";

const route = getRouteApi("/app/admin/activity");

export default function ActivityPage() {
  const filter = { ...everything, ...route.useSearch() };
  const navigate = route.useNavigate();
  // In the address: who opens an event's turn and comes back finds the same list, and can send it to somebody.
  const setFilter = (next: ActivityFilter) => void navigate({ search: filterOf({ ...next }), replace: true });
  return (
    <AdminPage
      title="Activity"
      about="Everything that happened here, from the signed log. Texts of people and models are not in it."
      permission="view_audit_log"
      actions={<ExportMenu filter={filter} />}
    >
      <VerifyPanel />
      <Filters filter={filter} onChange={setFilter} />
      <Events filter={filter} />
    </AdminPage>
  );
}

function ExportMenu({ filter }: { filter: ActivityFilter }) {
  const fresh = useFresh();
  const download = async (format: "ndjson" | "csv" | "ocsf") => {
    // The refusal of a download would be saved as the file: the sign-in is made fresh before.
    await fresh(() => answer(api.GET("/v1/auth/verify/fresh")));
    window.location.assign(exportAddress(filter, format));
  };
  const formats = [
    { format: "ndjson", label: "Lines of JSON" },
    { format: "csv", label: "CSV for a spreadsheet" },
    { format: "ocsf", label: "OCSF for a SIEM" },
  ] as const;
  return (
    <DropdownMenu.Root>
      <DropdownMenu.Trigger asChild>
        <Button look="quiet">
          <Download aria-hidden className="size-4" /> Export
        </Button>
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content className={menuContent} align="end" sideOffset={4}>
          <DropdownMenu.Label className="px-2.5 py-1.5 text-xs text-ink-3">
            All events that the filters let through
          </DropdownMenu.Label>
          {formats.map(({ format, label }) => (
            <DropdownMenu.Item
              key={format}
              className={menuItem}
              onSelect={() => void download(format).catch(() => {})}
            >
              {label}
            </DropdownMenu.Item>
          ))}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

function Filters({ filter, onChange }: { filter: ActivityFilter; onChange: (next: ActivityFilter) => void }) {
  const { people } = usePeople();
  return (
    <div className="my-6 grid grid-cols-2 items-end gap-3 sm:grid-cols-4">
      <Select
        label="Events"
        className="col-span-2 sm:col-span-1"
        value={filter.action}
        onChange={(event) => onChange({ ...filter, action: event.target.value })}
      >
        {actions.map(({ value, label }) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </Select>
      {people.length > 0 && (
        <Select
          label="Person"
          className="col-span-2 sm:col-span-1"
          value={filter.user}
          onChange={(event) => onChange({ ...filter, user: event.target.value })}
        >
          <option value="">Everybody</option>
          {people.map((person) => (
            <option key={person.id} value={person.id}>
              {person.name || person.email}
            </option>
          ))}
        </Select>
      )}
      <Field
        label="From"
        type="date"
        max={filter.until || undefined}
        value={filter.since}
        onChange={(event) => onChange({ ...filter, since: event.target.value })}
      />
      <Field
        label="To"
        type="date"
        min={filter.since || undefined}
        value={filter.until}
        onChange={(event) => onChange({ ...filter, until: event.target.value })}
      />
    </div>
  );
}

function Events({ filter }: { filter: ActivityFilter }) {
  const query = useInfiniteQuery({ ...activityQuery(filter), placeholderData: keepPreviousData });
  const events = query.data?.pages.flatMap((page) => page.events) ?? [];
  if (query.isPending) return <SkeletonRows rows={8} className="h-11" />;
  if (query.isError && !query.data) {
    return (
      <Failure
        title="The events could not be loaded"
        error={query.error}
        onRetry={() => void query.refetch()}
      />
    );
  }
  if (events.length === 0) {
    return <Empty title="No event fits">Choose other events, another person or a longer time.</Empty>;
  }
  return (
    <div aria-busy={query.isPlaceholderData}>
      <EventList events={events} />
      {query.hasNextPage && (
        <Button
          look="quiet"
          className="mt-3"
          busy={query.isFetchingNextPage}
          onClick={() => void query.fetchNextPage()}
        >
          Show older events
        </Button>
      )}
    </div>
  );
}
