// Starts the web app.
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { onSignedOut } from "./api/client";
import { createQueryClient } from "./app/queryClient";
import { createAppRouter } from "./app/router";
import { createRuns } from "./features/chat/runs";
import "./styles.css";
import "./ui/theme";

const queryClient = createQueryClient();
const router = createAppRouter(queryClient);
createRuns(queryClient);

// The session ended while the page was open: sign in, then come back to where we were.
onSignedOut(() => {
  const here = router.state.location;
  if (here.pathname === "/sign-in" || here.pathname === "/setup") return;
  if (router.state.status === "pending" && !queryClient.getQueryData(["me"])) return; // the guard is asking
  queryClient.clear();
  void router.navigate({ to: "/sign-in", search: { next: here.href } });
});

const container = document.getElementById("root");
if (!container) throw new Error("index.html has no #root");

createRoot(container).render(
  <StrictMode>
    <QueryClientProvider client={queryClient}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  </StrictMode>,
);
