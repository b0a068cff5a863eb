// The tests that the tasks of a run have reported: what a person reads of them. Pure.

import type { TestCase, TestCounts } from "./api/types.ts";
import { duration, type State } from "./words.ts";

/** Return the name of a test, with that of its class or suite before it. */
export function nameOf(test: Pick<TestCase, "suite" | "className" | "name">): string {
  return [test.className || test.suite, test.name].filter((part) => part !== "").join(" › ");
}

/** Return the result of a test as a state. */
export function stateOfTest(test: Pick<TestCase, "result">): State {
  switch (test.result) {
    case "TEST_RESULT_FAILED":
      return { word: "failed", tone: "failed" };
    case "TEST_RESULT_ERROR":
      return { word: "error", tone: "failed" };
    case "TEST_RESULT_SKIPPED":
      return { word: "skipped", tone: "skipped" };
    default:
      return { word: "passed", tone: "success" };
  }
}

/** Return the time of a test as it was reported; empty if it was not. */
export function timeOf(test: Pick<TestCase, "duration">): string {
  return test.duration === undefined ? "" : duration(Number.parseFloat(test.duration) * 1000);
}

/** Return how many tests there are, and of which result. */
export function summary(counts: TestCounts): string {
  const parts = [
    ...(counts.failed > 0 ? [`${counts.failed.toLocaleString("en")} failed`] : []),
    ...(counts.skipped > 0 ? [`${counts.skipped.toLocaleString("en")} skipped`] : []),
    `${(counts.total - counts.failed - counts.skipped).toLocaleString("en")} passed`,
  ];
  return parts.join(", ");
}
