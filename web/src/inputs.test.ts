import assert from "node:assert/strict";
import { test } from "node:test";

import type { ConfiguredRun, Input } from "./api/types.ts";
import { firstValue, givenValues, inputsOf, valueWithout } from "./inputs.ts";

function input(name: string, fields: Partial<Input> = {}): Input {
  return { name, type: "INPUT_TYPE_STRING", options: [], pattern: "", description: "", required: false, ...fields };
}

const RUNS: ConfiguredRun[] = [
  { name: "a", applies: true, inputs: [input("env"), input("level")] },
  { name: "b", applies: true, inputs: [input("env")] },
  { name: "c", applies: false, inputs: [input("version")] },
];

test("the inputs of the named run are asked for, or of all that apply", () => {
  assert.deepEqual(inputsOf(RUNS, "").map((each) => each.name), ["env", "level"]);
  assert.deepEqual(inputsOf(RUNS, "c").map((each) => each.name), ["version"]);
  assert.deepEqual(inputsOf(RUNS, "d"), []);
});

test("an input has its default, or the empty value of its type", () => {
  assert.equal(valueWithout(input("a", { defaultValue: "x" })), "x");
  assert.equal(valueWithout(input("a", { type: "INPUT_TYPE_NUMBER" })), "0");
  assert.equal(valueWithout(input("a", { type: "INPUT_TYPE_BOOLEAN" })), "false");
  assert.equal(valueWithout(input("a", { type: "INPUT_TYPE_CHOICE", options: ["p", "q"] })), "p");
  assert.equal(firstValue(input("a", { type: "INPUT_TYPE_NUMBER", required: true })), "");
});

test("what was changed and what must be given is sent", () => {
  const inputs = [
    input("same", { defaultValue: "x" }),
    input("changed", { defaultValue: "x" }),
    input("emptied", { defaultValue: "x" }),
    input("needed", { required: true }),
    input("choice", { type: "INPUT_TYPE_CHOICE", options: ["p"], required: true }),
  ];
  const values = { same: "x", changed: "y", emptied: "", needed: "v1", other: "z" };
  assert.deepEqual(givenValues(inputs, values), { changed: "y", emptied: "", needed: "v1", choice: "p" });
});
