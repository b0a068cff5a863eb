import assert from "node:assert/strict";
import { test } from "node:test";
import { loginFault, questionOfRemoval } from "./logins.ts";

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

test("the question before a removal names what works with the account", () => {
  const asked = (projectPaths: string[], otherProjects = 0): string => questionOfRemoval({ projectPaths, otherProjects }, "gitea");
  assert.match(asked([]), /^No project works with it\. You cannot log in with gitea/);
  assert.match(asked(["org/a/b"]), /^org\/a\/b works with it: pushes start no runs/);
  assert.match(asked(["a", "b"], 1), /^a, b and 1 more work with it/);
  assert.match(asked(["a", "b", "c", "d", "e", "f", "g"]), /^a, b, c, d, e and 2 more work with it/);
  assert.match(asked([], 1), /^1 project that you may not see works with it/);
});
