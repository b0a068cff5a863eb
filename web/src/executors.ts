// Executors by group, and the words for their states. Pure.

import type { Executor, ExecutorGroup } from "./api/types.ts";
import type { State } from "./words.ts";

export interface Group {
  name: string;
  executors: Executor[];
  slots: number;
  used: number;
  /** Not set: the group was not listed yet. */
  settings: ExecutorGroup | undefined;
}

/** Return the groups by name, those without executors too. */
export function grouped(executors: Executor[], known: ExecutorGroup[]): Group[] {
  const groups = new Map<string, Executor[]>(known.map(({ name }) => [name, []]));
  for (const each of executors) groups.set(each.group, [...(groups.get(each.group) ?? []), each]);
  return [...groups.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, all]) => {
      const usable = all.filter((each) => each.online && !each.draining);
      return { name, executors: all, slots: sum(usable.map((each) => each.slots)), used: sum(all.map((each) => each.slotsUsed)), settings: known.find((each) => each.name === name) };
    });
}

export function stateOfExecutor(executor: Executor): State {
  if (executor.vanished) return { word: "vanished", tone: "failed" };
  if (!executor.online) return { word: executor.draining ? "offline, drained" : "offline", tone: "failed" };
  if (executor.drained) return { word: "drained", tone: "stopped" };
  if (executor.draining) return { word: "draining", tone: "waiting" };
  return executor.slotsUsed > 0 ? { word: "busy", tone: "running" } : { word: "idle", tone: "success" };
}

/** Return whose runs a group takes, as a sentence. */
export function servedBy(group: ExecutorGroup | undefined): string {
  if (!group) return "";
  const whom = group.servesAll ? "all runs" : group.serves.length > 0 ? `the runs of ${group.serves.join(", ")}` : "no runs";
  return `Serves ${whom}${group.takesForks ? ", and those of forks" : ""}.`;
}

/** Return the paths in a text, which are separated by commas or blanks. */
export function pathsOf(text: string): string[] {
  return text.split(/[\s,]+/).filter((each) => each !== "");
}

/** Return labels as they are given to an executor. */
export function labelsOf(executor: Executor): string[] {
  return Object.entries(executor.labels)
    .map(([key, value]) => (value ? `${key}=${value}` : key))
    .sort();
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
