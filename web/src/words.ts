// Words for enums, times and durations. Pure.

import type { Run, Step, Task } from "./api/types.ts";

/** A kind of state, which has a colour and a sign. */
export type Tone = "success" | "failed" | "running" | "waiting" | "stopped" | "skipped";

export interface State {
  word: string;
  tone: Tone;
}

/** Return the last words of an enum value: `TASK_STATUS_NOT_STARTED` of `TASK_STATUS` is `not started`. */
export function word(value: string | undefined, prefix: string): string {
  return (value ?? "").replace(`${prefix}_`, "").toLowerCase().replaceAll("_", " ");
}

/** Return the state of a run. `isWaiting`: whether it waits while it runs, where its own field does not say. */
export function stateOfRun(run: Run, isWaiting = run.waiting !== undefined): State {
  switch (run.phase) {
    case "RUN_PHASE_FINISHED":
      return run.result === "RUN_RESULT_SUCCESS"
        ? { word: "success", tone: "success" }
        : run.result === "RUN_RESULT_STOPPED"
          ? { word: "stopped", tone: "stopped" }
          : { word: "failed", tone: "failed" };
    case "RUN_PHASE_SETUP_ERROR":
      return { word: "setup error", tone: "failed" };
    case "RUN_PHASE_CANCELLED":
      return { word: "cancelled", tone: "stopped" };
    case "RUN_PHASE_RUNNING":
      if (run.stopRequest) return { word: "stopping", tone: "stopped" };
      if (run.result === "RUN_RESULT_FAILED") return { word: "failing", tone: "failed" };
      return isWaiting ? { word: "waiting", tone: "waiting" } : { word: "running", tone: "running" };
    default:
      return { word: "queued", tone: "waiting" };
  }
}

const TASK_TONES: Record<string, Tone> = {
  TASK_STATUS_NOT_STARTED: "waiting",
  TASK_STATUS_SKIPPED: "skipped",
  TASK_STATUS_CANCELLED: "stopped",
  TASK_STATUS_RUNNING: "running",
  TASK_STATUS_STOPPED: "stopped",
  TASK_STATUS_SUCCESS: "success",
  TASK_STATUS_FAILED: "failed",
  TASK_STATUS_LOST: "failed",
};

export function stateOfTask(task: Pick<Task, "status" | "approval" | "ignoreFailure" | "hold">): State {
  const tone = TASK_TONES[task.status ?? ""] ?? "waiting";
  if (needsApproval(task)) return { word: "needs approval", tone: "waiting" };
  if (task.hold) return { word: "held (failed)", tone: "failed" };
  if (tone === "waiting") return { word: "waiting", tone };
  if (tone === "failed" && task.ignoreFailure) return { word: "failed (ignored)", tone: "stopped" };
  return { word: word(task.status, "TASK_STATUS"), tone };
}

/** Whether a task waits for a person now. */
export function needsApproval(task: Pick<Task, "status" | "approval">): boolean {
  return task.status === "TASK_STATUS_NOT_STARTED" && !!task.approval?.waitingSince && !task.approval.approveTime;
}

const STEP_TONES: Record<string, Tone> = {
  STEP_PHASE_NOT_STARTED: "waiting",
  STEP_PHASE_RUNNING: "running",
  STEP_PHASE_SUCCESS: "success",
  STEP_PHASE_FAILED: "failed",
  STEP_PHASE_STOPPED: "stopped",
  STEP_PHASE_SKIPPED: "skipped",
};

export function stateOfStep(step: Step): State {
  return { word: word(step.phase, "STEP_PHASE") || "not started", tone: STEP_TONES[step.phase ?? ""] ?? "waiting" };
}

/** Whether a person may ask for another attempt of a task; the server knows whether something has begun after it. */
export function canRetry(run: Run, task: Task): boolean {
  const failed = task.status === "TASK_STATUS_FAILED" || task.status === "TASK_STATUS_LOST";
  return failed && run.phase === "RUN_PHASE_RUNNING" && !run.stopRequest && !run.timedOut;
}

/** Whether a run has ended. */
export function isOver(run: Run): boolean {
  return run.phase !== "RUN_PHASE_RUNNING" && run.phase !== "RUN_PHASE_QUEUED";
}

/** Return a duration in milliseconds as people say it: `0.4s`, `12s`, `3m 05s`, `2h 10m`, `3d 4h`. */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)}s`;
  const whole = Math.floor(seconds);
  const two = (value: number): string => String(value).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86_400)}d ${Math.floor((whole % 86_400) / 3600)}h`;
}

/** Return how long something took, or takes so far; empty if it has not begun. */
export function took(start: string | undefined, end: string | undefined, now: number): string {
  if (!start) return "";
  return duration((end ? Date.parse(end) : now) - Date.parse(start));
}

/** Return how long ago a time is. */
export function ago(time: string, now: number): string {
  const seconds = Math.floor((now - Date.parse(time)) / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  const days = Math.floor(seconds / 86_400);
  return days === 1 ? "yesterday" : `${days} days ago`;
}

/** Return a number of bytes with its unit. */
export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Return what a step used, such as `2.5 s CPU, 30 MiB`; empty: that is not known. */
export function usageOf(step: Pick<Step, "cpuTime" | "peakMemoryBytes">): string {
  if (step.cpuTime === undefined) return "";
  return `${parseFloat(step.cpuTime).toFixed(1)} s CPU, ${bytes(Number(step.peakMemoryBytes))}`;
}
