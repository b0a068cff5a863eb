import assert from "node:assert/strict";
import { test } from "node:test";
import { localPath, type Page, pageOf, pathOf } from "./router.ts";

const PAGES: [string, Page][] = [
  ["/runs", { name: "runs" }],
  ["/projects/acme/back%20end/api", { name: "project", path: "acme/back end/api", tab: "" }],
  ["/projects", { name: "project", path: "", tab: "" }],
  ["/projects/org/acme/api/deliveries", { name: "project", path: "org/acme/api", tab: "deliveries" }],
  ["/projects/org/acme/api/settings", { name: "project", path: "org/acme/api", tab: "settings" }],
  ["/projects/org/acme/settings", { name: "project", path: "org/acme/settings", tab: "" }],
  ["/organizations", { name: "organizations" }],
  ["/organizations/acme", { name: "organization", organization: "acme", tab: "" }],
  ["/organizations/acme/invitations", { name: "organization", organization: "acme", tab: "invitations" }],
  ["/organizations/acme/quota", { name: "organization", organization: "acme", tab: "quota" }],
  ["/organizations/acme/audit", { name: "organization", organization: "acme", tab: "audit" }],
  ["/invitations", { name: "invitations", code: "" }],
  ["/users", { name: "users" }],
  ["/users/alice", { name: "user", user: "alice", tab: "" }],
  ["/users/alice/audit", { name: "user", user: "alice", tab: "audit" }],
  ["/audit", { name: "audit" }],
  ["/executors", { name: "executors" }],
  ["/tokens", { name: "tokens" }],
  ["/runs/01a2", { name: "run", run: "01a2" }],
  ["/runs/01a2/tasks/01a3", { name: "task", run: "01a2", task: "01a3" }],
  ["/device", { name: "device", code: "" }],
  ["/account", { name: "account", error: "" }],
  ["/login", { name: "login", next: "/", error: "" }],
];

test("a path is a page, and a page its path", () => {
  for (const [path, page] of PAGES) {
    assert.deepEqual(pageOf(path), page);
    assert.equal(pathOf(page), path);
  }
});

test("the root is the list of runs", () => {
  assert.deepEqual(pageOf("/"), { name: "runs" });
});

test("other paths are unknown", () => {
  for (const path of ["/x", "/executors/1", "/organizations/acme/x", "/users/alice/x", "/audit/x", "/runs/1/2", "/runs/1/tasks", "/runs/1/tasks/2/3", "/login/x", "/runs/%ff"]) {
    assert.deepEqual(pageOf(path), { name: "unknown", path });
  }
});

test("an escaped slash stays inside its segment", () => {
  assert.deepEqual(pageOf("/runs/a%2Fb"), { name: "run", run: "a/b" });
  assert.equal(pathOf({ name: "run", run: "a/b" }), "/runs/a%2Fb");
});

test("a login leads back to pages of this site only", () => {
  const good = "/runs/1/tasks/2?x=1#step-1:L2";
  assert.equal(localPath(good), good);
  assert.deepEqual(pageOf("/login", `?next=${encodeURIComponent(good)}`), { name: "login", next: good, error: "" });
  for (const text of [null, "", "runs", "//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil", "/a\\b"]) {
    assert.equal(localPath(text), "/");
  }
});
