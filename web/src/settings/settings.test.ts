import assert from "node:assert/strict";
import { test } from "node:test";
import { ancestorsOf, base64Of, isGitOverSsh, newWebhookSecret, ruleOfText, textOfRule, wordsOfWhen } from "./settings.ts";

test("the ancestors of a project are its groups and its organization", () => {
  assert.deepEqual(ancestorsOf("org/acme/backend/tools/api"), ["org/acme/backend/tools", "org/acme/backend", "org/acme"]);
  assert.deepEqual(ancestorsOf("user/ada/app"), ["user/ada"]);
});

test("a rule is a text, and a text its rule", () => {
  for (const text of ["main", "main /^release-/ !/^release-0/", "!wip"]) assert.equal(textOfRule(ruleOfText(text)), text);
  assert.deepEqual(ruleOfText("main  !/x/"), { include: ["main"], exclude: ["/x/"] });
  assert.equal(ruleOfText("  ! "), undefined);
  assert.equal(textOfRule(undefined), "");
});

test("a condition has words", () => {
  assert.equal(wordsOfWhen(undefined), "");
  assert.equal(wordsOfWhen({ branch: { include: ["main"], exclude: [] }, tag: { include: [], exclude: ["v1"] } }), "branch main, tag !v1");
});

test("values are base64 of UTF-8", () => {
  assert.equal(base64Of("hé\n"), Buffer.from("hé\n").toString("base64"));
  assert.equal(base64Of("x".repeat(49_152)).length, 65_536);
});

test("a secret of a webhook is its bytes in base64", () => {
  const secret = newWebhookSecret(new Uint8Array([0, 255, ...new Array<number>(30).fill(7)]));
  assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
  assert.equal(Buffer.from(secret.slice(6), "base64").length, 32);
});

test("a URL is of SSH by its scheme, or as user@host:path", () => {
  for (const url of ["ssh://git@git.example.org/app.git", " git@git.example.org:app.git"]) assert.equal(isGitOverSsh(url), true, url);
  for (const url of ["https://git.example.org/a:b", "https://git@git.example.org:8443/app", "http://h/x@y:z", ""]) {
    assert.equal(isGitOverSsh(url), false, url);
  }
});
