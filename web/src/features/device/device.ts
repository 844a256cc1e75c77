// This browser as a paired device: its key, which never leaves it, and its own session beside the browser's.
import { ApiError, readError, unreachable } from "../../api/errors";
import type { components } from "../../api/schema";

export type PushRequest = components["schemas"]["PushRequest"];

interface Stored {
  name: string;
  keys: CryptoKeyPair;
  refreshToken: string;
}

interface Tokens {
  access_token: string;
  refresh_token: string;
  expires_in: number;
}

/** What a device signs begins with this, then the request's id and the number, a line feed between them. */
const PUSH_DOMAIN = "aibox-push/1";
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" };
const SPARE_MS = 30_000;

let access: { token: string; until: number } | null = null;

/** Keys and locks exist only where the address is https or localhost. */
export function canBePaired(): boolean {
  return window.isSecureContext && "locks" in navigator;
}

/** Its name, when this browser is paired. */
export async function pairedName(): Promise<string | null> {
  return (await load())?.name ?? null;
}

/** Makes a key, and pairs this browser by a code that a signed-in one shows. */
export async function pair(code: string, name: string): Promise<void> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, false, ["sign", "verify"]);
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", keys.publicKey));
  const tokens = await send<Tokens>("/v1/auth/pair/complete", {
    method: "POST",
    body: { code, device_name: name, public_key: base64url(publicKey) },
  });
  await save({ name, keys, refreshToken: tokens.refresh_token });
  remember(tokens);
}

/** Forgets the key and the session here; the account's page lists the device until it is unpaired there. */
export async function forget(): Promise<void> {
  access = null;
  await inStore("readwrite", (store) => store.delete(RECORD));
}

/** The sign-in that waits for an answer, if there is one. */
export async function waiting(): Promise<PushRequest | null> {
  const { challenges } = await asDevice<{ challenges: PushRequest[] }>("/v1/auth/challenges", {
    method: "GET",
  });
  return challenges[0] ?? null;
}

/** Approves it by the number that the other screen shows. A wrong one ends that sign-in. */
export async function approve(id: string, number: string): Promise<void> {
  const stored = await load();
  if (!stored) throw notPaired();
  const text = new TextEncoder().encode(signedText(id, number));
  const signature = await crypto.subtle.sign(
    { name: "ECDSA", hash: "SHA-256" },
    stored.keys.privateKey,
    text,
  );
  await asDevice(`/v1/auth/challenges/${encodeURIComponent(id)}/approve`, {
    method: "POST",
    body: { number, signature: base64url(new Uint8Array(signature)) },
  });
}

export async function deny(id: string): Promise<void> {
  await asDevice(`/v1/auth/challenges/${encodeURIComponent(id)}/deny`, { method: "POST" });
}

export function signedText(id: string, number: string): string {
  return `${PUSH_DOMAIN}\n${id}\n${number}`;
}

export function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");
}

interface Call {
  method: "GET" | "POST";
  body?: unknown;
  token?: string;
}

async function asDevice<T>(path: string, call: Call): Promise<T> {
  return send<T>(path, { ...call, token: await accessToken() });
}

/** A refresh token is good once: of several tabs only one may use it. */
async function accessToken(): Promise<string> {
  return await navigator.locks.request("aibox-device", async () => {
    if (access && performance.now() < access.until) return access.token;
    const stored = await load();
    if (!stored) throw notPaired();
    const tokens = await send<Tokens>("/v1/auth/refresh", {
      method: "POST",
      body: { refresh_token: stored.refreshToken },
    });
    await save({ ...stored, refreshToken: tokens.refresh_token });
    return remember(tokens);
  });
}

function remember({ access_token, expires_in }: Tokens): string {
  access = { token: access_token, until: performance.now() + expires_in * 1000 - SPARE_MS };
  return access_token;
}

/** Without the browser's cookie: a request brings one credential. */
async function send<T>(path: string, { method, body, token }: Call): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      credentials: "omit",
      headers: {
        ...(body !== undefined && { "Content-Type": "application/json" }),
        ...(token && { Authorization: `Bearer ${token}` }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  } catch {
    // fetch rejects only when there was no answer at all.
    throw unreachable();
  }
  if (!response.ok) throw await readError(response);
  return response.status === 204 ? (undefined as T) : await response.json();
}

function notPaired(): ApiError {
  return new ApiError("This browser is not paired.", { status: 401, code: "not_paired" });
}

const DATABASE = "aibox-device";
const STORE = "device";
const RECORD = "this";

function load(): Promise<Stored | undefined> {
  return inStore("readonly", (store) => store.get(RECORD));
}

async function save(device: Stored): Promise<void> {
  await inStore("readwrite", (store) => store.put(device, RECORD));
}

/** The browser's own database keeps keys that no script can read out. */
async function inStore<T>(
  mode: IDBTransactionMode,
  act: (store: IDBObjectStore) => IDBRequest<T>,
): Promise<T> {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = await done(opening);
  try {
    return await done(act(database.transaction(STORE, mode).objectStore(STORE)));
  } finally {
    database.close();
  }
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
