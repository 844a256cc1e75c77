// A memory to add or to correct.
import { type FormEvent, useState } from "react";
import { Button } from "../../ui/Button";
import { Failure } from "../../ui/Failure";
import { beyondFields, fieldError } from "../../ui/fieldError";
import { Modal } from "../../ui/Modal";
import { Select } from "../../ui/Select";
import { TextArea } from "../../ui/TextArea";
import { type Memory, useStore, useUpdate } from "./queries";
import { typeWords } from "./words";

export function MemoryDialog({ memory, onClose }: { memory?: Memory; onClose: () => void }) {
  const [content, setContent] = useState(memory?.content ?? "");
  const [type, setType] = useState<Memory["memory_type"]>(memory?.memory_type ?? "user");
  const store = useStore();
  const update = useUpdate(memory?.id ?? "");
  const saving = memory ? update : store;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (memory) update.mutate(content.trim(), { onSuccess: onClose });
    else store.mutate({ content: content.trim(), memory_type: type, kind: "fact" }, { onSuccess: onClose });
  };
  const failure = beyondFields(saving.error, ["content"]);
  return (
    <Modal
      open
      onClose={onClose}
      title={memory ? "Edit memory" : "Add a memory"}
      description="A sentence as you would say it to somebody who helps you."
    >
      <form onSubmit={submit} className="space-y-4">
        <TextArea
          label="What to remember"
          autoFocus
          required
          rows={4}
          value={content}
          onChange={(event) => setContent(event.target.value)}
          error={fieldError(saving.error, "content")}
        />
        {!memory && (
          <Select
            label="It is"
            value={type}
            onChange={(event) => setType(event.target.value as Memory["memory_type"])}
          >
            {Object.entries(typeWords).map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </Select>
        )}
        {failure && <Failure error={failure} />}
        <div className="flex justify-end gap-2">
          <Button look="quiet" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" busy={saving.isPending} disabled={!content.trim()}>
            Save
          </Button>
        </div>
      </form>
    </Modal>
  );
}
