import assert from "node:assert/strict";
import { test } from "node:test";
import type { Token } from "./api/types.ts";
import { expiryOf, ordered, scopesOf, stateOfToken } from "./tokens.ts";

const NOW = Date.parse("2026-06-01T00:00:00Z");

function token(fields: Partial<Token>): Token {
  return { id: "t", createTime: "2026-01-01T00:00:00Z", ...fields } as Token;
}

test("a token is valid until it expires or is revoked", () => {
  assert.equal(stateOfToken(token({}), NOW).word, "valid");
  assert.equal(stateOfToken(token({ expireTime: "2026-06-01T00:00:01Z" }), NOW).word, "valid");
  assert.equal(stateOfToken(token({ expireTime: "2026-06-01T00:00:00Z" }), NOW).word, "expired");
  assert.equal(stateOfToken(token({ revokeTime: "2026-05-01T00:00:00Z" }), NOW).word, "revoked");
});

test("a new token expires after days, or never", () => {
  assert.equal(expiryOf(30, NOW), "2026-07-01T00:00:00.000Z");
  assert.equal(expiryOf(0, NOW), undefined);
});

test("scopes are words", () => {
  assert.deepEqual(scopesOf(" runs:read,runs:write  secrets:read "), ["runs:read", "runs:write", "secrets:read"]);
  assert.deepEqual(scopesOf(" "), []);
});

test("valid tokens come first, then the newest", () => {
  const all = [
    token({ id: "old" }),
    token({ id: "revoked", revokeTime: "2026-05-01T00:00:00Z", createTime: "2026-05-01T00:00:00Z" }),
    token({ id: "new", createTime: "2026-02-01T00:00:00Z" }),
  ];
  assert.deepEqual(ordered(all, NOW).map((each) => each.id), ["new", "old", "revoked"]);
});
