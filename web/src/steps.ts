// The steps of a task: which ones there are in an attempt, which one failed, and which ones are shown open. Pure.

import type { Step, Task } from "./api/types.ts";

export interface ShownStep {
  /** The index of the step; null: the setup. */
  index: number | null;
  step: Step;
}

/** Return the steps of an attempt of a task, its setup first. Attempt 0 is the latest. */
export function stepsOf(task: Task, attempt = 0): ShownStep[] {
  const past = attempt > 0 && attempt !== task.attempt ? task.attempts.find((each) => each.attempt === attempt) : undefined;
  const { setupStep, steps } = past ?? task;
  const shown: ShownStep[] = steps.map((step, index) => ({ index, step }));
  return setupStep ? [{ index: null, step: setupStep }, ...shown] : shown;
}

/** Whether a step has a log. */
export function hasBegun({ step }: ShownStep): boolean {
  return step.phase !== undefined && step.phase !== "STEP_PHASE_NOT_STARTED" && step.phase !== "STEP_PHASE_SKIPPED";
}

/** Return the step that made a task fail: the last one that failed, or was stopped. */
export function failedStep(steps: ShownStep[]): ShownStep | undefined {
  return (
    steps.findLast(({ step }) => step.phase === "STEP_PHASE_FAILED") ??
    steps.findLast(({ step }) => step.phase === "STEP_PHASE_STOPPED")
  );
}

/**
 * Return whether a step is open before anybody opens or shuts one: those that failed, were stopped or run are; if there
 * is none and the task has ended, the last one that ran, which has the result that people look for.
 */
export function isOpenAtFirst(shown: ShownStep, steps: ShownStep[]): boolean {
  const urgent = steps.filter(isUrgent);
  if (urgent.length > 0) return urgent.includes(shown);
  if (steps.some(({ step }) => step.phase === "STEP_PHASE_NOT_STARTED" || step.phase === "STEP_PHASE_RUNNING")) return false;
  return steps.findLast(hasBegun) === shown;
}

function isUrgent({ index, step }: ShownStep): boolean {
  const { phase } = step;
  return phase === "STEP_PHASE_FAILED" || phase === "STEP_PHASE_STOPPED" || (phase === "STEP_PHASE_RUNNING" && index !== null);
}

/** Return the tasks that made a run fail, the first to fail first. */
export function failedTasks(tasks: Task[]): Task[] {
  return tasks
    .filter((task) => (task.status === "TASK_STATUS_FAILED" || task.status === "TASK_STATUS_LOST") && !task.ignoreFailure)
    .sort((a, b) => (a.endTime ?? "~").localeCompare(b.endTime ?? "~") || a.level - b.level);
}

/** Return what people call a step. */
export function titleOf({ index, step }: ShownStep): string {
  return index === null ? "Setup" : step.name || step.type;
}
