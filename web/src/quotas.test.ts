import assert from "node:assert/strict";
import { test } from "node:test";
import type { GetQuotaResponse, Quota } from "./api/types.ts";
import { rowsOf, share } from "./quotas.ts";

const NONE = { projects: 0, runningTasks: 0, queuedRuns: 0, secrets: 0, variables: 0, schedules: 0, tokens: 0 } as Quota;

function response(more: Partial<Record<keyof GetQuotaResponse, Partial<Quota>>>): GetQuotaResponse {
  return { quota: { ...NONE, ...more.quota }, effective: { ...NONE, ...more.effective }, usage: { ...NONE, ...more.usage } };
}

test("an organization has no tokens, and counts runs in each project", () => {
  const rows = rowsOf("org/acme", response({ quota: { projects: 10 }, effective: { projects: 10 }, usage: { projects: 4 } }));
  assert.ok(!rows.some((row) => row.name === "tokens"));
  const [projects, , runs] = rows;
  assert.deepEqual([projects!.used, projects!.limit, projects!.isOwn], [4, 10, true]);
  assert.equal(runs!.used, undefined);
});

test("a limit from above is not the own one", () => {
  const row = rowsOf("org/acme/site", response({ effective: { secrets: 3 }, usage: { secrets: 3 } })).find((each) => each.name === "secrets")!;
  assert.deepEqual([row.limit, row.isOwn, row.own, share(row)], [3, false, 0, 1]);
});

test("a share is at most all, and nothing without a limit", () => {
  assert.equal(share({ used: 9, limit: 3 }), 1);
  assert.equal(share({ used: 9, limit: 0 }), 0);
  assert.equal(share({ used: undefined, limit: 3 }), 0);
});
