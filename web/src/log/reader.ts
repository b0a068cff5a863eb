// The bytes of a step's log, from the gateway.

import { ApiError, get, open } from "../api/client.ts";
import type { LogIndex } from "../api/types.ts";
import { type Lines, StoredLines } from "./line_index.ts";
import type { LogReader } from "./source.ts";
import type { WrittenAt } from "./times.ts";

/** A smaller log is read as a whole. */
const LARGE_BYTES = 4 * 1024 * 1024;
const LONGEST_PAUSE_MS = 15_000;

export interface LogAddress {
  run: string;
  task: string;
  /** The index of the step; null: the setup of the pod. */
  step: number | null;
  /** From 1; 0: the latest. */
  attempt: number;
}

/** Return the path of a log, of its first error, or of its index. */
export function pathOfLog({ run, task, step, attempt }: LogAddress, verb: "" | ":findError" | ":index" = ""): string {
  const query = new URLSearchParams(step === null ? { setup: "true" } : { step: String(step) });
  if (attempt > 0) query.set("attempt", String(attempt));
  return `/api/v1/runs/${encodeURIComponent(run)}/tasks/${encodeURIComponent(task)}/log${verb}?${query}`;
}

/**
 * Reads a log from the gateway.
 *
 * A stream that breaks is continued at its last byte. While the tab is hidden there is none, since a browser opens few
 * connections to a host.
 */
export class GatewayLogReader implements LogReader {
  private readonly path: string;
  private readonly indexPath: string;
  private readonly follows: boolean;

  /** @param follows whether the step still runs. */
  constructor(address: LogAddress, follows: boolean) {
    this.path = pathOfLog(address);
    this.indexPath = pathOfLog(address, ":index");
    this.follows = follows;
  }

  async stored(signal: AbortSignal): Promise<Lines | null> {
    if (this.follows) return null;
    let index: LogIndex;
    try {
      index = await get<LogIndex>(this.indexPath, signal);
    } catch {
      // What is wrong with the log is said where it is read.
      return null;
    }
    const size = Number(index.size);
    if (!index.complete || size < LARGE_BYTES) return null;
    const last = await this.range(size - 1, size, signal);
    const [stride, newlines] = [Number(index.stride), Number(index.newlines)];
    return new StoredLines({ size, stride, newlines, before: index.newlinesBefore.map(Number), endsInLine: last[0] !== 10 });
  }

  async range(start: number, end: number, signal: AbortSignal): Promise<Uint8Array> {
    const headers = { accept: "application/octet-stream", range: `bytes=${start}-${end - 1}` };
    const response = await open(this.path, { headers, signal });
    const bytes = new Uint8Array(await response.arrayBuffer());
    // A server that cannot serve a range sends everything.
    return response.status === 206 ? bytes : bytes.slice(start, end);
  }

  async times(signal: AbortSignal): Promise<WrittenAt[]> {
    const index = await get<LogIndex>(`${this.indexPath}&withTimes=true`, signal);
    return index.times.map(({ offset, time }) => ({ offset: Number(offset), time: Date.parse(time ?? "") }));
  }

  async *stream(offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    let failures = 0;
    for (let at = offset; !signal.aborted; ) {
      try {
        await shown(signal);
        const query = `&offset=${at}${this.follows ? "&follow=true" : ""}`;
        const hidden = whenHidden(signal);
        try {
          const response = await open(this.path + query, {
            headers: { accept: "application/octet-stream" },
            signal: hidden.signal,
          });
          const reader = response.body!.getReader();
          for (let part = await reader.read(); !part.done; part = await reader.read()) {
            failures = 0;
            at += part.value.length;
            yield part.value;
          }
          return;
        } finally {
          hidden.release();
        }
      } catch (error) {
        if (signal.aborted) return;
        if (document.hidden) continue;
        // What the gateway says will not change by itself; what broke may.
        const isFinal = error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429;
        failures += 1;
        if (isFinal || failures > 8) throw error;
        await pause(Math.min(LONGEST_PAUSE_MS, 250 * 2 ** failures), signal);
      }
    }
  }
}

/** Wait until the tab is shown. */
function shown(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
    look();
  });
}

/** Return a signal that is also aborted when the tab is hidden. */
function whenHidden(signal: AbortSignal): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const look = (): void => {
    if (document.hidden || signal.aborted) controller.abort();
  };
  document.addEventListener("visibilitychange", look);
  signal.addEventListener("abort", look);
  return {
    signal: controller.signal,
    release() {
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
    },
  };
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
