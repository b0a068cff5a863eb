import assert from "node:assert/strict";
import { test } from "node:test";
import { daysOf, durationOf, wordsOfDays } from "./retention.ts";

test("durations are days, and days durations", () => {
  assert.deepEqual(daysOf(undefined), {});
  assert.deepEqual(daysOf({ logs: "2592000s", caches: "43200.500s", runs: "0s" }), { logs: 30, caches: 0.500006, runs: 0 });
  for (const days of [0, 0.5, 1, 30]) assert.deepEqual(daysOf({ logs: durationOf(days) }), { logs: days });
  // What is shorter than a second is not for ever.
  assert.equal(durationOf(0.000001), "1s");
});

test("a time is words", () => {
  assert.deepEqual([0, 1, 2.5, undefined].map(wordsOfDays), ["for ever", "1 day", "2.5 days", "for ever"]);
});
