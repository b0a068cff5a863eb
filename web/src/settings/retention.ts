// How long things of a project are kept, in days. Pure.

import type { Retention } from "../api/types.ts";

export const KEPT = [
  { name: "logs", title: "Logs", since: "after the run" },
  { name: "artifacts", title: "Artifacts", since: "after the run" },
  { name: "caches", title: "Caches", since: "after their last use" },
  { name: "runs", title: "Runs", since: "after their end" },
] as const;

/** By the name of a field; undefined or null: not set; 0: for ever. */
export type Days = Partial<Record<(typeof KEPT)[number]["name"], number | null>>;

const DAY_SECONDS = 86_400;
const DECIMALS = 1e6;

/** Return the times of a retention. */
export function daysOf(retention: Retention | undefined): Days {
  const days: Days = {};
  for (const { name } of KEPT) {
    const text = retention?.[name];
    if (text !== undefined) days[name] = Math.round((parseFloat(text) / DAY_SECONDS) * DECIMALS) / DECIMALS;
  }
  return days;
}

/** Return days as the API takes a duration, in whole seconds. */
export function durationOf(days: number): string {
  const seconds = Math.round(days * DAY_SECONDS);
  return `${days > 0 ? Math.max(1, seconds) : 0}s`;
}

/** Return a time for people. */
export function wordsOfDays(days: number | null | undefined): string {
  if (!days) return "for ever";
  return days === 1 ? "1 day" : `${days} days`;
}
