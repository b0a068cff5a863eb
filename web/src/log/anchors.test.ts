import assert from "node:assert/strict";
import { test } from "node:test";
import { anchorOf, hashOf } from "./anchors.ts";

test("an anchor is a hash, and a hash its anchor", () => {
  for (const hash of ["#step-0:L1", "#step-12:L10000000", "#setup:L3", "#step-2", "#setup"]) {
    assert.equal(hashOf(anchorOf(hash)!), hash);
  }
  assert.deepEqual(anchorOf("#step-2:L120"), { step: 2, line: 120 });
  assert.deepEqual(anchorOf("#setup"), { step: null, line: null });
});

test("another hash is no anchor", () => {
  for (const hash of ["", "#", "#main", "#step-", "#step-1:L0", "#step-1:L", "#step--1", "#step-1:Lx", "#step-1:L1 "]) {
    assert.equal(anchorOf(hash), null);
  }
});
