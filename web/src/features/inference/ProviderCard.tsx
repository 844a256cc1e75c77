// One provider: how it does, what can be done with it, and its models.
import { Ellipsis, KeyRound, LoaderCircle, Pencil, Plug, Trash2 } from "lucide-react";
import { DropdownMenu } from "radix-ui";
import { useState } from "react";
import { Badge } from "../../ui/Badge";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { cx } from "../../ui/cx";
import { Failure } from "../../ui/Failure";
import { menuContent, menuItem } from "../../ui/menu";
import { Notice } from "../../ui/Notice";
import { EnginePanel } from "./EnginePanel";
import { ModelsTable } from "./ModelsTable";
import { ProviderDialog } from "./ProviderDialog";
import { type Provider, useChangeProvider, useRemoveProvider, useTestProvider } from "./queries";
import { adapterWords, clock, healthOf, loadWords, testSentence, typeWords } from "./words";

export function ProviderCard({ provider }: { provider: Provider }) {
  const [opened, setOpened] = useState<"edit" | "remove" | null>(null);
  const test = useTestProvider(provider.id);
  const change = useChangeProvider(provider.id);
  const health = healthOf(provider, new Date());
  const titleId = `provider-${provider.id}`;
  return (
    <li>
      <article
        aria-labelledby={titleId}
        data-testid="provider"
        className="rounded-2xl border border-line bg-surface"
      >
        <div className="flex flex-wrap items-start gap-x-4 gap-y-3 px-4 pt-4 pb-1.5 sm:px-5">
          <div className="min-w-0 flex-1 basis-64">
            <div className="flex flex-wrap items-center gap-x-2.5 gap-y-1">
              <h3 id={titleId} className="text-base font-semibold break-all">
                {provider.name}
              </h3>
              <Badge tone={health.tone} dot>
                {health.label}
              </Badge>
            </div>
            {provider.type !== "local" && (
              <p className="mt-0.5 font-mono text-[0.8125rem] break-all text-ink-2">{provider.base_url}</p>
            )}
            <Facts provider={provider} />
          </div>
          <div className="flex gap-2">
            <Button
              look="quiet"
              className="h-9"
              aria-label={`Test ${provider.name}`}
              busy={test.isPending}
              onClick={() => test.mutate(undefined)}
            >
              {!test.isPending && <Plug aria-hidden className="size-4" />} Test
            </Button>
            <Menu provider={provider} onOpen={setOpened} onEnable={(enabled) => change.mutate({ enabled })} />
          </div>
        </div>
        <div className="space-y-2 px-4 sm:px-5">
          <TestResult test={test} />
          {change.error && <Failure error={change.error} />}
          {provider.last_failure && provider.enabled && health.tone !== "good" && (
            <Notice kind="warn" title={`Last failure, ${clock(new Date(provider.last_failure.at))}`}>
              <p>{provider.last_failure.sentence}</p>
              <p className="font-mono text-xs">{provider.last_failure.code}</p>
            </Notice>
          )}
          {provider.type === "vllm" && provider.enabled && <EnginePanel provider={provider} />}
        </div>
        <ModelsTable provider={provider} />
      </article>
      {opened === "edit" && <ProviderDialog provider={provider} onClose={() => setOpened(null)} />}
      {opened === "remove" && <RemoveDialog provider={provider} onClose={() => setOpened(null)} />}
    </li>
  );
}

function Facts({ provider }: { provider: Provider }) {
  const facts = [
    typeWords[provider.type],
    provider.type === "local" ? "" : adapterWords[provider.adapter ?? "chat_completions"],
    loadWords(provider),
  ].filter(Boolean);
  return (
    <p className="mt-1.5 flex flex-wrap items-center gap-x-2 text-[0.8125rem] text-ink-3">
      {facts.join(" · ")}
      {provider.has_key && (
        <span className="inline-flex items-center gap-1">
          <KeyRound aria-hidden className="size-3.5" /> key stored
        </span>
      )}
    </p>
  );
}

interface MenuProps {
  provider: Provider;
  onOpen: (what: "edit" | "remove") => void;
  onEnable: (enabled: boolean) => void;
}

function Menu({ provider, onOpen, onEnable }: MenuProps) {
  return (
    <DropdownMenu.Root>
      <DropdownMenu.Trigger
        aria-label={`Options for ${provider.name}`}
        className="inline-flex size-9 items-center justify-center rounded-lg border border-line-strong/60 text-ink-2 hover:bg-sunken"
      >
        <Ellipsis aria-hidden className="size-4" />
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content className={menuContent} align="end" sideOffset={4}>
          <DropdownMenu.Item className={menuItem} onSelect={() => onOpen("edit")}>
            <Pencil aria-hidden className="size-4 text-ink-3" /> Edit
          </DropdownMenu.Item>
          <DropdownMenu.Item className={menuItem} onSelect={() => onEnable(!provider.enabled)}>
            <Plug aria-hidden className="size-4 text-ink-3" />
            {provider.enabled ? "Switch off" : "Switch on"}
          </DropdownMenu.Item>
          <DropdownMenu.Item className={cx(menuItem, "text-danger")} onSelect={() => onOpen("remove")}>
            <Trash2 aria-hidden className="size-4" /> Remove
          </DropdownMenu.Item>
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

function TestResult({ test }: { test: ReturnType<typeof useTestProvider> }) {
  const result = test.data;
  return (
    <div role="status" data-testid="test-result">
      {test.isPending && (
        <p className="flex items-center gap-2 text-sm text-ink-2">
          <LoaderCircle aria-hidden className="size-4 animate-spin" /> Asking for its models…
        </p>
      )}
      {test.error && <Failure error={test.error} />}
      {!test.isPending && result && (
        <Notice kind={result.ok ? "info" : "danger"}>
          {result.ok ? (
            <p>{testSentence(result)}</p>
          ) : (
            <>
              <p>{result.sentence}</p>
              <p className="font-mono text-xs">{result.code}</p>
            </>
          )}
          {result.missing && result.missing.length > 0 && (
            <p className="mt-1 text-sm">
              It no longer lists <span className="font-mono">{result.missing.join(", ")}</span>.
            </p>
          )}
        </Notice>
      )}
    </div>
  );
}

function RemoveDialog({ provider, onClose }: { provider: Provider; onClose: () => void }) {
  const removal = useRemoveProvider(provider.id);
  const roles = [...new Set(provider.models?.flatMap((model) => model.roles ?? []))];
  return (
    <Confirm
      title={`Remove ${provider.name}?`}
      action="Remove"
      busy={removal.isPending}
      error={removal.error}
      onConfirm={() => removal.mutate(undefined, { onSuccess: onClose })}
      onClose={onClose}
    >
      <p>Its models and its stored key go with it. What was used and spent stays on record.</p>
      {roles.length > 0 && (
        <p className="mt-2">
          {roles.length === 1 ? "One role leads" : `${roles.length} roles lead`} here: {roles.join(", ")}.
        </p>
      )}
    </Confirm>
  );
}
