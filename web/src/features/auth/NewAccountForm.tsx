// The form that makes an account by a one-use link: a name, a password, and the e-mail where the link names none.
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useState } from "react";
import { Button } from "../../ui/Button";
import { Field } from "../../ui/Field";
import { Notice } from "../../ui/Notice";
import { fieldErrors } from "./messages";
import { NewPasswordField } from "./NewPasswordField";
import { judgePassword } from "./password";

interface NewAccountFormProps<Made> {
  action: string;
  /** Whose account it is; without, it is asked for. */
  email?: string;
  create: (account: { name: string; email: string; password: string }) => Promise<Made>;
  onCreated: (made: Made) => void;
  /** How a refusal is shown that is about no field. */
  refusal: (error: Error) => ReactNode;
}

export function NewAccountForm<Made>({
  action,
  email,
  create,
  onCreated,
  refusal,
}: NewAccountFormProps<Made>) {
  const [name, setName] = useState("");
  const [written, setWritten] = useState("");
  const [password, setPassword] = useState("");
  const account = { name: name.trim(), email: email ?? written.trim(), password };
  const feedback = judgePassword(password);
  const isComplete = feedback.acceptable && account.name !== "" && account.email !== "";
  const creation = useMutation({ mutationFn: () => create(account), onSuccess: onCreated });
  const errors = fieldErrors(creation.error, ["name", "email", "password"]);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isComplete) creation.mutate();
  };

  return (
    <form onSubmit={submit} className="mt-5 space-y-4">
      {creation.error && Object.keys(errors).length === 0 && refusal(creation.error)}
      {errors.form && <Notice kind="danger">{errors.form}</Notice>}
      <Field
        label="Your name"
        name="name"
        autoComplete="name"
        autoFocus
        required
        maxLength={200}
        value={name}
        onChange={(event) => setName(event.target.value)}
        error={errors.name}
      />
      {email === undefined ? (
        <Field
          label="E-mail"
          type="email"
          name="email"
          autoComplete="username"
          required
          value={written}
          onChange={(event) => setWritten(event.target.value)}
          error={errors.email}
        />
      ) : (
        // For password managers, which look for whose password it is.
        <input type="text" name="username" autoComplete="username" value={email} readOnly hidden />
      )}
      <NewPasswordField
        label="Password"
        value={password}
        onValue={setPassword}
        feedback={feedback}
        error={errors.password}
      />
      <Button type="submit" className="w-full" busy={creation.isPending} disabled={!isComplete}>
        {action}
      </Button>
    </form>
  );
}
