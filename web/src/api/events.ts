// Streams of the gateway as server-sent events, which resume by themselves.
//
// A browser opens at most six connections to a host over HTTP/1.1, so a stream is closed while its tab is hidden.

import { resumeSession } from "./client.ts";

const LONGEST_PAUSE_MS = 30_000;

export interface StreamHandlers<T> {
  message(message: T): void;
  /** Nothing follows. */
  end?(): void;
  /** Whether the stream is connected has changed. */
  connected?(is: boolean): void;
  /** There is no session any more. */
  loggedOut(): void;
}

/**
 * Follow a stream until the returned function is called.
 *
 * @param path of the stream, without `after`.
 * @param positionOf returns the position of a message, from which the stream resumes.
 */
export function follow<T>(path: string, positionOf: (message: T) => string, handlers: StreamHandlers<T>): () => void {
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let position = "";
  let failures = 0;
  let isOver = false;

  function connect(): void {
    const after = position ? `${path.includes("?") ? "&" : "?"}after=${encodeURIComponent(position)}` : "";
    source = new EventSource(path + after);
    source.onopen = () => handlers.connected?.(true);
    source.onmessage = (event: MessageEvent<string>) => {
      failures = 0;
      const message = JSON.parse(event.data) as T;
      position = positionOf(message) || position;
      handlers.message(message);
    };
    source.addEventListener("end", () => {
      close();
      handlers.end?.();
    });
    source.addEventListener("failure", (event) => {
      // The events after the position are not stored any more: begin again with a snapshot.
      if (JSON.parse((event as MessageEvent<string>).data).error?.status === "OUT_OF_RANGE") position = "";
      void again();
    });
    source.onerror = () => void again();
  }

  /** Connect again after a pause: EventSource does so by itself after some failures only. */
  async function again(): Promise<void> {
    source?.close();
    source = null;
    clearTimeout(timer);
    handlers.connected?.(false);
    const pause = Math.min(LONGEST_PAUSE_MS, 500 * 2 ** failures++) * (0.75 + Math.random() / 2);
    timer = setTimeout(async () => {
      try {
        if (!(await resumeSession())) {
          close();
          handlers.loggedOut();
        } else if (!isOver && source === null) {
          // After a failed connection the position may be gone.
          if (failures > 2) position = "";
          connect();
        }
      } catch {
        if (!isOver) await again();
      }
    }, pause);
  }

  function show(): void {
    if (document.hidden) {
      clearTimeout(timer);
      source?.close();
      source = null;
    } else if (!isOver && source === null) {
      connect();
    }
  }

  function close(): void {
    isOver = true;
    clearTimeout(timer);
    source?.close();
    document.removeEventListener("visibilitychange", show);
  }

  document.addEventListener("visibilitychange", show);
  if (!document.hidden) connect();
  return close;
}
