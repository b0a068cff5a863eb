import assert from "node:assert/strict";
import { test } from "node:test";
import { actorOf, detailsOf, queryOf, wordsOf } from "./audit.ts";

const ANY = { by: "", kind: "", since: "", until: "" };

test("the query has what the filter has, and whole days", () => {
  assert.equal(queryOf(ANY, "", ""), "pageSize=50");
  assert.equal(
    queryOf({ by: "alice", kind: "secret", since: "2026-11-29", until: "2026-11-30" }, "org/acme", "next"),
    "pageSize=50&parentId=org%2Facme&callerId=alice&resourceType=secret&since=2026-11-29T00%3A00%3A00Z" +
      "&until=2026-12-01T00%3A00%3A00.000Z&pageToken=next",
  );
});

test("methods and actors are words", () => {
  assert.equal(wordsOf("SetOrganizationMember"), "set organization member");
  assert.equal(actorOf({ callerName: "", callerId: "admin", callerKind: "operator" }), "admin");
  assert.equal(actorOf({ callerName: "", callerId: "", callerKind: "public" }), "public");
});

test("details are without ids beside names, scopes and ports", () => {
  const details = ["member bob (01a22e49-ad1a-770f-9263-73d22fe68b4c)", "queued_runs: 5", "*"];
  assert.equal(detailsOf({ details, peer: "ipv4:10.0.0.1:4711", forwardedFor: "" }), "member bob · queued runs: 5 · from 10.0.0.1");
  assert.equal(detailsOf({ details: [], peer: "ipv6:%5B::1%5D:80", forwardedFor: "" }), "from ::1");
  assert.equal(detailsOf({ details: [], peer: "ipv4:10.0.0.1:4711", forwardedFor: "192.0.2.7" }), "from 192.0.2.7");
  assert.equal(detailsOf({ details: [], peer: "", forwardedFor: "" }), "");
});
