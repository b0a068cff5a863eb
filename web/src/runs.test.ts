import assert from "node:assert/strict";
import { test } from "node:test";
import type { Run } from "./api/types.ts";
import { merged, projectOf, queryOf } from "./runs.ts";

const ALL = { group: "", phase: "", result: "" };

function run(id: string, phase = "RUNNING"): Run {
  return { id, phase: `RUN_PHASE_${phase}` } as Run;
}

function ids(runs: Run[]): string {
  return runs.map((each) => `${each.id}${each.phase === "RUN_PHASE_FINISHED" ? "!" : ""}`).join(" ");
}

test("a query has what is set", () => {
  assert.equal(queryOf(ALL, 50, ""), "pageSize=50");
  assert.equal(
    queryOf({ group: "/user/me", phase: "RUNNING", result: "FAILED" }, 10, "next"),
    "pageSize=10&groupPrefix=%2Fuser%2Fme&phase=RUNNING&result=FAILED&pageToken=next",
  );
});

test("a new run comes first, and what is below stays", () => {
  const shown = [run("4"), run("3"), run("2"), run("1")];
  assert.equal(ids(merged(shown, [run("5"), run("4")], [], new Set(["5"]), ALL)), "5 4 3 2 1");
});

test("a change is shown where the run is", () => {
  const shown = [run("3"), run("2"), run("1")];
  assert.equal(ids(merged(shown, [run("3")], [run("1", "FINISHED")], new Set(["1"]), ALL)), "3 2 1!");
});

test("a run that does not match any more goes", () => {
  const filter = { ...ALL, phase: "RUNNING" };
  const shown = [run("3"), run("2"), run("1")];
  assert.equal(ids(merged(shown, [run("2")], [run("1", "FINISHED")], new Set(["3", "1"]), filter)), "2");
});

test("the project of a run is what its group path begins with", () => {
  assert.equal(projectOf({ group: "/project/1/branch/feat%2Fx", groupPath: "org/acme/site/branch/feat%2Fx" }), "org/acme/site");
  assert.equal(projectOf({ group: "/project/1", groupPath: "org/acme/site" }), "org/acme/site");
  assert.equal(projectOf({ group: "/project/1/x", groupPath: "/project/1/x" }), "");
  assert.equal(projectOf({ group: "/user/1/site/main", groupPath: "/user/alice/site/main" }), "");
});
