// What is shown when a page cannot be shown.
import { Link, useRouter } from "@tanstack/react-router";
import { ApiError } from "../api/errors";
import { AuthPage } from "../features/auth/AuthPage";
import { Button } from "../ui/Button";

export function ErrorPage({ error }: { error: unknown }) {
  const router = useRouter();
  const known = error instanceof ApiError;
  return (
    <AuthPage title={known && error.status === 0 ? "AIBox does not answer" : "This did not work"}>
      <p className="mt-3 text-ink-2">
        {known ? error.message : "The page ran into a mistake of its own. Reloading usually helps."}
      </p>
      {known && <p className="mt-2 font-mono text-xs text-ink-3">{error.code}</p>}
      <Button className="mt-5" onClick={() => void router.invalidate()}>
        Try again
      </Button>
    </AuthPage>
  );
}

export function NotFoundPage() {
  return (
    <AuthPage title="There is no such page">
      <p className="mt-3 text-ink-2">The address may be mistyped, or what it led to is gone.</p>
      <Link to="/" className="mt-5 inline-block text-accent underline underline-offset-2">
        Go to the chat
      </Link>
    </AuthPage>
  );
}
