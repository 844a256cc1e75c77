// Where people usually find their models: what fills the form in one click.
import type { Adapter, Provider } from "./queries";

export interface Preset {
  label: string;
  name: string;
  base_url: string;
  type: Exclude<Provider["type"], "local">;
  adapter: Adapter;
}

export const presets: Preset[] = [
  {
    label: "OpenAI",
    name: "openai",
    base_url: "https://api.openai.com/v1",
    type: "external",
    adapter: "responses",
  },
  {
    label: "Anthropic",
    name: "anthropic",
    base_url: "https://api.anthropic.com/v1",
    type: "external",
    adapter: "anthropic_messages",
  },
  {
    label: "OpenRouter",
    name: "openrouter",
    base_url: "https://openrouter.ai/api/v1",
    type: "external",
    adapter: "chat_completions",
  },
  { label: "vLLM", name: "vllm", base_url: "http://vllm:8000", type: "vllm", adapter: "chat_completions" },
  {
    label: "Ollama",
    name: "ollama",
    base_url: "http://localhost:11434/v1",
    type: "external",
    adapter: "chat_completions",
  },
];
