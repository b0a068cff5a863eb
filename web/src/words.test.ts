import assert from "node:assert/strict";
import { test } from "node:test";
import type { Run, Task } from "./api/types.ts";
import { ago, bytes, duration, stateOfRun, stateOfTask, took, usageOf, word } from "./words.ts";

test("durations", () => {
  const table: [number, string][] = [
    [-5, "0.0s"], [0, "0.0s"], [420, "0.4s"], [9_940, "9.9s"], [10_000, "10s"], [59_999, "59s"], [60_000, "1m 00s"],
    [185_000, "3m 05s"], [7_800_000, "2h 10m"], [273_600_000, "3d 4h"],
  ];
  for (const [milliseconds, expected] of table) assert.equal(duration(milliseconds), expected);
});

test("what takes time has a start, and an end or now", () => {
  assert.equal(took(undefined, undefined, 0), "");
  assert.equal(took("1970-01-01T00:00:01Z", undefined, 3000), "2.0s");
  assert.equal(took("1970-01-01T00:00:01Z", "1970-01-01T00:01:31Z", 0), "1m 30s");
});

test("usage is shown where it is known", () => {
  assert.equal(usageOf({ peakMemoryBytes: "0" }), "");
  assert.equal(usageOf({ cpuTime: "0s", peakMemoryBytes: "1048576" }), "0.0 s CPU, 1.0 MiB");
  assert.equal(usageOf({ cpuTime: "72.450s", peakMemoryBytes: "31457280" }), "72.5 s CPU, 30.0 MiB");
});

test("ages and sizes", () => {
  const now = Date.parse("2026-01-03T00:00:00Z");
  assert.deepEqual(
    ["2026-01-02T23:59:30Z", "2026-01-02T23:00:01Z", "2026-01-02T01:00:00Z", "2026-01-01T23:59:59Z", "2025-12-01T00:00:00Z"].map(
      (time) => ago(time, now),
    ),
    ["just now", "59 min ago", "23 h ago", "yesterday", "33 days ago"],
  );
  assert.deepEqual([0, 1023, 1536, 150 * 1024, 100 * 1024 ** 2, 3 * 1024 ** 4].map(bytes), [
    "0 B", "1023 B", "1.5 KiB", "150 KiB", "100 MiB", "3.0 TiB",
  ]);
});

test("states have words and tones", () => {
  assert.equal(word("TASK_STATUS_NOT_STARTED", "TASK_STATUS"), "not started");
  const run = (fields: Partial<Run>): string => stateOfRun(fields as Run).word;
  assert.equal(run({ phase: "RUN_PHASE_QUEUED" }), "queued");
  assert.equal(run({ phase: "RUN_PHASE_RUNNING" }), "running");
  assert.equal(run({ phase: "RUN_PHASE_RUNNING", waiting: { code: "", message: "" } }), "waiting");
  assert.equal(run({ phase: "RUN_PHASE_RUNNING", result: "RUN_RESULT_FAILED" }), "failing");
  assert.equal(run({ phase: "RUN_PHASE_FINISHED", result: "RUN_RESULT_STOPPED" }), "stopped");
  assert.equal(run({ phase: "RUN_PHASE_SETUP_ERROR" }), "setup error");
  const task = (fields: Partial<Task>): string => stateOfTask(fields as Task).word;
  assert.equal(task({ status: "TASK_STATUS_FAILED", ignoreFailure: true }), "failed (ignored)");
  assert.equal(task({ status: "TASK_STATUS_RUNNING", hold: { number: 1, step: 0 } }), "held (failed)");
  const approval = { needed: true, waitingSince: "2026-01-01T00:00:00Z" } as Task["approval"];
  assert.equal(task({ status: "TASK_STATUS_NOT_STARTED", approval: approval! }), "needs approval");
  assert.equal(task({ status: "TASK_STATUS_SKIPPED", approval: approval! }), "skipped");
});
