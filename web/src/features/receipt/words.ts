// The verifier's steps, the log's events and the states of a receipt, in plain words.

const steps: Record<string, { title: string; why: string }> = {
  form: {
    title: "The file is exactly what was issued",
    why: "It is read strictly and written again; a single changed byte, even a space, would show.",
  },
  events: {
    title: "The events are complete and in order",
    why: "Their hashes form a tree whose root stands in the envelope: none was added, dropped, moved or changed.",
  },
  signature: {
    title: "The envelope is signed",
    why: "The turn’s envelope carries an Ed25519 signature that fits its exact bytes.",
  },
  key: {
    title: "The signing key was allowed to sign",
    why: "The log itself recorded this key beforehand, for a limited stretch of entries.",
  },
  chain: {
    title: "The turn follows the one before it",
    why: "Each entry names the one before it, so nothing can be slipped in between.",
  },
  inclusion: {
    title: "The turn is in the log",
    why: "A short path of hashes leads from this turn to the root of the whole log.",
  },
  checkpoint: {
    title: "The log’s head is signed, twice",
    why: "Once with Ed25519, once with ML-DSA-44, which quantum computers are not expected to break. What the receipt says of witnesses, an older head or the log of the year before holds too.",
  },
  addenda: {
    title: "What came later was added, not put in",
    why: "An event that came after the seal stands in an entry of its own, which names the sealed turn. The turn stays as it was.",
  },
  openings: {
    title: "Disclosed texts are the recorded ones",
    why: "Where the receipt reveals a prompt or an answer, it fits the commitment made at the time; what was erased is covered by an entry that says so.",
  },
  turn: {
    title: "It is the receipt of this answer",
    why: "A sound receipt of another turn would prove nothing about this one.",
  },
  trust: {
    title: "The keys are the expected ones",
    why: "The log’s keys are compared with those this browser remembers, or with the ones the server publishes.",
  },
};

export function stepWords(name: string): { title: string; why: string } {
  return steps[name] ?? { title: name.replaceAll("_", " "), why: "" };
}

const events: Record<string, string> = {
  turn_started: "The turn began",
  "question.asked": "The question was taken on",
  "conversation.changed": "The chat was changed",
  "run.finished": "The answer was stored",
  "guardrail.input.blocked": "The guardrail stopped the question",
  prompt_generated: "The prompt was put together",
  model_invoked: "The model was called",
  model_response: "The model answered",
  rag_chunks_retrieved: "Passages were found",
  memory_op: "Memory was used",
  tool_called: "A tool was used",
  tool_returned: "The tool returned",
  guardrail_verdict: "The guardrail judged",
  "external.egress_verdict": "An outgoing call was judged",
  budget_decision: "The budget was checked",
  approval_requested: "An approval was asked for",
  approval_decided: "An approval was decided",
  turn_failed: "The turn failed",
  turn_sealed: "The turn was sealed",
  "knowledge.document.added": "A document was taken in",
  "knowledge.document.changed": "A document was changed",
  "knowledge.document.deleted": "A document was deleted",
  "knowledge.document.downloaded": "A document was downloaded",
  "knowledge.document.failed": "A document could not be read",
  "knowledge.document.ingested": "A document was read and can be found",
  "knowledge.reindexed": "The search index was rebuilt",
  "knowledge.wiki.saved": "A wiki page was saved",
  "admin.provider.added": "A provider was added",
  "admin.provider.changed": "A provider was changed",
  "admin.provider.removed": "A provider was removed",
  "admin.model.set": "A model’s terms were set",
  "admin.model.removed": "A model was removed",
  "admin.price.set": "A price was set",
  "admin.prices.refreshed": "The price list was fetched",
  "admin.role.set": "A role was led to models",
  "admin.bundle.moved": "Staged changes were applied or discarded",
  "admin.budget.set": "A budget was set",
  "admin.budget.removed": "A budget was removed",
  "admin.guardrail.updated": "The guardrail’s policy was changed",
  "admin.user.created": "A person was added",
  "admin.user.roles_changed": "A person’s roles were changed",
  "admin.user.status_changed": "A person was enabled or disabled",
  "admin.user.renamed": "A person was renamed",
  "admin.user.password_changed": "A person’s password was changed",
  "admin.user.factors_reset": "A person’s second factors were reset",
  "admin.user.signed_out": "A person was signed out everywhere",
  "admin.invitation.created": "A person was invited",
  "admin.invitation.accepted": "An invitation was accepted",
  "admin.invitation.revoked": "An invitation was withdrawn",
  "admin.role.created": "A role was made",
  "admin.role.changed": "A role was changed",
  "admin.role.deleted": "A role was deleted",
  "admin.audience.set": "An audience tag was given to people",
  "admin.setup_link.created": "A setup link was made",
  "admin.sso.groups_mapped": "Groups of a sign-in service were mapped to roles",
  "admin.tenant.created": "A tenant was made",
  "admin.tenant.entered": "A tenant was entered",
  "admin.tenant.left": "A tenant was left",
  "admin.tenant.renamed": "A tenant was renamed",
  "admin.tenant.status_changed": "A tenant was suspended or let in again",
  "budget.soft_limit": "A budget came near its limit",
  "auth.login": "Somebody signed in",
  "auth.login_failed": "A sign-in failed",
  "auth.logout": "Somebody signed out",
  "auth.denied": "A request was denied",
  "auth.step_up": "Somebody confirmed their sign-in",
  "auth.mfa_enrolled": "A second factor was set up",
  "auth.mfa_removed": "A second factor was removed",
  "auth.push_answered": "A sign-in was answered on a device",
  "auth.device_paired": "A device was paired",
  "auth.device_revoked": "A device was unpaired",
  "auth.issuer_logout": "A sign-in service ended a session",
  "auth.refresh_reused": "A refresh token was used twice",
  "auth.header_stripped": "A forged identity header was dropped",
  "auth.key_created": "An API key was made",
  "auth.key_revoked": "An API key was revoked",
  "audit.exported": "The log was exported",
  "audit.contents_opened": "Contents of a turn were opened",
  "audit.erasure_ordered": "An erasure was ordered",
  "audit.erased": "Contents were erased",
  "audit.retention_due": "Old contents reached the end of their keeping",
  "audit.replay_started": "The prompt of a turn was asked again",
  "audit.keys_rotated": "The signing or data keys were changed",
  "audit.log_abandoned": "A damaged log was given up",
  "audit.addendum_made": "Something was added to a sealed turn",
};

export function eventWords(type: string): string {
  const known = events[type];
  if (known) return known;
  const words = type.replaceAll(/[._]/g, " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const outcomes: Record<string, string> = {
  sealed: "completed",
  failed: "failed",
  abandoned: "abandoned",
  denied: "denied",
};

export function outcomeWords(outcome: string): string {
  return outcomes[outcome] ?? outcome;
}

const states: Record<string, { label: string; about: string }> = {
  open: { label: "Recording", about: "The turn is recorded; its seal follows in a moment." },
  sealed: { label: "Sealed", about: "The turn is in the log, under a signed head." },
  anchored: { label: "Anchored", about: "The signed head is also kept in a copy outside." },
  witnessed: { label: "Witnessed", about: "Others have cosigned the head." },
};

/** Without a state nothing was asked yet; the receipt itself tells. */
export function stateWords(state: string | null): { label: string; about: string } {
  if (state === null) return { label: "Receipt", about: "Open the receipt of this turn and verify it." };
  return states[state] ?? { label: state, about: "" };
}

export function bytesText(bytes: number): string {
  if (bytes < 1000) return `${bytes}\u00a0B`;
  return bytes < 1_000_000
    ? `${(bytes / 1000).toFixed(1)}\u00a0kB`
    : `${(bytes / 1_000_000).toFixed(1)}\u00a0MB`;
}

/** Time since the first event, from microseconds. */
export function sinceText(us: number): string {
  if (us < 1000) return `+${us} µs`;
  if (us < 1_000_000) return `+${Math.round(us / 1000)} ms`;
  return `+${(us / 1_000_000).toFixed(2)} s`;
}
