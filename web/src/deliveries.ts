// Deliveries: the names of their refs, and the words for what became of them. Pure.

import type { Delivery, RunDecision } from "./api/types.ts";
import type { State } from "./words.ts";

/** Return the full names that a ref may have, as people name it: of a branch, else of a tag. Empty: all refs. */
export function refsOf(text: string): string[] {
  const ref = text.trim();
  if (ref === "") return [""];
  return ref.startsWith("refs/") ? [ref] : [`refs/heads/${ref}`, `refs/tags/${ref}`];
}

/** Return the short name of a ref. */
export function shortRef(ref: string): string {
  return ref.replace(/^refs\/(heads|tags)\//, "");
}

export function stateOfDelivery(delivery: Delivery): State {
  switch (delivery.phase) {
    case "DELIVERY_PHASE_DONE":
      return delivery.decisions.some((each) => each.runId)
        ? { word: "runs", tone: "success" }
        : { word: "no run", tone: "skipped" };
    case "DELIVERY_PHASE_FAILED":
      return { word: "failed", tone: "failed" };
    default:
      return { word: "pending", tone: "running" };
  }
}

export function stateOfDecision(decision: RunDecision): State {
  switch (decision.reason) {
    case "DECISION_REASON_RUN_CREATED":
    case "DECISION_REASON_ASKED_FOR":
      return decision.runId ? { word: "run created", tone: "success" } : { word: "no run", tone: "skipped" };
    case "DECISION_REASON_RUN_EXISTS":
      return { word: "run exists", tone: "success" };
    case "DECISION_REASON_SETUP_ERROR":
      return { word: "setup error", tone: "failed" };
    case "DECISION_REASON_FAILED":
    case "DECISION_REASON_RUN_UNKNOWN":
      return { word: "failed", tone: "failed" };
    default:
      return { word: "no run", tone: "skipped" };
  }
}

/** Return what happened, such as `push of main at 0123456789ab`. */
export function titleOf(delivery: Delivery): string {
  const { event, ref, commitSha, pullRequestId } = delivery;
  const of = pullRequestId ? ` ${pullRequestId}` : ref ? ` of ${shortRef(ref)}` : "";
  return `${event || "event"}${of}${commitSha ? ` at ${commitSha.slice(0, 12)}` : ""}`;
}

/** Whether it may still change. */
export function isPending(delivery: Delivery): boolean {
  return delivery.phase === "DELIVERY_PHASE_PENDING";
}
