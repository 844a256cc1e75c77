// A JSON value as people read it: an object member by member, text as text, whatever lies deeper as JSON.
import { isRecord } from "../../api/errors";
import { parsed, pretty } from "./toolWords";

export function Members({ value }: { value: unknown }) {
  const read = parsed(value);
  if (!isRecord(read)) return <p className="whitespace-pre-wrap">{pretty(read)}</p>;
  const members = Object.entries(read);
  if (members.length === 0) return <p className="text-ink-3">Nothing</p>;
  return (
    <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 max-sm:grid-cols-1">
      {members.map(([name, member]) => (
        <div key={name} className="contents">
          <dt className="font-mono text-xs leading-5 text-ink-3">{name}</dt>
          <dd className="min-w-0 whitespace-pre-wrap max-sm:mb-1">
            {isRecord(member) || Array.isArray(member) ? (
              <span className="font-mono text-xs">{pretty(member)}</span>
            ) : (
              String(member)
            )}
          </dd>
        </div>
      ))}
    </dl>
  );
}
