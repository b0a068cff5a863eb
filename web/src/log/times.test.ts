import assert from "node:assert/strict";
import { test } from "node:test";
import { timeAt, timeOfDay } from "./times.ts";

test("bytes have the time of the entry before", () => {
  const times = [
    { offset: 0, time: 1 },
    { offset: 10, time: 2 },
    { offset: 30, time: 3 },
  ];
  assert.deepEqual([0, 9, 10, 29, 30, 1000].map((offset) => timeAt(times, offset)), [1, 1, 2, 2, 3, 3]);
  assert.equal(timeAt([], 0), null);
});

test("a time of day has milliseconds", () => {
  assert.equal(timeOfDay(new Date(2026, 10, 30, 8, 5, 9, 7).getTime()), "08:05:09.007");
});
