// Three ways to bring a document in: files and folders, pasted text, an address.
import { FileUp, FolderUp } from "lucide-react";
import { type FormEvent, useRef, useState } from "react";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { Field } from "../../ui/Field";
import { beyondFields, fieldError } from "../../ui/fieldError";
import { Modal } from "../../ui/Modal";
import { Tabs } from "../../ui/Tabs";
import { TextArea } from "../../ui/TextArea";
import { useAddText, useAddUrl } from "./queries";

interface AddDialogProps {
  onFiles: (files: File[]) => void;
  onClose: () => void;
}

export function AddDialog({ onFiles, onClose }: AddDialogProps) {
  return (
    <Modal
      open
      onClose={onClose}
      title="Add documents"
      description="They are private to begin with. Share them once they are here."
    >
      <Tabs
        label="Where from"
        tabs={[
          { id: "files", label: "Files", content: <Files onFiles={onFiles} onClose={onClose} /> },
          { id: "text", label: "Text", content: <Text onClose={onClose} /> },
          { id: "url", label: "Address", content: <Address onClose={onClose} /> },
        ]}
      />
    </Modal>
  );
}

function Files({ onFiles, onClose }: AddDialogProps) {
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const chosen = (list: FileList | null) => {
    if (!list || list.length === 0) return;
    onFiles([...list].filter((file) => !file.name.startsWith(".")));
    onClose();
  };
  return (
    <div>
      <p className="text-ink-2">
        Choose as many as you like, or drop files and folders anywhere on the page.
      </p>
      <div className="mt-4 flex flex-wrap gap-2">
        <Button onClick={() => files.current?.click()}>
          <FileUp aria-hidden className="size-4" /> Choose files
        </Button>
        <Button look="quiet" onClick={() => folder.current?.click()}>
          <FolderUp aria-hidden className="size-4" /> Choose a folder
        </Button>
      </div>
      <input
        ref={files}
        type="file"
        multiple
        hidden
        data-testid="files"
        onChange={(event) => chosen(event.target.files)}
      />
      <input
        ref={(input) => {
          folder.current = input;
          // React knows no such property.
          input?.setAttribute("webkitdirectory", "");
        }}
        type="file"
        hidden
        onChange={(event) => chosen(event.target.files)}
      />
      <p className="mt-4 text-sm text-ink-3">
        PDF, Word, PowerPoint, Excel, HTML, Markdown, plain text, e-mail and pictures, up to 100 MiB each.
      </p>
    </div>
  );
}

function Text({ onClose }: { onClose: () => void }) {
  const [title, setTitle] = useState("");
  const [content, setContent] = useState("");
  const adding = useAddText();
  const failure = beyondFields(adding.error, ["title", "content"]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    adding.mutate({ title: title.trim(), content }, { onSuccess: onClose });
  };
  return (
    <form onSubmit={submit} className="space-y-4">
      <Field
        label="Title"
        required
        maxLength={300}
        value={title}
        onChange={(event) => setTitle(event.target.value)}
        error={fieldError(adding.error, "title")}
      />
      <TextArea
        label="Text"
        required
        rows={8}
        hint="Markdown headings become sections."
        value={content}
        onChange={(event) => setContent(event.target.value)}
        error={fieldError(adding.error, "content")}
      />
      {failure && <Failure error={failure} />}
      <Button type="submit" busy={adding.isPending} disabled={!title.trim() || !content.trim()}>
        Add text
      </Button>
    </form>
  );
}

function Address({ onClose }: { onClose: () => void }) {
  const [url, setUrl] = useState("");
  const [title, setTitle] = useState("");
  const adding = useAddUrl();
  const failure = beyondFields(adding.error, ["url", "title"]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    adding.mutate({ url: url.trim(), title: title.trim() }, { onSuccess: onClose });
  };
  return (
    <form onSubmit={submit} className="space-y-4">
      <Field
        label="Address of the document"
        type="url"
        required
        placeholder="https://example.com/handbook.pdf"
        value={url}
        onChange={(event) => setUrl(event.target.value)}
        error={fieldError(adding.error, "url")}
        hint="The server fetches it once, where its rules for outgoing requests allow the address."
      />
      <Field
        label="Title"
        maxLength={300}
        value={title}
        onChange={(event) => setTitle(event.target.value)}
        error={fieldError(adding.error, "title")}
        hint="Without one it has its own."
      />
      {failure && <Failure error={failure} />}
      <Button type="submit" busy={adding.isPending} disabled={!url.trim()}>
        {adding.isPending ? "Fetching…" : "Add"}
      </Button>
    </form>
  );
}
