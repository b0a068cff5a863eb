// The list of runs: its query, and what changes are made to it while it is shown. Pure.

import type { Run } from "./api/types.ts";

export interface Filter {
  /** Runs of this group and of those below it; empty: all. */
  group: string;
  /** Such as `RUNNING`; empty: all. */
  phase: string;
  /** Such as `FAILED`; empty: all. */
  result: string;
}

/** Return the query of a page of the list. */
export function queryOf(filter: Filter, pageSize: number, pageToken: string): string {
  const query = new URLSearchParams({ pageSize: String(pageSize) });
  if (filter.group) query.set("groupPrefix", filter.group);
  if (filter.phase) query.set("phase", filter.phase);
  if (filter.result) query.set("result", filter.result);
  if (pageToken) query.set("pageToken", pageToken);
  return query.toString();
}

/** Return the path of the project of a run, such as `org/acme/site`; empty: it has none. */
export function projectOf(run: Pick<Run, "group" | "groupPath">): string {
  const [, kind, , ...rest] = run.group.split("/");
  if (kind !== "project" || run.groupPath.startsWith("/")) return "";
  return rest.length === 0 ? run.groupPath : run.groupPath.slice(0, -rest.join("/").length - 1);
}

/** Whether a run belongs to the list of a filter, as far as its phase and result go. */
export function matches(run: Run, filter: Filter): boolean {
  return (
    (!filter.phase || run.phase === `RUN_PHASE_${filter.phase}`) &&
    (!filter.result || run.result === `RUN_RESULT_${filter.result}`)
  );
}

/**
 * Return the list after changes, newest first.
 *
 * @param shown what is shown now.
 * @param first the first page, read after the changes.
 * @param read runs of `shown` that changed and are not in `first`, read after the changes.
 * @param changed the ids of all that changed. One that was not read any more does not match, and goes.
 */
export function merged(shown: Run[], first: Run[], read: Run[], changed: Set<string>, filter: Filter): Run[] {
  const fresh = new Map([...first, ...read.filter((run) => matches(run, filter))].map((run) => [run.id, run]));
  const kept = shown.filter((run) => fresh.has(run.id) || !changed.has(run.id)).map((run) => fresh.get(run.id) ?? run);
  const known = new Set(kept.map((run) => run.id));
  const added = first.filter((run) => !known.has(run.id));
  // Ids are UUIDv7: they grow with time.
  return [...added, ...kept].sort((a, b) => (a.id < b.id ? 1 : -1));
}
