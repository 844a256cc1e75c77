// The policy of everyone, of one agent or of one API key, edited as a whole and saved at once.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Button } from "../../ui/Button";
import { cx } from "../../ui/cx";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { Panel } from "../../ui/Panel";
import { Select } from "../../ui/Select";
import { SkeletonRows } from "../../ui/Skeleton";
import { TextArea } from "../../ui/TextArea";
import { useSettled } from "../../ui/useSettled";
import { type Choice, choiceOf, isSame, topicsOf, withChoice } from "./draft";
import { type Policy, policyQuery, type Target, useSetPolicy } from "./queries";
import { masks, profiles, scanners } from "./words";

type Whose = "everyone" | "agent" | "key";

export function PolicyPanel() {
  const [whose, setWhose] = useState<Whose>("everyone");
  const [name, setName] = useState("");
  const settled = useSettled(name.trim(), 400);
  const target = {
    agent_id: whose === "agent" ? settled : "",
    key_id: whose === "key" ? settled : "",
  };
  const named = whose === "everyone" || settled !== "";
  return (
    <Panel
      title="Policy"
      about="An agent’s policy stands over everyone’s, an API key’s over both. What it does not name is as below it."
    >
      <div className="mb-6 grid gap-4 sm:grid-cols-2">
        <Select
          label="It holds for"
          value={whose}
          onChange={(event) => setWhose(event.target.value as Whose)}
        >
          <option value="everyone">Everyone in this AIBox</option>
          <option value="agent">One agent</option>
          <option value="key">One API key</option>
        </Select>
        {whose !== "everyone" && (
          <Field
            label={whose === "agent" ? "Id of the agent" : "Id of the API key"}
            autoComplete="off"
            spellCheck={false}
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        )}
      </div>
      {named ? (
        <StoredPolicy key={JSON.stringify(target)} target={target} />
      ) : (
        <p className="text-sm text-ink-3">Name it to see its policy.</p>
      )}
    </Panel>
  );
}

function StoredPolicy({ target }: { target: Target }) {
  const policy = useQuery(policyQuery(target));
  if (policy.data) return <PolicyForm target={target} stored={policy.data} />;
  if (policy.error) {
    return (
      <Failure
        title="The policy could not be loaded"
        error={policy.error}
        onRetry={() => void policy.refetch()}
      />
    );
  }
  return <SkeletonRows rows={4} className="h-20" />;
}

function PolicyForm({ target, stored }: { target: Target; stored: Policy }) {
  const [draft, setDraft] = useState(stored);
  const [topics, setTopics] = useState((stored.topics ?? []).join("\n"));
  const save = useSetPolicy(target);
  const wanted = { ...draft, topics: topicsOf(topics) };
  const changed = !isSame(wanted, stored);
  const change = (part: Partial<Policy>) => {
    save.reset();
    setDraft({ ...draft, ...part });
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        save.mutate(wanted);
      }}
    >
      <fieldset>
        <legend className="mb-2 font-medium">Profile</legend>
        <div className="grid gap-2 sm:grid-cols-2">
          {profiles.map(({ id, label, about }) => (
            <label
              key={label}
              className={cx(
                "flex cursor-pointer gap-3 rounded-xl border bg-surface px-4 py-3",
                (draft.profile ?? null) === id ? "border-accent" : "border-line hover:border-line-strong",
              )}
            >
              <input
                type="radio"
                name="profile"
                className="mt-1 size-4 shrink-0 accent-(--accent)"
                checked={(draft.profile ?? null) === id}
                onChange={() => change({ profile: id })}
              />
              <span>
                <span className="block font-medium">{label}</span>
                <span className="block text-sm text-ink-2">{about}</span>
              </span>
            </label>
          ))}
        </div>
      </fieldset>
      <div className="mt-7 grid gap-x-8 gap-y-7 lg:grid-cols-2">
        <Choices
          legend="Scanners"
          all="All scanners"
          entries={scanners}
          switches={draft.scanners ?? {}}
          onChange={(next) => change({ scanners: next })}
        />
        <Choices
          legend="Masked before a model sees it"
          all="All kinds"
          entries={masks}
          switches={draft.masks ?? {}}
          onChange={(next) => change({ masks: next })}
        />
      </div>
      <Select
        className="mt-7 max-w-xl"
        label="Pictures in messages"
        hint="Read by OCR and judged as text. Under the strict profile, what cannot be read is refused; under the others it passes and is named."
        value={draft.scan_images === true ? "on" : draft.scan_images === false ? "off" : "profile"}
        onChange={({ target: { value } }) =>
          change({ scan_images: value === "profile" ? null : value === "on" })
        }
      >
        <option value="profile">As the profile</option>
        <option value="on">Read them</option>
        <option value="off">Do not read them</option>
      </Select>
      <TextArea
        className="mt-7 max-w-xl"
        label="Banned topics"
        hint="One word or phrase a line. The strict profile looks for them; otherwise switch the scanner on."
        rows={3}
        value={topics}
        onChange={(event) => {
          save.reset();
          setTopics(event.target.value);
        }}
      />
      {save.error && <Failure className="mt-4" title="The policy was not saved" error={save.error} />}
      <div className="sticky bottom-0 mt-6 flex flex-wrap items-center gap-3 border-t border-line bg-bg py-3">
        <Button type="submit" disabled={!changed} busy={save.isPending}>
          Save policy
        </Button>
        {changed && (
          <Button
            look="quiet"
            onClick={() => {
              setDraft(stored);
              setTopics((stored.topics ?? []).join("\n"));
            }}
          >
            Undo changes
          </Button>
        )}
        <p role="status" className="text-sm text-ink-3">
          {save.isSuccess && !changed
            ? "Saved. It holds within two seconds."
            : changed
              ? "Not saved yet."
              : ""}
        </p>
      </div>
    </form>
  );
}

interface ChoicesProps {
  legend: string;
  all: string;
  entries: { id: string; label: string; about?: string }[];
  switches: Record<string, boolean>;
  onChange: (switches: Record<string, boolean>) => void;
}

/** `*` is read first: what is named beside it stands over it. */
function Choices({ legend, all, entries, switches, onChange }: ChoicesProps) {
  return (
    <fieldset>
      <legend className="mb-2 font-medium">{legend}</legend>
      <ul className="divide-y divide-line rounded-xl border border-line bg-surface">
        {[{ id: "*", label: all, about: "Unless one is set below." }, ...entries].map((entry) => (
          <li key={entry.id} className="flex items-center gap-3 px-4 py-2">
            <div className="min-w-0 flex-1">
              <p className={cx(entry.id === "*" && "font-medium")}>{entry.label}</p>
              {entry.about && <p className="text-xs text-ink-3">{entry.about}</p>}
            </div>
            <Select
              label={entry.label}
              hideLabel
              className="w-36 shrink-0"
              value={choiceOf(switches, entry.id)}
              onChange={(event) => onChange(withChoice(switches, entry.id, event.target.value as Choice))}
            >
              <option value="profile">As the profile</option>
              <option value="on">On</option>
              <option value="off">Off</option>
            </Select>
          </li>
        ))}
      </ul>
    </fieldset>
  );
}
