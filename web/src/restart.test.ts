import assert from "node:assert/strict";
import { test } from "node:test";
import type { Task } from "./api/types.ts";
import { canRunAgain, runAgain } from "./restart.ts";

function task(name: string, status: string, parents: string[] = [], code = ""): Task {
  const reason = code ? { code, message: "" } : undefined;
  return { id: `id-${name}`, name, status: `TASK_STATUS_${status}`, depends: parents.map((each) => ({ task: each, conditions: [] })), reason } as unknown as Task;
}

const TASKS = [
  task("build", "SUCCESS"),
  task("test", "SUCCESS", ["build"]),
  task("docs", "SUCCESS", ["build"]),
  task("windows", "SKIPPED", ["build"], "WHEN_NOT_MATCHED"),
  task("publish", "SUCCESS", ["test", "docs"]),
];

function again(tasks: Task[], ...chosen: string[]): string[] {
  return [...runAgain(tasks, new Set(chosen.map((each) => `id-${each}`)))].map((id) => id.slice(3)).sort();
}

test("what descends from a chosen task runs again", () => {
  assert.deepEqual(again(TASKS), []);
  assert.deepEqual(again(TASKS, "docs"), ["docs", "publish"]);
  assert.deepEqual(again(TASKS, "build"), ["build", "docs", "publish", "test"]);
});

test("what came to nothing runs again, chosen or not", () => {
  for (const status of ["FAILED", "LOST", "STOPPED", "CANCELLED"]) {
    assert.deepEqual(again([task("a", status), task("b", "SKIPPED", ["a"], "EDGE_NOT_MATCHED"), task("c", "SUCCESS")]), ["a", "b"]);
  }
  assert.deepEqual(again([task("a", "SKIPPED", [], "RUN_STOPPED")]), ["a"]);
  assert.deepEqual(again([task("a", "SKIPPED", [], "EDGE_NOT_MATCHED")]), []);
});

test("what its condition skipped cannot be chosen", () => {
  assert.deepEqual(TASKS.filter((each) => !canRunAgain(each)).map((each) => each.name), ["windows"]);
  assert.deepEqual(again(TASKS, "windows"), []);
});
