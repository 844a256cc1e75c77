// Where one is signed in, and the way to end it from here.
import { useQuery } from "@tanstack/react-query";
import { Monitor, Smartphone, SquareTerminal } from "lucide-react";
import { useState } from "react";
import { Badge } from "../../ui/Badge";
import { Button } from "../../ui/Button";
import { Confirm } from "../../ui/Confirm";
import { Empty, Panel } from "../../ui/Panel";
import { signOut } from "../auth/session";
import { type AccountSession, sessionsQuery, useEndSession } from "./queries";
import { Row, Rows } from "./Rows";
import { agentText, agoText, dateText, kindText } from "./words";

const ICONS: Record<string, typeof Monitor> = { web: Monitor, token: SquareTerminal, device: Smartphone };

export function SessionsPanel() {
  const sessions = useQuery(sessionsQuery);
  const [ending, setEnding] = useState<AccountSession | null>(null);
  return (
    <Panel
      title="Sessions"
      about="Where you are signed in. End what you do not know, then change your password."
    >
      <Rows
        query={sessions}
        failed="Your sessions could not be loaded"
        empty={<Empty title="No open session">You are here by an API key or another service.</Empty>}
        row={(session) => (
          <Row
            key={session.id}
            testId="session"
            icon={ICONS[session.kind] ?? Monitor}
            title={agentText(session.agent)}
            badge={
              session.current && (
                <Badge tone="good" dot>
                  This one
                </Badge>
              )
            }
            about={
              <>
                {kindText(session.kind)} · last seen {agoText(session.seen_at, new Date())} · ends by{" "}
                {dateText(session.expires_at)}
              </>
            }
            action={
              <Button
                look="quiet"
                className="h-9"
                aria-label={session.current ? undefined : `End the session of ${agentText(session.agent)}`}
                onClick={() => (session.current ? void signOut() : setEnding(session))}
              >
                {session.current ? "Sign out" : "End"}
              </Button>
            }
          />
        )}
      />
      {ending && <EndDialog session={ending} onClose={() => setEnding(null)} />}
    </Panel>
  );
}

function EndDialog({ session, onClose }: { session: AccountSession; onClose: () => void }) {
  const end = useEndSession();
  return (
    <Confirm
      title="End this session?"
      action="End the session"
      busy={end.isPending}
      error={end.error}
      onConfirm={() => end.mutate(session.id, { onSuccess: onClose })}
      onClose={onClose}
    >
      {agentText(session.agent)} is signed out within a second, and what it is doing stops there.
    </Confirm>
  );
}
