// The models of a role in the order in which they are asked. They move by button or by Alt and an arrow key.
import { ArrowDown, ArrowUp, X } from "lucide-react";
import { type FormEvent, type KeyboardEvent, useRef, useState } from "react";
import { Button, IconButton } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Modal } from "../../ui/Modal";
import { Select } from "../../ui/Select";
import { choicesFor, moved } from "./order";
import { type Provider, useSetRole } from "./queries";
import { roleWords } from "./words";

interface RoleDialogProps {
  alias: string;
  models: string[];
  providers: Provider[];
  onClose: () => void;
}

export function RoleDialog({ alias, models, providers, onClose }: RoleDialogProps) {
  const [order, setOrder] = useState(models);
  const [told, setTold] = useState("");
  const list = useRef<HTMLOListElement>(null);
  const saving = useSetRole(alias);
  const free = choicesFor(alias, providers, order);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    saving.mutate(order, { onSuccess: onClose });
  };
  const move = (from: number, to: number) => {
    const next = moved(order, from, to);
    if (next === order) return;
    setOrder(next);
    setTold(`${next[to]} is now number ${to + 1} of ${next.length}.`);
    // The row keeps its key, so its focus goes with it; a button that was just disabled would lose it.
    requestAnimationFrame(() => list.current?.querySelectorAll("li")[to]?.focus());
  };
  const pressed = (event: KeyboardEvent, place: number) => {
    if (!event.altKey || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
    event.preventDefault();
    move(place, place + (event.key === "ArrowUp" ? -1 : 1));
  };
  return (
    <Modal open onClose={onClose} title={`Role ${alias}`} description={`${roleWords[alias] ?? alias}.`}>
      <form onSubmit={submit} className="space-y-4">
        {order.length === 0 ? (
          <p className="rounded-xl border border-dashed border-line-strong/60 px-4 py-5 text-center text-sm text-ink-2">
            No model is set: who asks for this role is told so.
          </p>
        ) : (
          <ol ref={list} aria-label="In this order" className="space-y-1.5">
            {order.map((name, place) => (
              <li
                key={name}
                // biome-ignore lint/a11y/noNoninteractiveTabindex: Alt and an arrow key move the row that has the focus.
                tabIndex={0}
                aria-keyshortcuts="Alt+ArrowUp Alt+ArrowDown"
                onKeyDown={(event) => pressed(event, place)}
                className="flex items-center gap-2 rounded-lg border border-line bg-surface py-1 pr-1 pl-3"
              >
                <span className="w-4 text-sm text-ink-3 tabular-nums">{place + 1}</span>
                <span className="min-w-0 flex-1 font-mono text-[0.8125rem] break-all">{name}</span>
                <IconButton
                  label={`Move ${name} up`}
                  disabled={place === 0}
                  onClick={() => move(place, place - 1)}
                >
                  <ArrowUp aria-hidden className="size-4" />
                </IconButton>
                <IconButton
                  label={`Move ${name} down`}
                  disabled={place === order.length - 1}
                  onClick={() => move(place, place + 1)}
                >
                  <ArrowDown aria-hidden className="size-4" />
                </IconButton>
                <IconButton
                  label={`Take ${name} out`}
                  onClick={() => setOrder(order.filter((one) => one !== name))}
                >
                  <X aria-hidden className="size-4" />
                </IconButton>
              </li>
            ))}
          </ol>
        )}
        <p role="status" className="sr-only">
          {told}
        </p>
        <Select
          label={order.length === 0 ? "Model" : "Add a fallback"}
          value=""
          disabled={free.length === 0}
          onChange={(event) => setOrder([...order, event.target.value])}
          hint={
            alias === "embedding"
              ? "Only the same model at another provider can stand in: vectors of two models do not compare."
              : "Fallbacks are asked in this order. Alt with an arrow key moves the row that has the focus."
          }
        >
          <option value="">{free.length === 0 ? "No other model fits" : "Choose a model…"}</option>
          {free.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </Select>
        {saving.error && <Failure error={saving.error} />}
        <div className="flex justify-end gap-2">
          <Button look="quiet" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" busy={saving.isPending}>
            Save
          </Button>
        </div>
      </form>
    </Modal>
  );
}
