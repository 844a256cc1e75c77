// How to put a better model behind AIBox: three commands for the terminal.
import { Tabs } from "radix-ui";
import { Command } from "../../ui/copy";
import { Modal } from "../../ui/Modal";

const kinds = [
  {
    id: "openai",
    label: "OpenAI-compatible",
    about:
      "Any service with an OpenAI-compatible address. The key is read from the terminal and stored sealed.",
    add: "aibox-admin providers add NAME https://api.example.com/v1 --key-stdin",
  },
  {
    id: "vllm",
    label: "vLLM",
    about:
      "A vLLM server in your network. It is asked for its models; a key is needed only if it was started with one.",
    add: "aibox-admin providers add vllm http://gpu-server:8000/v1",
  },
  {
    id: "ollama",
    label: "Ollama",
    about: "Ollama on this machine or another one.",
    add: "aibox-admin providers add ollama http://localhost:11434/v1",
  },
];

export function AddProviderDialog({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <Modal
      open={open}
      onClose={onClose}
      title="Add a provider"
      description="Models are added in the terminal, on the machine that runs AIBox."
    >
      <Tabs.Root defaultValue="openai">
        <Tabs.List aria-label="Kind of provider" className="flex gap-1 rounded-lg bg-sunken p-1">
          {kinds.map((kind) => (
            <Tabs.Trigger
              key={kind.id}
              value={kind.id}
              className="h-8 flex-auto truncate rounded-md px-2 text-sm text-ink-2 data-[state=active]:bg-surface data-[state=active]:font-medium data-[state=active]:text-ink data-[state=active]:shadow-sm"
            >
              {kind.label}
            </Tabs.Trigger>
          ))}
        </Tabs.List>
        {kinds.map((kind) => (
          <Tabs.Content key={kind.id} value={kind.id} className="mt-4 rounded-lg">
            <p className="text-ink-2">{kind.about}</p>
            <ol className="mt-4 space-y-4">
              <Step n={1} title="Add it. Its models are listed.">
                <Command>{kind.add}</Command>
              </Step>
              <Step n={2} title="Let one of them answer.">
                <Command>aibox-admin roles set default MODEL</Command>
              </Step>
              <Step n={3} title="Come back and ask. No restart is needed." />
            </ol>
          </Tabs.Content>
        ))}
      </Tabs.Root>
    </Modal>
  );
}

function Step({ n, title, children }: { n: number; title: string; children?: React.ReactNode }) {
  return (
    <li className="flex gap-3">
      <span
        aria-hidden
        className="mt-px inline-flex size-6 shrink-0 items-center justify-center rounded-full bg-accent-soft text-xs font-semibold text-accent"
      >
        {n}
      </span>
      <div className="min-w-0 flex-1 space-y-2">
        <p>{title}</p>
        {children}
      </div>
    </li>
  );
}
