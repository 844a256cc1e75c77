// The pages of what answers may rest on.
import { BookOpen, Brain, Library } from "lucide-react";

export const places = [
  { to: "/knowledge", label: "Knowledge", icon: Library },
  { to: "/wiki", label: "Wiki", icon: BookOpen },
  { to: "/memory", label: "Memory", icon: Brain },
] as const;
