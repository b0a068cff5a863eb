import assert from "node:assert/strict";
import { test } from "node:test";
import type { Step, StepPhase, Task } from "./api/types.ts";
import { failedStep, failedTasks, isOpenAtFirst, type ShownStep, stepsOf } from "./steps.ts";

function step(phase: string): Step {
  return { name: phase, type: "run", phase: `STEP_PHASE_${phase}` as StepPhase } as Step;
}

function steps(...phases: string[]): ShownStep[] {
  return phases.map((phase, at) => ({ index: at === 0 ? null : at - 1, step: step(phase) }));
}

function task(fields: Partial<Task>): Task {
  return { attempt: 1, attempts: [], steps: [], level: 0, ignoreFailure: false, ...fields } as Task;
}

// The first one is the setup.
const OPEN: [string, string[], number[]][] = [
  ["the one that failed", ["SUCCESS", "SUCCESS", "FAILED", "SKIPPED"], [2]],
  ["the failed one, and one that runs although it failed", ["SUCCESS", "FAILED", "RUNNING"], [1, 2]],
  ["the one that runs", ["SUCCESS", "SUCCESS", "RUNNING", "NOT_STARTED"], [2]],
  ["the one that was stopped", ["SUCCESS", "STOPPED", "SKIPPED"], [1]],
  ["the last one that ran, after success", ["SUCCESS", "SUCCESS", "SUCCESS", "SKIPPED"], [2]],
  ["the setup, if nothing else ran", ["SUCCESS", "SKIPPED"], [0]],
  ["the setup that failed", ["FAILED", "SKIPPED"], [0]],
  ["none between two steps", ["SUCCESS", "SUCCESS", "NOT_STARTED"], []],
  ["none while the pod is set up", ["RUNNING", "NOT_STARTED"], []],
  ["none that has not begun", ["NOT_STARTED", "NOT_STARTED"], []],
];

for (const [name, phases, expected] of OPEN) {
  test(`open at first: ${name}`, () => {
    const all = steps(...phases);
    assert.deepEqual(all.flatMap((each, at) => (isOpenAtFirst(each, all) ? [at] : [])), expected);
  });
}

test("the failed step is the last one that failed, or else was stopped", () => {
  assert.equal(failedStep(steps("SUCCESS", "FAILED", "FAILED", "STOPPED"))?.index, 1);
  assert.equal(failedStep(steps("SUCCESS", "STOPPED"))?.index, 0);
  assert.equal(failedStep(steps("FAILED"))?.index, null);
  assert.equal(failedStep(steps("SUCCESS", "SUCCESS")), undefined);
});

test("the steps of an earlier attempt are its own", () => {
  const past = { attempt: 1, steps: [step("FAILED")], setupStep: step("SUCCESS") } as Task["attempts"][number];
  const of = task({ attempt: 2, attempts: [past], steps: [step("SUCCESS"), step("RUNNING")] });
  assert.deepEqual(stepsOf(of, 1).map((each) => [each.index, each.step.phase]), [[null, "STEP_PHASE_SUCCESS"], [0, "STEP_PHASE_FAILED"]]);
  assert.deepEqual(stepsOf(of).map((each) => each.index), [0, 1]);
  assert.deepEqual(stepsOf(of, 2), stepsOf(of));
});

test("a run fails by tasks that failed or were lost, but not by ignored ones", () => {
  const all = [
    task({ id: "late", status: "TASK_STATUS_FAILED", endTime: "2026-01-01T00:00:02Z" }),
    task({ id: "ignored", status: "TASK_STATUS_FAILED", endTime: "2026-01-01T00:00:00Z", ignoreFailure: true }),
    task({ id: "skipped", status: "TASK_STATUS_SKIPPED" }),
    task({ id: "lost", status: "TASK_STATUS_LOST", endTime: "2026-01-01T00:00:01Z" }),
    task({ id: "good", status: "TASK_STATUS_SUCCESS", endTime: "2026-01-01T00:00:00Z" }),
  ];
  assert.deepEqual(failedTasks(all).map((each) => each.id), ["lost", "late"]);
});
