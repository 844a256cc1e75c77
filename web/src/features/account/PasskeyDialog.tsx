// Adding a passkey: a name for it, then the browser's own window.
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { beyondFields, fieldError } from "../../ui/fieldError";
import { Modal } from "../../ui/Modal";
import { makePasskey } from "../auth/passkey";
import { useAddPasskey, usePasskeyOptions } from "./queries";
import { agentText } from "./words";

interface PasskeyDialogProps {
  onClose: () => void;
  /** With the first recovery codes, or none when there were some already. */
  onDone: (recoveryCodes: string[]) => void;
}

export function PasskeyDialog({ onClose, onDone }: PasskeyDialogProps) {
  const [name, setName] = useState(() => agentText(navigator.userAgent));
  const options = usePasskeyOptions();
  const addition = useAddPasskey();
  const making = useMutation({
    mutationFn: async () => {
      const credential = await makePasskey(await options());
      if (!credential) throw new Error("The browser’s window was closed before a passkey was made.");
      return addition.mutateAsync({ name: name.trim(), credential });
    },
    onSuccess: ({ recovery_codes }) => onDone(recovery_codes),
  });
  const failure = beyondFields(making.error, ["name"]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (name.trim()) making.mutate();
  };
  return (
    <Modal
      open
      onClose={onClose}
      title="Add a passkey"
      description="The browser asks where to keep it: on this device, on your phone, or on a security key."
      className="max-w-md"
    >
      <form onSubmit={submit} className="space-y-4">
        <Field
          label="Name of the passkey"
          name="passkey-name"
          autoComplete="off"
          autoFocus
          required
          maxLength={100}
          value={name}
          onChange={(event) => setName(event.target.value)}
          error={fieldError(making.error, "name")}
          hint="So that you know later which one it is."
        />
        {failure && <Failure error={failure} />}
        <div className="flex justify-end gap-2">
          <Button look="quiet" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" busy={making.isPending} disabled={!name.trim()}>
            Go on
          </Button>
        </div>
      </form>
    </Modal>
  );
}
