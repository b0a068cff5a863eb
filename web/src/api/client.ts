// Calls of the gateway: JSON over fetch, with the cookie of the session, and its CSRF token where something changes.

/** An error that the gateway responded with, or that kept it from responding. */
export class ApiError extends Error {
  /** The HTTP status; 0 if there was no response. */
  readonly status: number;
  /** A stable reason such as `RUN_CANNOT_BE_RESTARTED`; empty if the response has none. */
  readonly reason: string;

  constructor(message: string, status: number, reason = "") {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

let csrfToken = "";
let onLoggedOut: () => void = () => {};

/** Set what is done when a call is refused because there is no session any more. */
export function whenLoggedOut(action: () => void): void {
  onLoggedOut = action;
}

/** Return whether there is a session. */
export async function resumeSession(): Promise<boolean> {
  const session = await call<{ csrfToken: string } | undefined>("GET", "/session", { quiet: true });
  csrfToken = session?.csrfToken ?? "";
  return session !== undefined;
}

/** What a login needs. */
export type Credentials = { token: string } | { userName: string; password: string };

export async function logIn(body: Credentials): Promise<void> {
  csrfToken = (await call<{ csrfToken: string }>("POST", "/session", { body, quiet: true })).csrfToken;
}

/** What is authorized at a git provider: a login, or a link of the account there to the user. */
export interface AuthorizationWish {
  remoteSource: string;
  /** The path of the page to show afterwards. */
  next: string;
  link?: boolean;
}

/** Leave for the git provider, which sends the browser back. */
export async function authorize(body: AuthorizationWish): Promise<void> {
  const { url } = await call<{ url: string }>("POST", "/oauth2/begin", { body, quiet: true });
  location.assign(url);
}

export async function logOut(): Promise<void> {
  await call("DELETE", "/session", { quiet: true });
  csrfToken = "";
}

export function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return call<T>("GET", path, { signal });
}

export function post<T = void>(path: string, body: unknown = {}): Promise<T> {
  return call<T>("POST", path, { body });
}

export function patch<T = void>(path: string, body: unknown): Promise<T> {
  return call<T>("PATCH", path, { body });
}

export function put<T = void>(path: string, body: unknown = {}): Promise<T> {
  return call<T>("PUT", path, { body });
}

export function remove(path: string): Promise<void> {
  return call("DELETE", path, {});
}

/** Fetch without reading the body; raise for a failure. */
export async function open(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...init });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError("The gateway cannot be reached.", 0);
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

interface CallOptions {
  body?: unknown;
  signal?: AbortSignal | undefined;
  /** Do not report a missing session: the caller asks for it. */
  quiet?: boolean;
}

async function call<T>(method: string, path: string, { body, signal, quiet = false }: CallOptions): Promise<T> {
  const headers: Record<string, string> = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (method !== "GET") headers["x-csrf-token"] = csrfToken;
  const init: RequestInit = { method, headers, signal: signal ?? null };
  if (body !== undefined) init.body = JSON.stringify(body);
  try {
    const response = await open(path, init);
    return (response.status === 204 ? undefined : await response.json()) as T;
  } catch (error) {
    if (!quiet && error instanceof ApiError && error.status === 401) onLoggedOut();
    throw error;
  }
}

async function errorOf(response: Response): Promise<ApiError> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text);
    const reason = error.details?.find((each: { reason?: string }) => each.reason)?.reason ?? "";
    return new ApiError(error.message, response.status, reason);
  } catch {
    return new ApiError(`The gateway responded with ${response.status} ${response.statusText}.`, response.status);
  }
}

/** Return the sentence of an error, for people. */
export function sentence(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.charAt(0).toUpperCase() + text.slice(1);
}
