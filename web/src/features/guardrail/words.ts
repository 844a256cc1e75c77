// Plain words for scanners, kinds of personal data, profiles and verdicts.
import type { Tone } from "../../ui/Badge";
import type { Policy, Verdict } from "./queries";

interface Named {
  id: string;
  label: string;
  about?: string;
}

export const scanners: Named[] = [
  {
    id: "prompt_injection",
    label: "Prompt injection",
    about: "Texts that try to give the model new orders.",
  },
  { id: "toxicity", label: "Abuse", about: "Threats, calls to suicide, dehumanising sentences." },
  { id: "secrets", label: "Secrets", about: "Keys, tokens and passwords. They are removed for good." },
  { id: "sensitive", label: "Personal data", about: "Reported in answers when the writer did not write it." },
  { id: "token_limit", label: "Length", about: "Texts above the limit of tokens." },
  { id: "ban_topics", label: "Banned topics", about: "The words and phrases listed below." },
  {
    id: "malicious_urls",
    label: "Harmful links",
    about: "Links in answers that lead where they should not.",
  },
  { id: "no_refusal", label: "Refusals", about: "Answers in which the model refuses." },
];

export const masks: Named[] = [
  { id: "EMAIL_ADDRESS", label: "E-mail addresses" },
  { id: "PHONE_NUMBER", label: "Phone numbers" },
  { id: "CREDIT_CARD", label: "Card numbers" },
  { id: "IBAN_CODE", label: "IBANs" },
  { id: "US_SSN", label: "US social security numbers" },
  { id: "NATIONAL_ID", label: "National id numbers" },
  { id: "PERSON", label: "Names" },
  { id: "LOCATION", label: "Places" },
  { id: "STREET_ADDRESS", label: "Street addresses" },
  { id: "IP_ADDRESS", label: "IP addresses" },
  { id: "CRYPTO", label: "Crypto addresses" },
];

export const profiles: { id: Policy["profile"]; label: string; about: string }[] = [
  { id: null, label: "As installed", about: "What the installation’s settings say." },
  { id: "permissive", label: "Permissive", about: "Removes secrets, reports the rest. Masks nothing." },
  {
    id: "balanced",
    label: "Balanced",
    about: "Blocks attacks and abuse. Masks contact and account numbers.",
  },
  {
    id: "strict",
    label: "Strict",
    about: "Also blocks long texts, banned topics and harmful links. Masks all kinds.",
  },
];

export function scannerName(id: string): string {
  return scanners.find((scanner) => scanner.id === id)?.label ?? id.replaceAll("_", " ");
}

export function maskName(id: string): string {
  return masks.find((mask) => mask.id === id)?.label ?? id.replaceAll("_", " ").toLowerCase();
}

export function verdictWords(verdict: Verdict): { tone: Tone; title: string } {
  if (verdict.decision === "block") return { tone: "danger", title: "Blocked" };
  if (verdict.flagged) return { tone: "warn", title: "Passes, flagged as a possible attack" };
  if (verdict.decision === "rewrite") return { tone: "warn", title: "Passes, rewritten" };
  return { tone: "good", title: "Passes as it is" };
}
