// What could not be loaded or done: the sentence, its stable code, the turn to ask about, and another try.
import { ApiError } from "../api/errors";
import { Button } from "./Button";
import { CopyButton } from "./copy";
import { Notice } from "./Notice";

interface FailureProps {
  error: Error;
  title?: string;
  onRetry?: () => void;
  className?: string;
}

export function Failure({ error, title, onRetry, className }: FailureProps) {
  const known = error instanceof ApiError ? error : null;
  return (
    <Notice kind="danger" title={title} className={className}>
      <p>{error.message}</p>
      {known?.fields.map(({ field, error: problem }) => (
        <p key={`${field} ${problem}`} className="text-sm">
          {field}: {problem}
        </p>
      ))}
      {known && (
        <div className="mt-0.5 flex flex-wrap items-center gap-x-2 font-mono text-xs">
          <span>{known.code}</span>
          {known.turnId && (
            <span className="flex min-w-0 items-center">
              <span className="truncate">turn {known.turnId}</span>
              <CopyButton text={known.turnId} label="Copy turn id" className="size-6" />
            </span>
          )}
        </div>
      )}
      {onRetry && (
        <Button look="quiet" className="mt-2.5 h-9" onClick={onRetry}>
          Try again
        </Button>
      )}
    </Notice>
  );
}
