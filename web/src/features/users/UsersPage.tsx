// Administration: the people of this AIBox, their roles and whether they may sign in.
import { useQuery } from "@tanstack/react-query";
import { MailPlus, Plus, Search } from "lucide-react";
import { useState } from "react";
import { Badge } from "../../ui/Badge";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Empty } from "../../ui/Panel";
import { SkeletonRows } from "../../ui/Skeleton";
import { Table, Td, Th } from "../../ui/Table";
import { dateText } from "../account/words";
import { AdminPage } from "../admin/AdminFrame";
import { useMe } from "../auth/session";
import { rolesQuery } from "../roles/queries";
import { Invitations } from "./Invitations";
import { InviteDialog } from "./InviteDialog";
import { NewPersonDialog } from "./NewPersonDialog";
import { PersonSheet } from "./PersonSheet";
import { found, issuerName, roleLabel, STATES } from "./people";
import { type Person, peopleQuery } from "./queries";

export default function UsersPage() {
  const [adding, setAdding] = useState(false);
  const [inviting, setInviting] = useState(false);
  return (
    <AdminPage
      title="People"
      about="Who may sign in, and what they may do. Changes are in effect within a second."
      permission="manage_users"
      actions={
        <>
          <Button look="quiet" onClick={() => setAdding(true)}>
            <Plus aria-hidden className="size-4" /> Add a person
          </Button>
          <Button onClick={() => setInviting(true)}>
            <MailPlus aria-hidden className="size-4" /> Invite
          </Button>
        </>
      }
    >
      <People />
      <Invitations />
      {adding && <NewPersonDialog onClose={() => setAdding(false)} />}
      {inviting && <InviteDialog onClose={() => setInviting(false)} />}
    </AdminPage>
  );
}

function People() {
  const people = useQuery(peopleQuery);
  const [text, setText] = useState("");
  const [opened, setOpened] = useState<string | null>(null);
  if (people.data === undefined) {
    return people.isError ? (
      <Failure
        title="The people could not be loaded"
        error={people.error}
        onRetry={() => void people.refetch()}
      />
    ) : (
      <SkeletonRows rows={5} />
    );
  }
  const shown = found(people.data, text);
  const person = people.data.find(({ id }) => id === opened);
  return (
    <>
      <div className="mb-3 flex flex-wrap items-center gap-3">
        <label className="relative min-w-0 flex-1 basis-56 sm:max-w-sm">
          <span className="sr-only">Search people</span>
          <Search
            aria-hidden
            className="pointer-events-none absolute top-1/2 left-3 size-4 -translate-y-1/2 text-ink-3"
          />
          <input
            type="search"
            value={text}
            placeholder="Name, e-mail or role"
            onChange={(event) => setText(event.target.value)}
            className="h-10 w-full rounded-lg border border-line-strong bg-surface pr-3 pl-9 placeholder:text-ink-3"
          />
        </label>
        <p role="status" className="text-sm text-ink-3">
          {text ? `${shown.length} of ${people.data.length}` : countText(people.data.length)}
        </p>
      </div>
      {shown.length === 0 ? (
        <Empty title="Nobody found">Nobody’s name, e-mail or role holds these words.</Empty>
      ) : (
        <PeopleTable people={shown} onOpen={setOpened} />
      )}
      {person && <PersonSheet key={person.id} person={person} onClose={() => setOpened(null)} />}
    </>
  );
}

function countText(count: number): string {
  return count === 1 ? "1 person" : `${count} people`;
}

function PeopleTable({ people, onOpen }: { people: Person[]; onOpen: (id: string) => void }) {
  const me = useMe();
  const roles = useQuery(rolesQuery).data ?? [];
  return (
    <Table caption="People">
      <thead>
        <tr>
          <Th>Person</Th>
          <Th>Roles</Th>
          <Th>State</Th>
          <Th className="max-sm:hidden">Signs in</Th>
          <Th className="max-sm:hidden">Here since</Th>
        </tr>
      </thead>
      <tbody>
        {people.map((person) => (
          <tr key={person.id} data-testid="person">
            <Td className="min-w-36">
              <button
                type="button"
                onClick={() => onOpen(person.id)}
                className="rounded-sm text-left font-medium text-accent underline-offset-2 hover:underline"
              >
                {person.name || person.handle}
              </button>
              {person.id === me.user.id && <span className="ml-2 text-xs text-ink-3">you</span>}
              <p className="break-all text-ink-2">{person.email}</p>
            </Td>
            <Td className="sm:whitespace-nowrap">
              {person.roles.map((role) => roleLabel(role, roles)).join(", ")}
            </Td>
            <Td>
              <StateBadge status={person.status} />
            </Td>
            <Td className="text-ink-2 max-sm:hidden">
              {person.issuer ? <Issuer iss={person.issuer} /> : "With a password"}
            </Td>
            <Td className="whitespace-nowrap text-ink-2 max-sm:hidden">{dateText(person.created_at)}</Td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

function StateBadge({ status }: { status: string }) {
  const { label, tone } = STATES[status] ?? { label: status, tone: "neutral" as const };
  return (
    <Badge tone={tone} dot>
      {label}
    </Badge>
  );
}

function Issuer({ iss }: { iss: string }) {
  return <span title={iss}>By {issuerName(iss)}</span>;
}
