// Executors by group, and the words for their states. Pure.

import type { Executor } from "./api/types.ts";
import type { State } from "./words.ts";

export interface Group {
  name: string;
  executors: Executor[];
  slots: number;
  used: number;
}

/** Return the groups by name, those without executors too. */
export function grouped(executors: Executor[], names: string[]): Group[] {
  const groups = new Map<string, Executor[]>(names.map((name) => [name, []]));
  for (const each of executors) groups.set(each.group, [...(groups.get(each.group) ?? []), each]);
  return [...groups.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, all]) => {
      const usable = all.filter((each) => each.online && !each.draining);
      return { name, executors: all, slots: sum(usable.map((each) => each.slots)), used: sum(all.map((each) => each.slotsUsed)) };
    });
}

export function stateOfExecutor(executor: Executor): State {
  if (!executor.online) return { word: executor.draining ? "offline, drained" : "offline", tone: "failed" };
  if (executor.drained) return { word: "drained", tone: "stopped" };
  if (executor.draining) return { word: "draining", tone: "waiting" };
  return executor.slotsUsed > 0 ? { word: "busy", tone: "running" } : { word: "idle", tone: "success" };
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
