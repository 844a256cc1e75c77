// Files on their way to the server: a few at a time, each with its own end.
import { useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { ApiError } from "../../api/errors";
import { sendFile } from "./queries";

const AT_ONCE = 2;

export interface Sending {
  id: number;
  file: File;
  state: "waiting" | "sending" | "failed";
  error: ApiError | null;
}

export interface Uploads {
  sendings: Sending[];
  add: (files: File[]) => void;
  retry: (id: number) => void;
  dismiss: (id: number) => void;
}

/** What arrived leaves the list, for it is a document then. */
export function useUploads(): Uploads {
  const queryClient = useQueryClient();
  const [sendings, setSendings] = useState<Sending[]>([]);
  const queue = useRef<Sending[]>([]);
  const running = useRef(0);
  const count = useRef(0);

  const change = (id: number, part: Partial<Sending>) =>
    setSendings((all) => all.map((one) => (one.id === id ? { ...one, ...part } : one)));
  const dismiss = (id: number) => setSendings((all) => all.filter((one) => one.id !== id));

  const next = async (): Promise<void> => {
    const one = running.current < AT_ONCE ? queue.current.shift() : undefined;
    if (!one) return;
    running.current += 1;
    change(one.id, { state: "sending", error: null });
    try {
      await sendFile(one.file);
      dismiss(one.id);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      change(one.id, { state: "failed", error });
    } finally {
      running.current -= 1;
      void queryClient.invalidateQueries({ queryKey: ["knowledge", "documents"] });
      void next();
    }
  };

  const enqueue = (added: Sending[]) => {
    queue.current.push(...added);
    for (let lane = 0; lane < AT_ONCE; lane += 1) void next();
  };

  return {
    sendings,
    add: (files) => {
      const added = files.map((file): Sending => {
        count.current += 1;
        return { id: count.current, file, state: "waiting", error: null };
      });
      setSendings((all) => [...all, ...added]);
      enqueue(added);
    },
    retry: (id) => {
      const again = sendings.find((one) => one.id === id);
      if (!again) return;
      change(id, { state: "waiting", error: null });
      enqueue([again]);
    },
    dismiss,
  };
}

/** All files of a drop, those in folders too. Entries must be taken before anything is awaited. */
export async function filesOf(transfer: DataTransfer): Promise<File[]> {
  const entries = [...transfer.items]
    .map((item) => item.webkitGetAsEntry())
    .filter((entry) => entry !== null);
  if (entries.length === 0) return [...transfer.files];
  return (await Promise.all(entries.map(filesUnder))).flat();
}

async function filesUnder(entry: FileSystemEntry): Promise<File[]> {
  if (entry.name.startsWith(".")) return [];
  if (isFile(entry)) return [await new Promise<File>((resolve, reject) => entry.file(resolve, reject))];
  if (!isFolder(entry)) return [];
  const reader = entry.createReader();
  const found: FileSystemEntry[] = [];
  // A reader gives a hundred entries at a time, and none when it is done.
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (some.length === 0) break;
    found.push(...some);
  }
  return (await Promise.all(found.map(filesUnder))).flat();
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile;
}

function isFolder(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory;
}
