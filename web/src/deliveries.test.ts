import assert from "node:assert/strict";
import { test } from "node:test";
import type { Delivery, RunDecision } from "./api/types.ts";
import { refsOf, shortRef, stateOfDecision, stateOfDelivery, titleOf } from "./deliveries.ts";

function delivery(fields: Partial<Delivery>): Delivery {
  return { event: "push", ref: "refs/heads/main", commitSha: "0123456789abcdef", pullRequestId: "", decisions: [], ...fields } as Delivery;
}

test("a ref is that of a branch, or else of a tag", () => {
  assert.deepEqual(refsOf(" main "), ["refs/heads/main", "refs/tags/main"]);
  assert.deepEqual(refsOf("refs/pull/7/head"), ["refs/pull/7/head"]);
  assert.deepEqual(refsOf(" "), [""]);
  assert.equal(shortRef("refs/heads/feature/x"), "feature/x");
  assert.equal(shortRef("refs/pull/7/head"), "refs/pull/7/head");
});

test("a delivery has a title", () => {
  assert.equal(titleOf(delivery({})), "push of main at 0123456789ab");
  assert.equal(titleOf(delivery({ event: "pull_request opened", pullRequestId: "7" })), "pull_request opened 7 at 0123456789ab");
  assert.equal(titleOf(delivery({ event: "ping", ref: "", commitSha: "" })), "ping");
});

test("a delivery says whether it made runs", () => {
  const made = { runName: "build", reason: "DECISION_REASON_RUN_CREATED", runId: "1", sentence: "" } as RunDecision;
  const none = { runName: "release", reason: "DECISION_REASON_WHEN", runId: "", sentence: "" } as RunDecision;
  assert.equal(stateOfDelivery(delivery({ phase: "DELIVERY_PHASE_DONE", decisions: [none, made] })).word, "runs");
  assert.equal(stateOfDelivery(delivery({ phase: "DELIVERY_PHASE_DONE", decisions: [none] })).word, "no run");
  assert.equal(stateOfDelivery(delivery({ phase: "DELIVERY_PHASE_PENDING" })).word, "pending");
  assert.equal(stateOfDelivery(delivery({ phase: "DELIVERY_PHASE_FAILED" })).tone, "failed");
  assert.equal(stateOfDecision(made).word, "run created");
  assert.equal(stateOfDecision(none).word, "no run");
  assert.equal(stateOfDecision({ ...made, reason: "DECISION_REASON_SETUP_ERROR" }).tone, "failed");
});
