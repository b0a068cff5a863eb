import assert from "node:assert/strict";
import { test } from "node:test";
import { heightOf, isCompressed, lastTop, MOST_HEIGHT, ROW_HEIGHT, scrollOf, topOf } from "./scroll.ts";

const view = 600;

test("a short log scrolls by its pixels", () => {
  const extent = { lines: 1000, view };
  assert.equal(heightOf(extent), 1000 * ROW_HEIGHT);
  assert.ok(!isCompressed(extent));
  assert.equal(topOf(100 * ROW_HEIGHT, extent), 100);
  assert.equal(scrollOf(100, extent), 100 * ROW_HEIGHT);
});

test("ten million lines fit below the largest height", () => {
  const extent = { lines: 10_000_000, view };
  assert.equal(heightOf(extent), MOST_HEIGHT);
  assert.ok(isCompressed(extent));
  assert.equal(topOf(0, extent), 0);
  assert.equal(topOf(MOST_HEIGHT - view, extent), lastTop(extent));
  assert.equal(lastTop(extent), 10_000_000 - view / ROW_HEIGHT);
});

test("a line and its position belong together, at any length", () => {
  for (const lines of [1, 29, 30, 31, 400_000, 400_001, 123_456_789]) {
    const extent = { lines, view };
    for (const share of [0, 0.1, 0.5, 0.999, 1]) {
      const top = share * lastTop(extent);
      assert.ok(Math.abs(topOf(scrollOf(top, extent), extent) - top) < 1e-3, `${lines} ${share}`);
    }
  }
});

test("positions beyond the ends are the ends", () => {
  const extent = { lines: 100, view };
  assert.equal(topOf(-50, extent), 0);
  assert.equal(topOf(1e9, extent), lastTop(extent));
  assert.equal(topOf(10, { lines: 3, view }), 0);
});
