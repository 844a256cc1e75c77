// Trying a service: paste an access token, or sign in there; what it says is shown, and nobody is signed in by it.
import { type FormEvent, useState } from "react";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Modal } from "../../ui/Modal";
import { TextArea } from "../../ui/TextArea";
import { ExaminedView } from "./ExaminedView";
import { type Service, useBeginTest, useExamine } from "./queries";

export function TestDialog({ service, onClose }: { service: Service; onClose: () => void }) {
  const [token, setToken] = useState("");
  const examine = useExamine(service.alias);
  const begin = useBeginTest(service.alias);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (token.trim()) examine.mutate(token.trim());
  };
  return (
    <Modal
      open
      onClose={onClose}
      title={`Test ${service.name}`}
      description="Shows what it says of a person, and who that would be here. Nothing is changed."
    >
      {service.authorization_url && (
        <div className="mb-5 border-b border-line pb-5">
          <p className="text-ink-2">Sign in there as the person that you want to see.</p>
          <Button className="mt-2.5" busy={begin.isPending} onClick={() => begin.mutate()}>
            Sign in at {service.name}
          </Button>
          {begin.error && <Failure className="mt-3" error={begin.error} />}
        </div>
      )}
      <form onSubmit={submit} className="space-y-3" autoComplete="off">
        <TextArea
          label="Or an access token of it"
          rows={4}
          mono
          spellCheck={false}
          value={token}
          onChange={(event) => setToken(event.target.value)}
          hint="It is read as a request would, and not kept."
        />
        <Button type="submit" look="quiet" busy={examine.isPending} disabled={!token.trim()}>
          Read the token
        </Button>
      </form>
      {examine.error && <Failure className="mt-4" error={examine.error} />}
      {examine.data && (
        <div className="mt-4">
          <ExaminedView examined={examine.data} />
        </div>
      )}
    </Modal>
  );
}
