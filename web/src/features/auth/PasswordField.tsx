// A password input with a button that shows what was typed.
import { Eye, EyeOff } from "lucide-react";
import { type ReactNode, useState } from "react";
import { IconButton } from "../../ui/Button";
import { Field } from "../../ui/Field";

interface PasswordFieldProps {
  label: string;
  autoComplete: "current-password" | "new-password";
  value: string;
  onValue: (value: string) => void;
  hint?: ReactNode;
  error?: string | null;
}

export function PasswordField({ value, onValue, ...rest }: PasswordFieldProps) {
  const [shown, setShown] = useState(false);
  const Icon = shown ? EyeOff : Eye;
  return (
    <div className="relative">
      <Field
        {...rest}
        type={shown ? "text" : "password"}
        name="password"
        required
        value={value}
        onChange={(event) => onValue(event.target.value)}
      />
      <IconButton
        label={shown ? "Hide password" : "Show password"}
        onClick={() => setShown(!shown)}
        className="absolute top-[2.15rem] right-1.5"
      >
        <Icon aria-hidden className="size-4.5" />
      </IconButton>
    </div>
  );
}
