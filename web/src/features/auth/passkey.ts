// The browser's side of passkeys: the server's options in, what the authenticator signed out, both as JSON.

/** Only in a secure context, and in browsers that read and write the JSON of WebAuthn Level 3. */
export function canUsePasskeys(): boolean {
  return (
    typeof PublicKeyCredential === "function" &&
    typeof PublicKeyCredential.parseRequestOptionsFromJSON === "function"
  );
}

type Json = Record<string, unknown>;

/** What a passkey of this person signs; null when they closed the browser's window. */
export function signWithPasskey(options: Json): Promise<Json | null> {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(
    options as unknown as PublicKeyCredentialRequestOptionsJSON,
  );
  return asked(() => navigator.credentials.get({ publicKey }));
}

/** A new passkey; null when they closed the browser's window. */
export function makePasskey(options: Json): Promise<Json | null> {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(
    options as unknown as PublicKeyCredentialCreationOptionsJSON,
  );
  return asked(() => navigator.credentials.create({ publicKey }));
}

async function asked(act: () => Promise<Credential | null>): Promise<Json | null> {
  try {
    const credential = await act();
    return credential ? (credential as PublicKeyCredential).toJSON() : null;
  } catch (error) {
    // The browser says no more than this when the window was closed or nothing was done in time.
    if (error instanceof DOMException && error.name === "NotAllowedError") return null;
    throw new Error(passkeySentence(error));
  }
}

function passkeySentence(error: unknown): string {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "InvalidStateError") return "This device has a passkey for this account already.";
  if (name === "SecurityError") return "Passkeys work only under the address that AIBox is set up for.";
  return "This browser could not use a passkey. Try another way.";
}
