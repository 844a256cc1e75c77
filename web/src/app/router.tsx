// The pages and who may see them.
import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
} from "@tanstack/react-router";
import { ApiError } from "../api/errors";
import { AdminFrame, AdminHome } from "../features/admin/AdminFrame";
import { filterOf } from "../features/audit/filters";
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

/** The page behind an invitation's link. */
const invite = createRoute({
  getParentRoute: () => root,
  path: "/invite",
  component: lazyRouteComponent(() => import("../features/auth/InvitePage")),
});

/** The phone's side of pairing: a session of its own, so no sign-in comes before it. */
const pair = createRoute({
  getParentRoute: () => root,
  path: "/pair",
  component: lazyRouteComponent(() => import("../features/device/PairPage")),
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

const ownUsage = createRoute({
  getParentRoute: () => app,
  path: "/usage",
  component: lazyRouteComponent(() => import("../features/usage/OwnUsagePage")),
});

const account = createRoute({
  getParentRoute: () => app,
  path: "/account",
  component: lazyRouteComponent(() => import("../features/account/AccountPage")),
});

/** Pages beside the chat, fetched when they are first opened. */
const besides = [
  createRoute({
    getParentRoute: () => app,
    path: "/knowledge",
    component: lazyRouteComponent(() => import("../features/knowledge/KnowledgePage")),
  }),
  createRoute({
    getParentRoute: () => app,
    path: "/memory",
    component: lazyRouteComponent(() => import("../features/memory/MemoryPage")),
  }),
  createRoute({
    getParentRoute: () => app,
    path: "/wiki",
    component: lazyRouteComponent(() => import("../features/wiki/WikiPage")),
  }),
  createRoute({
    getParentRoute: () => app,
    path: "/wiki/$topic",
    component: lazyRouteComponent(() => import("../features/wiki/TopicPage")),
  }),
];

/** The administration: each page is fetched when it is first opened. Its entries: features/admin/entries.ts. */
const admin = createRoute({ getParentRoute: () => app, path: "/admin", component: AdminFrame });

const adminPages = [
  createRoute({
    getParentRoute: () => admin,
    path: "/users",
    component: lazyRouteComponent(() => import("../features/users/UsersPage")),
  }),
  createRoute({
    getParentRoute: () => admin,
    path: "/roles",
    component: lazyRouteComponent(() => import("../features/roles/RolesPage")),
  }),
  createRoute({
    getParentRoute: () => admin,
    path: "/roles/$role",
    component: lazyRouteComponent(() => import("../features/roles/RolePage")),
  }),
  createRoute({
    getParentRoute: () => admin,
    path: "/new-role",
    component: lazyRouteComponent(() => import("../features/roles/RolePage"), "NewRolePage"),
  }),
  createRoute({
    getParentRoute: () => admin,
    path: "/sign-in-services",
    component: lazyRouteComponent(() => import("../features/services/ServicesPage")),
  }),
  createRoute({
    getParentRoute: () => admin,
    path: "/tenants",
    component: lazyRouteComponent(() => import("../features/tenants/TenantsPage")),
  }),
  createRoute({ getParentRoute: () => admin, path: "/", component: AdminHome }),
  createRoute({
    getParentRoute: () => admin,
    path: "/inference",
    component: lazyRouteComponent(() => import("../features/inference/InferencePage")),
  }),
  createRoute({
    getParentRoute: () => admin,
    path: "/guardrail",
    component: lazyRouteComponent(() => import("../features/guardrail/GuardrailPage")),
  }),
  createRoute({
    getParentRoute: () => admin,
    path: "/usage",
    validateSearch: (search): { tab?: string } => (typeof search.tab === "string" ? { tab: search.tab } : {}),
    component: lazyRouteComponent(() => import("../features/usage/UsagePage")),
  }),
  createRoute({
    getParentRoute: () => admin,
    path: "/usage/turns/$turnId",
    component: lazyRouteComponent(() => import("../features/usage/TracePage")),
  }),
  createRoute({
    getParentRoute: () => admin,
    path: "/activity",
    validateSearch: filterOf,
    component: lazyRouteComponent(() => import("../features/audit/ActivityPage")),
  }),
];

export function createAppRouter(queryClient: QueryClient) {
  return createRouter({
    routeTree: root.addChildren([
      setup,
      signIn,
      invite,
      pair,
      app.addChildren([newChat, chat, account, ownUsage, ...besides, admin.addChildren(adminPages)]),
    ]),
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
