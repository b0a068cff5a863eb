// Which tasks a restart runs again: the rules of run-model.md ("Restart"), to show it before. Pure; the server decides.

import type { Task } from "./api/types.ts";

const CAME_TO_NOTHING = new Set(["TASK_STATUS_FAILED", "TASK_STATUS_LOST", "TASK_STATUS_STOPPED", "TASK_STATUS_CANCELLED"]);
const SKIPPED_BY_CHANCE = new Set(["RUN_STOPPED", "RUN_TIMED_OUT", "APPROVAL_EXPIRED", "APPROVAL_REJECTED"]);

/** Whether a task can be chosen: one that its `when` skipped cannot. */
export function canRunAgain(task: Task): boolean {
  return !(task.status === "TASK_STATUS_SKIPPED" && task.reason?.code === "WHEN_NOT_MATCHED");
}

/** Return the ids of the tasks that run again: the chosen ones, those that did not succeed, and all that descend from them. */
export function runAgain(tasks: Task[], chosen: ReadonlySet<string>): Set<string> {
  const children = new Map<string, Task[]>();
  for (const task of tasks) for (const { task: parent } of task.depends) children.set(parent, [...(children.get(parent) ?? []), task]);
  const found = new Set<string>();
  const left = tasks.filter((task) => chosen.has(task.id) || isDueAgain(task));
  for (let task = left.pop(); task !== undefined; task = left.pop()) {
    if (found.has(task.id)) continue;
    found.add(task.id);
    left.push(...(children.get(task.name) ?? []));
  }
  return new Set([...found].filter((id) => tasks.some((task) => task.id === id && canRunAgain(task))));
}

function isDueAgain(task: Task): boolean {
  if (CAME_TO_NOTHING.has(task.status ?? "")) return true;
  return task.status === "TASK_STATUS_SKIPPED" && SKIPPED_BY_CHANCE.has(task.reason?.code ?? "");
}
