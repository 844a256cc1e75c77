// The pages and who may see them.
import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  Outlet,
  redirect,
} from "@tanstack/react-router";
import { ApiError } from "../api/errors";
import { SetupPage } from "../features/auth/SetupPage";
import { SignInPage } from "../features/auth/SignInPage";
import { authConfigQuery, meQuery } from "../features/auth/session";
import { ChatPage } from "../features/chat/ChatPage";
import { AppFrame } from "./AppFrame";
import { ErrorPage, NotFoundPage } from "./ErrorPage";

const root = createRootRouteWithContext<{ queryClient: QueryClient }>()({
  component: Outlet,
  errorComponent: ErrorPage,
  notFoundComponent: NotFoundPage,
});

const setup = createRoute({ getParentRoute: () => root, path: "/setup", component: SetupPage });

const signIn = createRoute({
  getParentRoute: () => root,
  path: "/sign-in",
  component: SignInPage,
  // Only a path of ours: `next=//elsewhere.example` must not lead away after sign-in.
  validateSearch: (search): { next?: string } =>
    typeof search.next === "string" && /^\/(?![/\\])/.test(search.next) ? { next: search.next } : {},
});

/** Everything behind sign-in. */
const app = createRoute({
  getParentRoute: () => root,
  id: "app",
  component: AppFrame,
  beforeLoad: async ({ context: { queryClient }, location }) => {
    try {
      await queryClient.ensureQueryData(meQuery);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      const config = await queryClient.ensureQueryData(authConfigQuery);
      if (config.setupRequired) throw redirect({ to: "/setup" });
      throw redirect({ to: "/sign-in", search: location.href === "/" ? {} : { next: location.href } });
    }
  },
});

const newChat = createRoute({
  getParentRoute: () => app,
  path: "/",
  component: () => <ChatPage sessionId={null} />,
});

const chat = createRoute({
  getParentRoute: () => app,
  path: "/c/$sessionId",
  component: function Chat() {
    const { sessionId } = chat.useParams();
    return <ChatPage key={sessionId} sessionId={sessionId} />;
  },
});

export function createAppRouter(queryClient: QueryClient) {
  return createRouter({
    routeTree: root.addChildren([setup, signIn, app.addChildren([newChat, chat])]),
    context: { queryClient },
    defaultPreload: false,
    scrollRestoration: false,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}
