// The models of a provider: what they can do, how much they read, what they cost, and which roles lead to them.
import { useQuery } from "@tanstack/react-query";
import { Pencil, Plus } from "lucide-react";
import { useState } from "react";
import { Badge } from "../../ui/Badge";
import { Button, IconButton } from "../../ui/Button";
import { Table, Td, Th } from "../../ui/Table";
import { AddModelDialog, ModelDialog } from "./ModelDialog";
import { priceOf, sourceWords } from "./prices";
import { type Model, type PricedModel, type Provider, pricesQuery } from "./queries";
import { contextText, priceText } from "./words";

const FEW = 6;

export function ModelsTable({ provider }: { provider: Provider }) {
  // Who may change providers may not read the price list: the models' own prices then have to do.
  const listed = useQuery(pricesQuery).data?.prices ?? [];
  const [all, setAll] = useState(false);
  const [edited, setEdited] = useState<Model | null>(null);
  const [adding, setAdding] = useState(false);
  const models = provider.models ?? [];
  const shown = all ? models : models.slice(0, FEW);
  return (
    <div className="mt-3 border-t border-line">
      {models.length > 0 && (
        <Table caption={`Models of ${provider.name}`} framed={false}>
          <thead>
            <tr>
              <Th className="sm:pl-5">Model</Th>
              <Th className="max-sm:hidden">Can do</Th>
              <Th numeric className="max-sm:hidden">
                Context
              </Th>
              <Th className="max-sm:whitespace-normal">Price per million tokens</Th>
              <Th>
                <span className="sr-only">Edit</span>
              </Th>
            </tr>
          </thead>
          <tbody>
            {shown.map((model) => (
              <ModelRow
                key={model.id}
                model={model}
                type={provider.type}
                listed={listed}
                onEdit={() => setEdited(model)}
              />
            ))}
          </tbody>
        </Table>
      )}
      <div className="flex flex-wrap items-center gap-2 px-2.5 py-2 sm:px-3.5">
        {models.length === 0 && <p className="px-1.5 text-sm text-ink-3">It has no models here yet.</p>}
        {models.length > FEW && (
          <TextButton onClick={() => setAll(!all)}>
            {all ? "Show fewer models" : `Show all ${models.length} models`}
          </TextButton>
        )}
        {provider.type !== "local" && (
          <TextButton onClick={() => setAdding(true)}>
            <Plus aria-hidden className="size-4" /> Add a model
          </TextButton>
        )}
      </div>
      {edited && <ModelDialog provider={provider} model={edited} onClose={() => setEdited(null)} />}
      {adding && <AddModelDialog provider={provider} onClose={() => setAdding(false)} />}
    </div>
  );
}

function TextButton({ onClick, children }: { onClick: () => void; children: React.ReactNode }) {
  return (
    <Button look="plain" className="h-8 px-2 text-sm text-accent" onClick={onClick}>
      {children}
    </Button>
  );
}

interface ModelRowProps {
  model: Model;
  type: Provider["type"];
  listed: PricedModel[];
  onEdit: () => void;
}

function ModelRow({ model, type, listed, onEdit }: ModelRowProps) {
  const { price, source } = priceOf(model, type, listed);
  return (
    <tr data-testid="model">
      <Td className="sm:min-w-44 sm:pl-5">
        <span className="font-mono text-[0.8125rem] break-all">{model.id}</span>
        <span className="mt-1 flex flex-wrap gap-1 empty:hidden">
          {model.demonstration && <Badge tone="warn">demonstration</Badge>}
          {model.health === "down" && (
            <Badge tone="danger" dot>
              failing
            </Badge>
          )}
          {model.roles?.map((role) => (
            <Badge key={role} tone="good" title="A role that leads here">
              {role}
            </Badge>
          ))}
        </span>
      </Td>
      <Td className="min-w-28 max-sm:hidden">
        <span className="flex flex-wrap gap-1">
          {model.capabilities?.length ? (
            model.capabilities.map((name) => <Badge key={name}>{name}</Badge>)
          ) : (
            <span className="text-ink-3">anything</span>
          )}
        </span>
      </Td>
      <Td numeric className="max-sm:hidden">
        {model.context ? (
          <span title={`${model.context} tokens`}>{contextText(model.context)}</span>
        ) : (
          <span className="text-ink-3">not said</span>
        )}
      </Td>
      <Td className="sm:min-w-44">
        {price && <span className="tabular-nums">{priceText(price)}</span>}
        <span className={price ? "block text-xs text-ink-3" : "text-ink-3"}>{sourceWords[source]}</span>
      </Td>
      <Td className="w-12 py-1 pl-0">
        <IconButton label={`Edit ${model.id}`} onClick={onEdit}>
          <Pencil aria-hidden className="size-4" />
        </IconButton>
      </Td>
    </tr>
  );
}
