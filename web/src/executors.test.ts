import assert from "node:assert/strict";
import { test } from "node:test";
import type { Executor, ExecutorGroup } from "./api/types.ts";
import { grouped, labelsOf, pathsOf, servedBy, stateOfExecutor } from "./executors.ts";

function executor(fields: Partial<Executor>): Executor {
  return { id: "e", group: "default", labels: {}, slots: 2, slotsUsed: 0, online: true, draining: false, drained: false, ...fields } as Executor;
}

function group(fields: Partial<ExecutorGroup>): ExecutorGroup {
  return { name: "default", serves: [], servesAll: false, takesForks: false, ...fields } as ExecutorGroup;
}

test("a group says whose runs it takes", () => {
  assert.equal(servedBy(group({ servesAll: true })), "Serves all runs.");
  assert.equal(servedBy(group({ serves: ["org/a", "user/b"], takesForks: true })), "Serves the runs of org/a, user/b, and those of forks.");
  assert.equal(servedBy(group({})), "Serves no runs.");
  assert.equal(servedBy(undefined), "");
});

test("paths are separated by commas or blanks", () => {
  assert.deepEqual(pathsOf(" org/a,user/b  org/c "), ["org/a", "user/b", "org/c"]);
  assert.deepEqual(pathsOf(" "), []);
});

test("executors are in their groups, with the slots that tasks can get", () => {
  const groups = grouped(
    [executor({ id: "a", slotsUsed: 1 }), executor({ id: "b", group: "arm" }), executor({ id: "c", draining: true, slotsUsed: 1 })],
    [group({ name: "empty" }), group({ name: "default" })],
  );
  assert.deepEqual(groups.map((each) => [each.name, each.executors.length, each.used, each.slots]), [
    ["arm", 1, 0, 2],
    ["default", 2, 2, 2],
    ["empty", 0, 0, 0],
  ]);
});

test("an executor has a state", () => {
  const words = [{}, { slotsUsed: 1 }, { draining: true }, { draining: true, drained: true }, { online: false }, { online: false, draining: true }];
  assert.deepEqual(words.map((each) => stateOfExecutor(executor(each)).word), [
    "idle",
    "busy",
    "draining",
    "drained",
    "offline",
    "offline, drained",
  ]);
});

test("labels are written as they are given", () => {
  assert.deepEqual(labelsOf(executor({ labels: { zone: "a", gpu: "" } })), ["gpu", "zone=a"]);
});
