import assert from "node:assert/strict";
import { test } from "node:test";
import { plainText } from "./ansi.ts";
import { FirstError, looksLikeError } from "./first_error.ts";

const ERRORS = [
  "error: no such file",
  "main.c:3:5: error: expected ';'",
  "ERROR  something",
  "FAILED tests/test_x.py::test_y - assert 1 == 2",
  "Traceback (most recent call last):",
  "ValueError: bad",
  "java.lang.NullPointerException",
  "thread 'main' panicked: panic here",
  "fatal: not a git repository",
  "sh: 1: foo: command not found",
  "not ok 3 - works",
  "E   assert 1 == 2",
  "make: *** [all] Error 2",
  "2 failed, 3 passed",
];
const OTHERS = [
  "",
  "0 failed, 3 passed",
  "no errors",
  "12 passed, 0 errors",
  "writing error.log",
  "downloading http-errors",
  "cat /var/log/error",
  "everything is fine",
  "terror",
];

test("lines that look like errors", () => {
  for (const line of ERRORS) assert.ok(looksLikeError(line), line);
});

test("lines that do not", () => {
  for (const line of OTHERS) assert.ok(!looksLikeError(line), line);
});

test("the first one is found, whatever the pieces, and with colours", () => {
  const bytes = new TextEncoder().encode("one\ntwo é\n\u001b[31mer\u001b[1mror\u001b[0m: x\nerror again\n");
  for (const size of [1, 2, 3, 7, bytes.length]) {
    const finder = new FirstError(plainText);
    for (let at = 0; at < bytes.length; at += size) finder.push(bytes.subarray(at, at + size));
    finder.end();
    assert.equal(finder.line, 2);
  }
});

test("a last line without a newline counts when the log ends", () => {
  const finder = new FirstError(plainText);
  finder.push(new TextEncoder().encode("fine\nfatal: x"));
  assert.equal(finder.line, null);
  finder.end();
  assert.equal(finder.line, 1);
});

test("a log without an error has none", () => {
  const finder = new FirstError(plainText);
  finder.push(new TextEncoder().encode("x".repeat(100_000) + "\nfine\n"));
  finder.end();
  assert.equal(finder.line, null);
});
