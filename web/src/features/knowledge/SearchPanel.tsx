// What a chat would find for a question, with the scores that say why.
import { useQuery } from "@tanstack/react-query";
import { Search } from "lucide-react";
import { type FormEvent, useState } from "react";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Notice } from "../../ui/Notice";
import { Empty } from "../../ui/Panel";
import { SkeletonRows } from "../../ui/Skeleton";
import { DocumentSheet } from "./DocumentSheet";
import { type Result, searchQuery } from "./queries";
import { placeText, scoreLines, scoreText } from "./words";

const degradedWords = {
  rerank: "The reranker did not answer: the order is that of meaning and words.",
  meaning: "The search by meaning did not answer. These were found by their words alone.",
  words: "The search by words did not answer. These were found by meaning alone.",
};

export function SearchPanel() {
  const [text, setText] = useState("");
  const [query, setQuery] = useState("");
  const [opened, setOpened] = useState<string | null>(null);
  const found = useQuery(searchQuery(query));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setQuery(text.trim());
  };
  return (
    <>
      <form onSubmit={submit} className="mb-5 flex gap-2">
        <div className="relative min-w-0 flex-1">
          <Search aria-hidden className="pointer-events-none absolute top-3 left-3 size-4 text-ink-3" />
          <input
            type="search"
            aria-label="Question to the documents"
            placeholder="How many days of vacation do I have?"
            value={text}
            onChange={(event) => setText(event.target.value)}
            className="h-10 w-full rounded-lg border border-line-strong bg-surface pr-3 pl-9 placeholder:text-ink-3"
          />
        </div>
        <Button type="submit" busy={found.isFetching} disabled={!text.trim()}>
          Search
        </Button>
      </form>
      {found.data?.degraded && (
        <Notice kind="warn" className="mb-4">
          <p>{degradedWords[found.data.degraded]}</p>
        </Notice>
      )}
      {query === "" && (
        <Empty title="Ask as you would in a chat">
          You see the passages that a chat would find for you, the best first, and why.
        </Empty>
      )}
      {found.isFetching && !found.data && <SkeletonRows rows={3} className="h-32" />}
      {found.error && !found.isFetching && (
        <Failure title="The search did not work" error={found.error} onRetry={() => void found.refetch()} />
      )}
      {found.data?.results.length === 0 && (
        <Empty title="Nothing was found">No document that you may read says anything near this.</Empty>
      )}
      {found.data && found.data.results.length > 0 && (
        <ol aria-label="Results" className="space-y-3">
          {found.data.results.map((result) => (
            <ResultCard key={result.chunk_id} result={result} onOpen={() => setOpened(result.document_id)} />
          ))}
        </ol>
      )}
      {opened && <DocumentSheet id={opened} onClose={() => setOpened(null)} />}
    </>
  );
}

function ResultCard({ result, onOpen }: { result: Result; onOpen: () => void }) {
  const place = placeText(result);
  return (
    <li data-testid="result" className="rounded-xl border border-line bg-surface px-4 py-3.5">
      <div className="flex items-baseline gap-3">
        <button
          type="button"
          onClick={onOpen}
          className="min-w-0 flex-1 truncate text-left font-medium text-accent hover:underline"
        >
          {result.title}
        </button>
        <span className="text-sm text-ink-2 tabular-nums">{scoreText(result.scores)}</span>
      </div>
      {place && <p className="text-xs text-ink-3">{place}</p>}
      <p className="mt-1.5 text-sm break-words whitespace-pre-wrap">{result.text}</p>
      <p className="mt-2 text-sm text-ink-2">{result.rationale}</p>
      <ScoreList result={result} />
    </li>
  );
}

function ScoreList({ result }: { result: Result }) {
  return (
    <dl className="mt-1 flex flex-wrap gap-x-4 gap-y-0.5 text-xs text-ink-3">
      {scoreLines(result.scores).map(({ label, value }) => (
        <div key={label} className="flex gap-1">
          <dt>{label}</dt>
          <dd className="text-ink-2 tabular-nums">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
