import assert from "node:assert/strict";
import { test } from "node:test";
import { loginFault } from "./logins.ts";

test("each reason is a sentence", () => {
  assert.equal(loginFault(""), "");
  assert.match(loginFault("OAUTH2_DENIED"), /^You did not authorize/);
  assert.match(loginFault("OAUTH2_STATE_INVALID"), /expired/);
  assert.match(loginFault("LOGIN_ACCOUNT_UNKNOWN"), /^No user here/);
  for (const reason of ["PROVIDER_UNAVAILABLE", "UPSTREAM_UNAVAILABLE", "DEADLINE_EXCEEDED"]) {
    assert.match(loginFault(reason), /does not respond/);
  }
});

test("a text of a link is never shown", () => {
  for (const text of ["call 0900 123", "<b>x</b>", "toString", "__proto__"]) {
    assert.equal(loginFault(text), "This did not work. An operator finds the cause in the log of the gateway.");
  }
});
