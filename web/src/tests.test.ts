import assert from "node:assert/strict";
import { test } from "node:test";
import { nameOf, stateOfTest, summary, timeOf } from "./tests.ts";

test("a test has the name of its class, or else of its suite, before its own", () => {
  assert.equal(nameOf({ suite: "s", className: "pkg.Class", name: "works" }), "pkg.Class › works");
  assert.equal(nameOf({ suite: "s", className: "", name: "works" }), "s › works");
  assert.equal(nameOf({ suite: "", className: "", name: "works" }), "works");
});

test("results are states", () => {
  assert.deepEqual(stateOfTest({ result: "TEST_RESULT_FAILED" }), { word: "failed", tone: "failed" });
  assert.deepEqual(stateOfTest({ result: "TEST_RESULT_ERROR" }), { word: "error", tone: "failed" });
  assert.deepEqual(stateOfTest({ result: "TEST_RESULT_SKIPPED" }), { word: "skipped", tone: "skipped" });
  assert.deepEqual(stateOfTest({ result: "TEST_RESULT_PASSED" }), { word: "passed", tone: "success" });
});

test("times and counts", () => {
  assert.equal(timeOf({ duration: "1.250s" }), "1.3s");
  assert.equal(timeOf({}), "");
  assert.equal(summary({ total: 1200, failed: 0, skipped: 0 }), "1,200 passed");
  assert.equal(summary({ total: 7, failed: 2, skipped: 1 }), "2 failed, 1 skipped, 4 passed");
});
