// The router: which page a path is, and moves between pages without loading the document again.
//
// `pageOf` and `pathOf` are pure. `Router` follows the browser's history, and takes over clicks on links to pages; other
// links, such as those of downloads, are left to the browser.

/** The pages of a project; empty: its runs. A project group has that of settings; empty: what is in it. */
export type Tab = "" | "run" | "deliveries" | "settings";

/** The pages of an organization; empty: its members. */
export type OrganizationTab = "" | "invitations" | "quota" | "audit" | "settings";

/** The pages of a user; empty: the quota. */
export type UserTab = "" | "audit";

const TABS: readonly string[] = ["run", "deliveries", "settings"];
const ORGANIZATION_TABS: readonly string[] = ["invitations", "quota", "audit", "settings"];
/** Of the shortest path of a project: `user/NAME/PROJECT`. */
const PROJECT_SEGMENTS = 3;

export type Page =
  /** `error`: the reason why a login with a git provider failed; empty: it did not. */
  | { name: "login"; next: string; error: string }
  | { name: "account"; error: string }
  | { name: "device"; code: string }
  | { name: "runs" }
  | { name: "project"; path: string; tab: Tab }
  | { name: "organizations" }
  | { name: "organization"; organization: string; tab: OrganizationTab }
  /** `code`: of an invitation; empty: those for the user. */
  | { name: "invitations"; code: string }
  | { name: "users" }
  | { name: "user"; user: string; tab: UserTab }
  | { name: "audit" }
  | { name: "executors" }
  | { name: "tokens" }
  | { name: "run"; run: string }
  | { name: "task"; run: string; task: string }
  | { name: "unknown"; path: string };

/** Return the page of a path with its query, such as `/runs/ID/tasks/ID`. */
export function pageOf(path: string, query = ""): Page {
  const segments = decoded(path);
  const [first, second, third, fourth] = segments ?? [];
  if (segments === null) return { name: "unknown", path };
  if (segments.length === 0) return { name: "runs" };
  if (first === "login" && segments.length === 1) {
    const given = new URLSearchParams(query);
    return { name: "login", next: localPath(given.get("next")), error: given.get("error") ?? "" };
  }
  if (first === "device" && segments.length === 1) {
    return { name: "device", code: new URLSearchParams(query).get("code") ?? "" };
  }
  if (first === "account" && segments.length === 1) {
    return { name: "account", error: new URLSearchParams(query).get("error") ?? "" };
  }
  if (first === "projects") return projectPage(segments.slice(1));
  if (first === "organizations") {
    if (segments.length === 1) return { name: "organizations" };
    if (segments.length === 2) return { name: "organization", organization: second!, tab: "" };
    if (segments.length === 3 && ORGANIZATION_TABS.includes(third!)) {
      return { name: "organization", organization: second!, tab: third as OrganizationTab };
    }
  }
  if (first === "users") {
    if (segments.length === 1) return { name: "users" };
    if (segments.length === 2) return { name: "user", user: second!, tab: "" };
    if (segments.length === 3 && third === "audit") return { name: "user", user: second!, tab: "audit" };
  }
  if (first === "invitations" && segments.length === 1) {
    return { name: "invitations", code: new URLSearchParams(query).get("code") ?? "" };
  }
  if (segments.length === 1 && (first === "executors" || first === "tokens" || first === "audit")) return { name: first };
  if (first === "runs") {
    if (segments.length === 1) return { name: "runs" };
    if (segments.length === 2) return { name: "run", run: second! };
    if (segments.length === 4 && third === "tasks") return { name: "task", run: second!, task: fourth! };
  }
  return { name: "unknown", path };
}

/** Return the path of a page. */
export function pathOf(page: Page): string {
  const one = encodeURIComponent;
  switch (page.name) {
    case "login":
      return page.next === "/" ? "/login" : `/login?next=${one(page.next)}`;
    case "account":
      return "/account";
    case "device":
      return page.code === "" ? "/device" : `/device?code=${one(page.code)}`;
    case "runs":
      return "/runs";
    case "project":
      return ["/projects", ...page.path.split("/").filter(Boolean).map(one), ...(page.tab ? [page.tab] : [])].join("/");
    case "organizations":
      return "/organizations";
    case "organization":
      return ["/organizations", one(page.organization), ...(page.tab ? [page.tab] : [])].join("/");
    case "invitations":
      return page.code === "" ? "/invitations" : `/invitations?code=${one(page.code)}`;
    case "users":
      return "/users";
    case "user":
      return ["/users", one(page.user), ...(page.tab ? [page.tab] : [])].join("/");
    case "audit":
      return "/audit";
    case "executors":
      return "/executors";
    case "tokens":
      return "/tokens";
    case "run":
      return `/runs/${one(page.run)}`;
    case "task":
      return `/runs/${one(page.run)}/tasks/${one(page.task)}`;
    case "unknown":
      return page.path;
  }
}

/** A path whose last name is that of a tab may be a project of this name, too: `Project.svelte` looks. */
function projectPage(names: string[]): Page {
  const last = names.at(-1) ?? "";
  if (names.length > PROJECT_SEGMENTS && TABS.includes(last)) {
    return { name: "project", path: names.slice(0, -1).join("/"), tab: last as Tab };
  }
  return { name: "project", path: names.join("/"), tab: "" };
}

/** Return a path of this site, or `/` for anything else: a login must not lead to another site. */
export function localPath(text: string | null): string {
  if (text === null || !text.startsWith("/") || /^\/[/\\]/.test(text) || /[\u0000-\u0020\\]/.test(text)) return "/";
  return text;
}

function decoded(path: string): string[] | null {
  try {
    return path.split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    return null;
  }
}

/** Follows the browser's history. */
export class Router {
  private readonly changed: (page: Page) => void;
  private shown = location.pathname + location.search;

  constructor(changed: (page: Page) => void) {
    this.changed = changed;
    // A move within a page, to another `#`, is a popstate too.
    window.addEventListener("popstate", () => {
      if (this.shown !== location.pathname + location.search) this.show();
    });
    document.addEventListener("click", (event) => this.click(event));
  }

  get page(): Page {
    return pageOf(location.pathname, location.search);
  }

  go(path: string, { replace = false } = {}): void {
    if (replace) history.replaceState(null, "", path);
    else history.pushState(null, "", path);
    this.show();
    if (!replace) window.scrollTo(0, 0);
  }

  private show(): void {
    this.shown = location.pathname + location.search;
    this.changed(this.page);
  }

  private click(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element).closest("a");
    if (link === null || link.hasAttribute("download") || link.getAttribute("target")) return;
    // An SVG link has an object here.
    const target = new URL(link instanceof SVGAElement ? link.href.baseVal : link.href, location.href);
    const isHere = target.pathname === location.pathname && target.search === location.search;
    if (target.origin !== location.origin || (isHere && target.hash)) return;
    if (pageOf(target.pathname).name === "unknown") return;
    event.preventDefault();
    this.go(target.pathname + target.search + target.hash);
  }
}
